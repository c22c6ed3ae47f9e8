//! The parts that can be behind each other, and one tick of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use slipway_core::instance::{Health, InstanceState, InstanceStatus};
use slipway_core::judge::Counts;
use slipway_core::names::{Digest, InstanceId, LaneId, VersionName};
use slipway_core::rollout::{self, Confirmed, Effect, EffectResult, Evidence, Lane, Observed, State, Tally, Turn};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::spec::{self, ServiceSpec};
use slipway_core::traffic::{Epoch, Route};
use slipway_core::units::{Millis, Timestamp};

use super::{Broken, Sabotage, checks, version};
use crate::Random;

const TICK: Millis = Millis::from_secs(1);
const REQUESTS: f64 = 200.0;
pub(super) const WHO: &str = "user:sim";
const STRATEGIES: [&str; 3] = [
    "canary: { steps: [10%, 50%, 100%], step_limit: 30s, verify: 5s, standby: 20s }",
    "blue-green: { verify: 5s, standby: 20s }",
    "rolling: { batch: 1, verify: 5s }",
];

/// A running copy: since when, and from when it is healthy.
pub(super) struct Running {
    version: VersionName,
    healthy_from: Timestamp,
}

/// One gateway: what it serves, and until when it hears nothing.
#[derive(Default)]
struct Gateway {
    route: Option<Route>,
    heard: Timestamp,
    deaf_until: Timestamp,
    lapsed: Option<Epoch>,
}

pub(super) struct World {
    pub calm: bool,
    /// Rollouts that ended, by how.
    pub outcomes: BTreeMap<&'static str, u64>,
    pub instances: BTreeMap<InstanceId, Running>,
    /// Starts of instances that passed their smoke tests.
    pub tested: BTreeSet<(InstanceId, u32)>,
    /// Keys of all effects that were kept.
    pub decided: BTreeSet<String>,
    pub rows: BTreeMap<(Epoch, VersionName), Tally>,
    pub(super) kept: Lane,
    pub(super) spec: ServiceSpec,
    sabotage: Option<Sabotage>,
    pub(super) random: Random,
    pub(super) now: Timestamp,
    down_until: Timestamp,
    looking_since: Timestamp,
    published: Option<Route>,
    gateways: [Gateway; 2],
    outbox: Vec<Effect>,
    replies: Vec<(Timestamp, EffectResult)>,
    gone: BTreeSet<InstanceId>,
    pub(super) artifacts: BTreeSet<Digest>,
    pub(super) bad: BTreeSet<VersionName>,
    silent_until: Timestamp,
    pub(super) versions: u64,
    pub(super) asked: u64,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> World {
        let mut random = Random::new(seed);
        let strategy = STRATEGIES[random.below(3) as usize];
        let file = format!(
            "service: shop\nowner: shop-team\nrun:\n  command: [\"./shop\"]\nhealth: {{ http: /healthz }}\nsmoke:\n  - name: up\n    http: {{ path: /, expect: {{ status: 200 }} }}\nobjectives:\n  - {{ name: errors, bad: failed, at_most: 5%, tolerate: 2% }}\nenvironments:\n  production: {{ instances: 3, strategy: {{ {strategy} }} }}\n"
        );
        let spec = spec::parse(&file).unwrap_or_else(|m| panic!("the file has mistakes: {m:?}")).spec;
        let id = LaneId { service: spec.service.clone(), environment: "production".parse().expect("a name") };
        World {
            calm: false,
            outcomes: BTreeMap::new(),
            instances: BTreeMap::new(),
            tested: BTreeSet::new(),
            decided: BTreeSet::new(),
            rows: BTreeMap::new(),
            kept: Lane::new(id),
            spec,
            sabotage,
            random,
            now: Timestamp(1_000_000),
            down_until: Timestamp(0),
            looking_since: Timestamp(1_000_000),
            published: None,
            gateways: Default::default(),
            outbox: Vec::new(),
            replies: Vec::new(),
            gone: BTreeSet::new(),
            artifacts: BTreeSet::new(),
            bad: BTreeSet::new(),
            silent_until: Timestamp(0),
            versions: 0,
            asked: 0,
        }
    }

