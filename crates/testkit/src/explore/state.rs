//! One state: what is kept, what is on its way, and what instances and the gateway really do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipway_core::instance::{Health, InstanceState, InstanceStatus};
use slipway_core::judge::Counts;
use slipway_core::names::{Digest, InstanceId, LaneId, RolloutId, VersionName};
use slipway_core::rollout::{
    self, Asked, Confirmed, Effect, EffectResult, Evidence, Lane, Observed, Release, Rollout, RolloutKind, Tally, Turn,
};
use slipway_core::spec::{self, ServiceSpec};
use slipway_core::traffic::{Endpoint, Epoch, Route};
use slipway_core::units::{Millis, Timestamp};

use super::Bounds;
use super::acts::Act;
use crate::checks::{self, Broken, Reality, broken};
use crate::sim::{Sabotage, decide};

/// Longer than every limit of the small world but the way back's.
const STRIDE: Millis = Millis::from_secs(61);
/// Longer than that too.
const LONG_STRIDE: Millis = Millis::from_secs(301);
pub(super) const WHO: &str = "user:explorer";

/// What the gateways have counted of the candidate in the stretch of evidence in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Nothing,
    Good,
    Bad,
}

#[derive(Clone)]
pub(super) struct State {
    pub lane: Lane,
    pub now: Timestamp,
    /// Running copies, and whether they are healthy.
    pub instances: BTreeMap<InstanceId, bool>,
    pub tested: BTreeSet<InstanceId>,
    /// Every instance that was ever started and may be heard of again.
    pub born: BTreeSet<InstanceId>,
    pub outbox: Vec<Effect>,
    pub replies: Vec<EffectResult>,
    pub published: Option<Route>,
    pub gateway: Option<Route>,
    pub lapsed: Option<Epoch>,
    pub deaf: bool,
    /// The control plane is dead.
    pub down: bool,
    pub watched_since: Timestamp,
    pub said: (Epoch, Said),
    /// Faults that may still happen in the open rollout.
    pub left: u8,
    pub promoted: bool,
    /// The next smoke test fails.
    pub smoke_fails: bool,
    pub asked: u64,
    /// The highest number of an instance that was kept.
    pub highest: u64,
    pub fixed: Arc<Fixed>,
}

pub(super) struct Fixed {
    pub spec: ServiceSpec,
    pub faults: u8,
    pub prompt: bool,
    pub sabotage: Option<Sabotage>,
}

impl Fixed {
    /// Declared instances.
    pub fn instances(&self) -> u32 {
        self.spec.environments.first().map_or(1, |environment| environment.instances)
    }
}

impl State {
    /// Nothing was released yet, or the first version serves.
    pub fn start(bounds: &Bounds) -> Result<State, Broken> {
        let (strategy, instances) = (bounds.strategy, bounds.instances);
        let file = format!(
            "service: s\nrun: {{ command: [s] }}\nhealth: {{ http: /h, start_limit: 1s }}\nsmoke:\n  - {{ name: up, http: {{ path: /, expect: {{ status: 200 }} }}, timeout: 1s }}\nobjectives:\n  - {{ name: errors, bad: failed, at_most: 5%, tolerate: 2% }}\nenvironments:\n  e: {{ instances: {instances}, strategy: {{ {strategy} }} }}\n"
        );
        let spec = spec::parse(&file).unwrap_or_else(|m| panic!("the file has mistakes: {m:?}")).spec;
        let id = LaneId { service: spec.service.clone(), environment: "e".parse().expect("a name") };
        let now = Timestamp(1_000_000);
        let mut state = State {
            lane: Lane::new(id),
            now,
            instances: BTreeMap::new(),
            tested: BTreeSet::new(),
            born: BTreeSet::new(),
            outbox: Vec::new(),
            replies: Vec::new(),
            published: None,
            gateway: None,
            lapsed: None,
            deaf: false,
            down: false,
            watched_since: now,
            said: (Epoch(0), Said::Nothing),
            left: 0,
            promoted: false,
            smoke_fails: false,
            asked: 0,
            highest: 0,
            fixed: Arc::new(Fixed { spec, faults: bounds.faults, prompt: bounds.prompt, sabotage: None }),
        };
        if !bounds.first {
            state = state.after(Act::Release { supersede: false })?.unwrap_or(state);
            for _ in 0..40 {
                state = state.calm(Said::Good)?;
            }
            if state.lane.stable.is_none() || state.lane.open.is_some() {
                broken("everything_ends", "the first release does not succeed".to_string())?;
            }
        }
        state.left = bounds.faults;
        let spec = state.fixed.spec.clone();
        state.fixed = Arc::new(Fixed { spec, faults: bounds.faults, prompt: bounds.prompt, sabotage: bounds.sabotage });
        Ok(state)
    }

