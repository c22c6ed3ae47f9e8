//! What happens by itself: instances die, restart and fall ill, gateways go deaf, nobody asks, artifacts are mislaid, clocks
//! jump, the store goes away, and the source of metrics lies.

use std::collections::BTreeMap;

use slipway_core::judge::Counts;
use slipway_core::names::{Digest, VersionName};
use slipway_core::rollout::{Evidence, Tally};
use slipway_core::traffic::Epoch;
use slipway_core::units::{Millis, Timestamp};

use super::Sabotage;
use super::world::{Old, World};

const REQUESTS: f64 = 200.0;

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
            let (lane, generation, outbox) = (self.kept.clone(), self.generation, self.outbox.clone());
            self.old = Some(Old { lane, generation, outbox, wakes: self.within(60) });
            // Another one takes over at once.
            self.unkept = None;
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

    pub fn requests(&mut self) {
        if self.now < self.silent_until || self.sabotage == Some(Sabotage::SilencePasses) {
            return;
        }
        for gateway in &self.gateways {
            let Some(route) = &gateway.route else { continue };
            for share in route.split.shares() {
                let n = (REQUESTS * route.split.weight(&share.version).share()).round() as u64;
                let rate = if self.bad.contains(&share.version) { 0.3 } else { 0.002 };
                let bad = binomial(&mut self.random, n, rate);
                let tally = self.rows.entry((route.epoch, share.version.clone())).or_default();
                tally.assigned += n;
                tally.attempts += n;
                tally.failed += bad;
                let counts = tally.objectives.entry("errors".to_string()).or_default();
                *counts = Counts { n: counts.n + n, bad: counts.bad + bad, bad_keys: counts.bad_keys + bad };
            }
        }
        // What is long past decides nothing any more.
        while self.rows.len() > 24 {
            self.rows.pop_first();
        }
    }

    /// What the control plane is told was counted.
    pub fn evidence(&self) -> Evidence {
        let lie = self.lie.map(|(lie, _)| lie);
        if lie == Some(Lie::Dead) {
            return Evidence::default();
        }
        let mut rows: BTreeMap<(Epoch, VersionName), Tally> = self.rows.clone();
        let told = |n: u64| match lie {
            Some(Lie::Twice) => n * 2,
            Some(Lie::Backwards) => n / 2,
            _ => n,
        };
        let count =
            |counts: &Counts| Counts { n: told(counts.n), bad: told(counts.bad), bad_keys: told(counts.bad_keys) };
        for tally in rows.values_mut() {
            tally.assigned = told(tally.assigned);
            tally.attempts = told(tally.attempts);
            tally.failed = told(tally.failed);
            tally.objectives.values_mut().for_each(|counts| *counts = count(counts));
        }
        let mut evidence = Evidence { rows, ..Evidence::default() };
        let stable = self.believed().stable_version();
        let own = evidence.rows.iter().filter(|((_, version), _)| Some(version) == stable);
        if let Some(last) = own.filter_map(|(_, tally)| tally.objectives.get("errors")).next_back() {
            evidence.stable_ten_minutes.insert("errors".to_string(), *last);
        }
        evidence
    }
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