    /// The routes that gateways serve now.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.gateways.iter().filter_map(|g| g.route.as_ref())
    }

    /// Nothing is open, or a person is asked.
    pub fn settled(&self) -> bool {
        let waits = |state: &State| matches!(state, State::Held { .. } | State::Paused { .. });
        self.kept.open.as_ref().map_or(self.kept.queue.is_empty(), |open| waits(&open.state))
    }

    pub fn standing(&self) -> String {
        self.kept.open.as_ref().map_or_else(
            || format!("{} wait", self.kept.queue.len()),
            |open| format!("{} at step {} is {:?}", open.id, open.step, open.state),
        )
    }

    fn happens(&mut self, probability: f64) -> bool {
        !self.calm && self.random.chance(probability)
    }

    pub fn tick(&mut self) -> Result<(), Broken> {
        self.now = self.now.plus(TICK);
        if self.happens(0.002) {
            self.now = self.now.plus(Millis::from_secs(self.random.below(40)));
        }
        self.strike();
        self.gateways_hear();
        self.requests();
        if self.now >= self.down_until {
            self.turns()?;
            self.carry_out()?;
        }
        checks::journal_before_act(self)
    }

    /// What happens to instances, gateways and traffic by itself.
    fn strike(&mut self) {
        if self.happens(0.01) && !self.instances.is_empty() {
            let at = self.random.below(self.instances.len() as u64) as usize;
            let id = self.instances.keys().nth(at).cloned();
            id.map(|id| self.instances.remove(&id));
        }
        if self.happens(0.01) {
            let gateway = self.random.below(2) as usize;
            self.gateways[gateway].deaf_until = self.now.plus(Millis::from_secs(self.random.below(40)));
        }
        if self.happens(0.01) {
            self.silent_until = self.now.plus(Millis::from_secs(self.random.below(60)));
        }
        if self.sabotage == Some(Sabotage::ActsFirst) {
            let id = InstanceId::numbered(&self.kept.id.service, &self.kept.id.environment, 1_000_000);
            self.instances.insert(id, Running { version: version(1), healthy_from: self.now });
        }
        if self.calm {
            self.silent_until = Timestamp(0);
            self.gateways.iter_mut().for_each(|g| g.deaf_until = Timestamp(0));
        }
    }

    fn gateways_hear(&mut self) {
        let up = self.now >= self.down_until;
        for gateway in &mut self.gateways {
            if up && self.now >= gateway.deaf_until {
                let again = gateway.lapsed.is_some() && self.published.as_ref().map(|r| r.epoch) == gateway.lapsed;
                if !again {
                    gateway.route = self.published.clone();
                    gateway.lapsed = None;
                }
                gateway.heard = self.now;
            }
            let Some(route) = &mut gateway.route else { continue };
            if let (Some(lease), Some(fallback)) = (route.lease, &route.fallback)
                && self.now.since(gateway.heard) >= lease
            {
                route.split = fallback.clone();
                gateway.lapsed = Some(route.epoch);
            }
        }
    }

    fn requests(&mut self) {
        if self.now < self.silent_until || self.sabotage == Some(Sabotage::SilencePasses) {
            return;
        }
        for gateway in &self.gateways {
            let Some(route) = &gateway.route else { continue };
            for share in route.split.shares() {
                let n = (REQUESTS * route.split.weight(&share.version).share()).round() as u64;
                let rate = if self.bad.contains(&share.version) { 0.3 } else { 0.002 };
                let bad = (0..n).filter(|_| self.random.chance(rate)).count() as u64;
                let tally = self.rows.entry((route.epoch, share.version.clone())).or_default();
                tally.assigned += n;
                tally.attempts += n;
                tally.failed += bad;
                let counts = tally.objectives.entry("errors".to_string()).or_default();
                *counts = Counts { n: counts.n + n, bad: counts.bad + bad, bad_keys: counts.bad_keys + bad };
            }
        }
    }

    fn observe(&self, results: Vec<EffectResult>) -> Observed {
        let reached = self.gateways.iter().all(|g| self.now >= g.deaf_until);
        let status = |(id, running): (&InstanceId, &Running)| {
            let health = match self.now >= running.healthy_from {
                true => Health::Healthy,
                false => Health::Unknown { why: None },
            };
            let status = InstanceStatus {
                id: id.clone(),
                incarnation: 1,
                state: InstanceState::Running,
                address: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
                pid: Some(1),
                health,
                last_exit: None,
            };
            (id.clone(), status)
        };
        let newest = self.gateways.iter().all(|g| g.route == self.published);
        Observed {
            instances: self.instances.iter().map(status).collect(),
            confirmed: Some(Confirmed { routes: self.routes().cloned().collect(), newest }),
            watched_since: reached.then_some(self.looking_since),
            looking_since: Some(self.looking_since),
            lapsed: self.gateways.iter().filter(|g| self.now >= g.deaf_until).find_map(|g| g.lapsed),
            in_flight: Some(BTreeMap::new()),
            evidence: Evidence { rows: self.rows.clone(), ..Evidence::default() },
            artifacts: Arc::new(self.artifacts.clone()),
            results,
            ..Observed::default()
        }
    }

    /// One turn of the control plane, which may die before or after it has kept it.
    fn turns(&mut self) -> Result<(), Broken> {
        let (due, later) = std::mem::take(&mut self.replies).into_iter().partition(|(at, _)| *at <= self.now);
        self.replies = later;
        let due: Vec<(Timestamp, EffectResult)> = due;
        let before = self.kept.clone();
        let mut turn = Turn::new(&before);
        self.people(&mut turn);
        let seen = self.observe(due.iter().map(|(_, result)| result.clone()).collect());
        if self.sabotage != Some(Sabotage::Stuck) || turn.lane.open.is_none() {
            rollout::complete(&mut turn, &seen, self.now);
        }
        self.spoil(&mut turn);
        checks::turn(self, &before, &turn)?;
        if turn.traffic_first {
            self.publish(&turn.lane)?;
        }
        if self.happens(0.01) {
            // Nothing was kept, so what came in comes again.
            self.replies.extend(due);
            self.dies();
            return self.publish(&before);
        }
        self.decided.extend(turn.effects.iter().map(Effect::key));
        for ended in &turn.ended {
            let outcome = ended.ended().map_or("open", |(outcome, _)| outcome.as_str());
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        self.kept = turn.lane;
        self.outbox.extend(turn.effects);
        let lane = self.kept.clone();
        self.publish(&lane)?;
        if self.happens(0.05) {
            self.replies.extend(due);
        }
        Ok(())
    }

    fn spoil(&mut self, turn: &mut Turn) {
        match self.sabotage {
            Some(Sabotage::ColdTraffic) => self.tested.clear(),
            // As if the judge had let it pass.
            Some(Sabotage::SilencePasses) if turn.lane.routing.is_some() => {
                turn.record("decided.advance", WHO, "silence", serde_json::Value::Null);
            }
            Some(other) => other.apply(turn, self.now),
            None => {}
        }
    }

    fn publish(&mut self, lane: &Lane) -> Result<(), Broken> {
        let new = rollout::route_of(lane);
        if let Some(route) = &new {
            checks::no_cold_traffic(self, lane, self.published.as_ref(), route)?;
        }
        self.published = new;
        Ok(())
    }

    fn dies(&mut self) {
        self.down_until = self.now.plus(Millis::from_secs(1 + self.random.below(25)));
        self.looking_since = self.down_until;
    }

    /// Effects in order; the control plane may die between any two, and a reply may be late, lost or come twice.
    fn carry_out(&mut self) -> Result<(), Broken> {
        let mut done = 0;
        for effect in self.outbox.clone() {
            if self.happens(0.01) {
                self.dies();
                break;
            }
            let Some(reply) = self.act(effect) else { continue };
            done += 1;
            let known = self.replies.len();
            let late = if self.happens(0.2) { self.random.below(10) } else { 0 };
            self.replies.push((self.now.plus(Millis::from_secs(late)), reply.clone()));
            if self.happens(0.1) {
                self.replies.push((self.now.plus(Millis::from_secs(self.random.below(20))), reply));
            }
            if self.happens(0.01) {
                // Carried out, and nobody knows: it stays in the outbox and is carried out again.
                done -= 1;
                self.replies.truncate(known);
                self.dies();
                break;
            }
        }
        self.outbox.drain(..done);
        Ok(())
    }

    fn act(&mut self, effect: Effect) -> Option<EffectResult> {
        Some(match effect {
            Effect::Start { spec } => {
                let slow = if self.happens(0.1) { 20 } else { 1 };
                let healthy_from = self.now.plus(Millis::from_secs(slow));
                if !self.gone.contains(&spec.id) {
                    let running = Running { version: spec.version.clone(), healthy_from };
                    self.instances.entry(spec.id.clone()).or_insert(running);
                }
                EffectResult::Started { instance: spec.id }
            }
            Effect::Stop { instance } => {
                self.gone.insert(instance.clone());
                self.instances.remove(&instance);
                EffectResult::Stopped { instance, killed: false }
            }
            Effect::Smoke { instance, incarnation, round, .. } => {
                let healthy = self.instances.get(&instance).is_some_and(|r| !r.version.as_str().is_empty());
                let failure = (!healthy).then(|| "no answer".to_string());
                if healthy {
                    self.tested.insert((instance.clone(), incarnation));
                }
                let tests = vec![SmokeResult { name: "up".to_string(), took: Millis(5), failure }];
                EffectResult::Smoked { report: SmokeReport { instance, incarnation, at: self.now, tests }, round }
            }
            Effect::Run { .. } | Effect::Ask { .. } => {
                unreachable!("the simulated file has no migrations and no hooks")
            }
        })
    }
}