    /// How far time goes on at once.
    pub fn stride(&self) -> Millis {
        if self.fixed.prompt { LONG_STRIDE } else { STRIDE }
    }

    pub fn standing(&self) -> &'static str {
        match self.lane.open.as_ref().map(|open| &open.state) {
            None => "idle",
            Some(rollout::State::Running) => "running",
            Some(rollout::State::Paused { .. }) => "paused",
            Some(rollout::State::Held { .. }) => "held",
            Some(rollout::State::Undoing(_)) => "undoing",
            Some(rollout::State::Ended { .. }) => "ended",
        }
    }

    pub fn asked_for(&mut self, kind: RolloutKind, version: VersionName) -> Asked {
        self.asked += 1;
        let spec = self.fixed.spec.clone();
        let artifact = Digest::of(version.as_str().as_bytes());
        let release = Release { version, artifact, config: Digest::of(b"config"), spec };
        let strategy = release.environment(&self.lane.id).expect("a declared environment").strategy.clone();
        Asked {
            id: RolloutId::numbered(self.asked),
            kind,
            strategy,
            release,
            key: None,
            actor: WHO.to_string(),
            at: self.now,
            overriding: None,
            approvals: Vec::new(),
        }
    }

    pub fn next_version(&self) -> VersionName {
        format!("{}.0.0", self.asked + 1).parse().expect("a valid version")
    }

    /// What the gateways have said of the stretch of evidence in force.
    pub fn heard(&self) -> Said {
        let epoch = self.lane.routing.as_ref().map(|r| r.epoch);
        if epoch == Some(self.said.0) { self.said.1 } else { Said::Nothing }
    }

    /// What is seen; `lane` says which artifacts there have to be.
    pub(super) fn observe(&self, lane: &Lane) -> Observed {
        let status = |(id, healthy): (&InstanceId, &bool)| {
            let status = InstanceStatus {
                id: id.clone(),
                incarnation: 1,
                state: InstanceState::Running,
                address: Some(([127, 0, 0, 1], 1).into()),
                pid: Some(1),
                health: if *healthy { Health::Healthy } else { Health::Unknown { why: None } },
                last_exit: None,
            };
            (id.clone(), status)
        };
        let releases = lane.stable.iter().chain(lane.open.as_ref().map(|open| &open.release));
        let waiting = lane.queue.iter().map(|asked| &asked.release).chain(&lane.predecessor);
        Observed {
            instances: self.instances.iter().map(status).collect(),
            confirmed: Some(Confirmed {
                routes: self.gateway.iter().cloned().collect(),
                newest: self.gateway == self.published,
            }),
            watched_since: (!self.deaf).then_some(self.watched_since),
            looking_since: Some(Timestamp(0)),
            lapsed: self.lapsed.filter(|_| !self.deaf),
            in_flight: Some(BTreeMap::new()),
            evidence: self.evidence(),
            artifacts: releases.chain(waiting).map(|r| (r.artifact.clone(), ())).collect(),
            results: self.replies.clone(),
            ..Observed::default()
        }
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        let (Some(stable), Some(candidate)) = (self.lane.stable_version(), self.lane.candidate_version()) else {
            return evidence;
        };
        let (epoch, said) = (self.said.0, self.heard());
        let tally = |n: u64, bad: u64| {
            let counts = Counts { n, bad, bad_keys: bad };
            let objectives = BTreeMap::from([("errors".to_string(), counts)]);
            Tally { assigned: n, attempts: n, failed: bad, objectives, ..Tally::default() }
        };
        if said != Said::Nothing {
            let bad = if said == Said::Bad { 50_000 } else { 0 };
            let seen = self.gateway.as_ref().is_some_and(|r| r.split.weight(candidate).bp() > 0);
            evidence.rows.insert((epoch, stable.clone()), tally(100_000, 0));
            if seen {
                evidence.rows.insert((epoch, candidate.clone()), tally(100_000, bad));
            }
            let counts = Counts { n: 100_000, bad: 0, bad_keys: 0 };
            evidence.stable_ten_minutes.insert("errors".to_string(), counts);
        }
        evidence
    }

    /// One turn, begun by a wish. Kept, and its route handed out; who carries effects out comes later.
    pub fn turn(&self, wish: impl FnOnce(&mut State, &mut Turn) -> bool) -> Result<Option<(State, Turn)>, Broken> {
        let mut next = self.clone();
        let mut turn = Turn::new(&self.lane);
        if !wish(&mut next, &mut turn) {
            return Ok(None);
        }
        let seen = self.observe(&turn.lane);
        decide(self.fixed.sabotage, &mut turn, &seen, self.now);
        checks::turn(&next, &self.lane, &turn)?;
        checks::recorded(&self.lane, &turn)?;
        if let Some(route) = rollout::route_of(&turn.lane) {
            checks::no_cold_traffic(&next, &turn.lane, self.published.as_ref(), &route)?;
        }
        Ok(Some((next, turn)))
    }

    /// Keeps a turn.
    pub fn keep(&mut self, turn: &Turn) {
        let id = |lane: &Lane| lane.open.as_ref().map(|open| (open.id.clone(), open.step));
        if id(&self.lane) != id(&turn.lane) {
            self.promoted = false;
        }
        if self.lane.open.as_ref().map(|o| &o.id) != turn.lane.open.as_ref().map(|o| &o.id) {
            self.left = self.fixed.faults;
        }
        self.lane = turn.lane.clone();
        let started = turn.effects.iter().filter(|effect| matches!(effect, Effect::Start { .. }));
        self.highest = started.filter_map(|effect| number(&effect.key())).fold(self.highest, u64::max);
        self.replies.clear();
        self.outbox.extend(turn.effects.iter().cloned());
        self.published = rollout::route_of(&self.lane);
        if self.fixed.prompt {
            std::mem::take(&mut self.outbox).into_iter().for_each(|effect| self.carry_out(effect, true));
        }
        let known: BTreeSet<&InstanceId> = self.lane.slots.iter().map(|slot| &slot.id).collect();
        let stale = |id: &InstanceId| !known.contains(id) && !self.instances.contains_key(id);
        self.tested.retain(|id| !stale(id));
        self.born.retain(|id| !stale(id));
        forget(&mut self.lane);
    }
}

