//! What happens by itself: instances die, restart and fall ill, gateways go deaf, nobody asks, artifacts are mislaid, clocks
//! jump, the store goes away, and the source of metrics lies.

use std::collections::BTreeMap;

use slipway_core::judge::Counts;
use slipway_core::names::{Digest, VersionName};
use slipway_core::rollout::Evidence;
use slipway_core::traffic::Epoch;
use slipway_core::units::{Millis, Timestamp};

use super::Sabotage;
use super::service::COHORTS;
use super::world::{Old, Rows, World};

/// Each gateway's, in a tick.
const REQUESTS: f64 = 200.0;
/// A cohort's, at each gateway.
const COHORT_REQUESTS: u64 = 40;
/// A running copy's.
const JOBS: u64 = 60;

/// What is wrong with what the gateways' counts are said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// Nothing is told.
    Dead,
    /// Fewer than were told before.
    Backwards,
    /// Everything twice.
    Twice,
}

impl World {
    fn within(&mut self, seconds: u64) -> Timestamp {
        self.now.plus(Millis::from_secs(self.random.below(seconds)))
    }

    /// What happens to instances, gateways and the control plane by itself.
    pub fn strike(&mut self) {
        if self.calm {
            return self.heal();
        }
        self.strike_instances();
        if self.happens(0.01) {
            let gateway = self.random.below(2) as usize;
            self.gateways[gateway].deaf_until = self.within(40);
        }
        if self.happens(0.01) {
            self.silent_until = self.within(60);
        }
        if self.happens(0.002) {
            // Forwards for everybody, as after a sleep.
            self.now = self.within(40);
        }
        if self.happens(0.002) {
            self.skew = self.random.below(120_000) as i64 - 60_000;
        }
        if self.happens(0.004) {
            self.store_away_until = self.within(30);
        }
        if self.happens(0.006) {
            let lie = [Lie::Dead, Lie::Backwards, Lie::Twice][self.random.below(3) as usize];
            self.lie = Some((lie, self.within(40)));
        }
        self.lie = self.lie.filter(|(_, until)| self.now < *until);
        let mislays = if self.sabotage == Some(Sabotage::BlindWayBack) { 0.2 } else { 0.003 };
        if self.happens(mislays) && !self.artifacts.is_empty() {
            let at = self.random.below(self.artifacts.len() as u64) as usize;
            let until = self.within(60);
            let digest = self.artifacts.iter().nth(at).cloned();
            digest.map(|digest| self.mislaid.insert(digest, until));
        }
        if self.old.is_none() && self.happens(0.003) {
            let (lane, outbox) = (self.kept.clone(), self.outbox.clone());
            self.old = Some(Old { lane, outbox, wakes: self.within(60) });
            // Another one takes over at once.
            self.unkept = None;
            self.leaving = None;
            self.unheard.clear();
            self.looking_since = self.clock();
        }
    }

    fn strike_instances(&mut self) {
        if !self.happens(0.016) || self.instances.is_empty() {
            return;
        }
        let at = self.random.below(self.instances.len() as u64) as usize;
        let Some(id) = self.instances.keys().nth(at).cloned() else { return };
        let (how, soon) = (self.random.below(8), self.within(50));
        let Some(running) = self.instances.get_mut(&id) else { return };
        match how {
            0..=4 => drop(self.instances.remove(&id)),
            5 => {
                running.incarnation += 1;
                running.healthy_from = self.now.plus(Millis::from_secs(2));
            }
            _ => running.sick_until = soon,
        }
    }

    fn heal(&mut self) {
        self.silent_until = Timestamp(0);
        self.store_away_until = Timestamp(0);
        self.lie = None;
        self.mislaid.clear();
        self.gateways.iter_mut().for_each(|gateway| gateway.deaf_until = Timestamp(0));
        self.instances.values_mut().for_each(|running| running.sick_until = Timestamp(0));
        self.unheard.clear();
    }

    /// Whether an artifact can be had now.
    pub fn is_here(&self, artifact: &Digest) -> bool {
        self.artifacts.contains(artifact) && self.mislaid.get(artifact).is_none_or(|until| self.now >= *until)
    }