/// The number at the end of an instance's name.
fn number(key: &str) -> Option<u64> {
    key.rsplit('-').next()?.parse().ok()
}

/// What decides nothing is not carried along.
fn forget(lane: &mut Lane) {
    let Some(open) = &mut lane.open else { return };
    open.decisions.clear();
    open.exposure.clear();
    for step in &mut open.plan.steps {
        step.what.truncate(1);
        step.undo.truncate(1);
        step.requests.clear();
    }
    open.steps.iter_mut().for_each(|record| record.report.clear());
    open.plan.remarks.clear();
}

impl Reality for State {
    fn is_tested(&self, instance: &InstanceId, _: u32) -> bool {
        self.tested.contains(instance)
    }

    fn is_fit(&self, endpoint: &Endpoint) -> bool {
        self.instances.get(&endpoint.instance).is_some_and(|healthy| *healthy)
    }

    fn runs(&self, instance: &InstanceId) -> bool {
        self.instances.contains_key(instance)
    }

    fn routes(&self) -> Vec<&Route> {
        self.gateway.iter().collect()
    }

    fn is_seen(&self, epoch: Epoch) -> bool {
        self.said.0 == epoch && self.said.1 != Said::Nothing
    }

    fn is_decided(&self, key: &str) -> bool {
        number(key).is_some_and(|number| number <= self.highest)
    }

    fn can_start_stable(&self, _: &Lane) -> bool {
        true
    }

    fn is_approved(&self, _: &RolloutId) -> bool {
        true
    }

    fn is_promoted(&self, _: &Rollout) -> bool {
        self.promoted
    }
}