    /// Requests of users, and of the cohorts that go first.
    pub fn requests(&mut self) {
        if self.now < self.silent_until || self.sabotage == Some(Sabotage::SilencePasses) {
            return;
        }
        let mut asked: Vec<(Option<&'static str>, Epoch, VersionName, u64)> = Vec::new();
        for route in self.serving() {
            for share in route.split.shares() {
                let n = (REQUESTS * route.split.weight(&share.version).share()).round() as u64;
                asked.push((None, route.epoch, share.version.clone(), n));
            }
            for cohort in &route.cohorts {
                let name = COHORTS.into_iter().find(|name| cohort.name == *name);
                asked.push((name, route.epoch, cohort.to.clone(), COHORT_REQUESTS));
            }
        }
        asked.into_iter().for_each(|(cohort, epoch, version, n)| self.count(cohort, epoch, version, n));
    }

    /// Jobs, where it is a worker: each running copy takes some, whatever the control plane knows of it.
    pub fn jobs(&mut self) {
        if self.now < self.silent_until || self.sabotage == Some(Sabotage::SilencePasses) || !self.spec.is_worker() {
            return;
        }
        let Some(epoch) = self.kept.routing.as_ref().map(|routing| routing.epoch) else { return };
        let versions: Vec<VersionName> = self.instances.values().map(|running| running.version.clone()).collect();
        versions.into_iter().for_each(|version| self.count(None, epoch, version, JOBS));
    }

    fn count(&mut self, cohort: Option<&'static str>, epoch: Epoch, version: VersionName, n: u64) {
        let rate = if self.bad.contains(&version) { 0.3 } else { 0.002 };
        let bad = binomial(&mut self.random, n, rate);
        let rows = match cohort {
            Some(cohort) => self.cohorts.entry(cohort).or_default(),
            None => &mut self.rows,
        };
        let tally = rows.entry((epoch, version)).or_default();
        tally.assigned += n;
        tally.attempts += n;
        tally.failed += bad;
        let counts = tally.objectives.entry(self.spec.objectives[0].name.clone()).or_default();
        *counts = Counts { n: counts.n + n, bad: counts.bad + bad, bad_keys: counts.bad_keys + bad };
        // What is long past decides nothing any more.
        while rows.len() > 24 {
            rows.pop_first();
        }
    }

    /// What the control plane is told was counted of everybody else, and of each cohort.
    pub fn evidence(&self) -> (Evidence, BTreeMap<String, Evidence>) {
        let lie = self.lie.map(|(lie, _)| lie);
        if lie == Some(Lie::Dead) {
            return Default::default();
        }
        let (stable, objective) = (self.believed().stable_version(), &self.spec.objectives[0].name);
        let of = |rows: &Rows| {
            let mut evidence = Evidence { rows: told(rows, lie), ..Evidence::default() };
            let own = evidence.rows.iter().filter(|((_, version), _)| Some(version) == stable);
            if let Some(last) = own.filter_map(|(_, tally)| tally.objectives.get(objective)).next_back() {
                evidence.stable_ten_minutes.insert(objective.clone(), *last);
            }
            evidence
        };
        (of(&self.rows), self.cohorts.iter().map(|(name, rows)| (name.to_string(), of(rows))).collect())
    }
}

/// What was counted, as it is told.
fn told(rows: &Rows, lie: Option<Lie>) -> Rows {
    let told = |n: u64| match lie {
        Some(Lie::Twice) => n * 2,
        Some(Lie::Backwards) => n / 2,
        _ => n,
    };
    let mut rows = rows.clone();
    for tally in rows.values_mut() {
        tally.assigned = told(tally.assigned);
        tally.attempts = told(tally.attempts);
        tally.failed = told(tally.failed);
        for counts in tally.objectives.values_mut() {
            *counts = Counts { n: told(counts.n), bad: told(counts.bad), bad_keys: told(counts.bad_keys) };
        }
    }
    rows
}

/// How many of `n` are bad, at a small rate: by the gaps between them (Devroye, 1986, X.4), so that good ones cost nothing.
fn binomial(random: &mut crate::Random, n: u64, rate: f64) -> u64 {
    let (mut at, mut bad) = (0.0, 0);
    let log = (1.0 - rate).ln();
    loop {
        at += ((1.0 - random.unit()).ln() / log).floor() + 1.0;
        if at > n as f64 {
            return bad;
        }
        bad += 1;
    }
}
