//! The parts that can be behind each other, and one tick of them.

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::names::{Digest, InstanceId, LaneId, RolloutId, VersionName};
use slipway_core::rollout::{Effect, EffectResult, Lane, Rollout, RolloutKind, State, Tally, Turn};
use slipway_core::spec::ServiceSpec;
use slipway_core::traffic::{Endpoint, Epoch, Route};
use slipway_core::units::{Millis, Timestamp};

use super::gateways::Gateway;
use super::nature::Lie;
use super::{Broken, Sabotage, service, version};
use crate::Random;
use crate::checks::{self, Reality};

/// What was counted, by stretch of evidence and version.
pub(super) type Rows = BTreeMap<(Epoch, VersionName), Tally>;

const TICK: Millis = Millis::from_secs(1);
pub(super) const WHO: &str = "user:sim";
/// A running copy.
pub(super) struct Running {
    pub version: VersionName,
    pub healthy_from: Timestamp,
    /// Which start of it.
    pub incarnation: u32,
    /// It answers badly until then.
    pub sick_until: Timestamp,
}

/// A control plane that stopped for a while, without knowing that another one has taken its place.
pub(super) struct Old {
    pub lane: Lane,
    pub outbox: Vec<Effect>,
    pub wakes: Timestamp,
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
    pub rows: Rows,
    /// What cohorts that go first did, each apart.
    pub cohorts: BTreeMap<&'static str, Rows>,
    pub kept: Lane,
    /// Acted upon on the way back while the store was away; kept as soon as it can be.
    pub unkept: Option<Turn>,
    pub store_away_until: Timestamp,
    pub spec: ServiceSpec,
    pub sabotage: Option<Sabotage>,
    pub random: Random,
    /// The world's time.
    pub now: Timestamp,
    /// By how much the control plane's clock is off.
    pub skew: i64,
    pub down_until: Timestamp,
    pub looking_since: Timestamp,
    pub old: Option<Old>,
    pub published: Option<Route>,
    pub gateways: [Gateway; 2],
    pub outbox: Vec<Effect>,
    /// Keys of effects whose replies never come, until the control plane starts anew and carries them out again.
    pub unheard: BTreeSet<String>,
    pub replies: Vec<(Timestamp, EffectResult)>,
    pub gone: BTreeSet<InstanceId>,
    pub artifacts: BTreeSet<Digest>,
    pub mislaid: BTreeMap<Digest, Timestamp>,
    pub bad: BTreeSet<VersionName>,
    pub silent_until: Timestamp,
    pub lie: Option<(Lie, Timestamp)>,
    pub promoted: BTreeSet<(RolloutId, usize)>,
    /// Rollouts that somebody gave their word for.
    pub approved: BTreeSet<RolloutId>,
    /// A way back that was decided, and the version that nobody is to be sent to any more.
    pub leaving: Option<(RolloutId, VersionName)>,
    pub versions: u64,
    pub asked: u64,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> World {
        let mut random = Random::new(seed);
        let spec = service::declared(&mut random);
        let id = LaneId { service: spec.service.clone(), environment: "production".parse().expect("a name") };
        World {
            calm: false,
            outcomes: BTreeMap::new(),
            instances: BTreeMap::new(),
            tested: BTreeSet::new(),
            decided: BTreeSet::new(),
            rows: Rows::new(),
            cohorts: BTreeMap::new(),
            kept: Lane::new(id),
            unkept: None,
            store_away_until: Timestamp(0),
            spec,
            sabotage,
            random,
            now: Timestamp(1_000_000),
            skew: 0,
            down_until: Timestamp(0),
            looking_since: Timestamp(1_000_000),
            old: None,
            published: None,
            gateways: Default::default(),
            outbox: Vec::new(),
            unheard: BTreeSet::new(),
            replies: Vec::new(),
            gone: BTreeSet::new(),
            artifacts: BTreeSet::from([Digest::of(version(1).as_str().as_bytes())]),
            mislaid: BTreeMap::new(),
            bad: BTreeSet::new(),
            silent_until: Timestamp(0),
            lie: None,
            promoted: BTreeSet::new(),
            approved: BTreeSet::new(),
            leaving: None,
            versions: 0,
            asked: 0,
        }
    }

    /// What the control plane takes for the time.
    pub fn clock(&self) -> Timestamp {
        Timestamp(self.now.0.saturating_add_signed(self.skew))
    }

    /// What the control plane believes of the lane.
    pub fn believed(&self) -> &Lane {
        self.unkept.as_ref().map_or(&self.kept, |turn| &turn.lane)
    }

    /// Nothing is open, or a person is asked.
    pub fn settled(&self) -> bool {
        let waits = |state: &State| matches!(state, State::Held { .. } | State::Paused { .. });
        // A contract waits for somebody's word.
        let asked = || self.kept.queue.iter().all(|asked| asked.kind == RolloutKind::Contract);
        self.unkept.is_none() && self.kept.open.as_ref().map_or_else(asked, |open| waits(&open.state))
    }

    pub fn standing(&self) -> String {
        self.kept.open.as_ref().map_or_else(
            || format!("{} wait", self.kept.queue.len()),
            |open| format!("{} at step {} is {:?}", open.id, open.step, open.state),
        )
    }

    pub fn happens(&mut self, probability: f64) -> bool {
        !self.calm && self.random.chance(probability)
    }

    pub fn tick(&mut self) -> Result<(), Broken> {
        self.now = self.now.plus(TICK);
        self.strike();
        self.gateways_hear();
        self.way_back_arrives()?;
        self.requests();
        self.jobs();
        if self.now >= self.down_until {
            self.turns()?;
            self.carry_out();
        }
        self.old_one_wakes()?;
        checks::journal_before_act(self, self.instances.keys())
    }
}

impl Reality for World {
    fn is_tested(&self, instance: &InstanceId, incarnation: u32) -> bool {
        self.tested.contains(&(instance.clone(), incarnation))
    }

    fn is_fit(&self, endpoint: &Endpoint) -> bool {
        let running = self.instances.get(&endpoint.instance);
        running.is_some_and(|running| running.incarnation == endpoint.incarnation && self.is_healthy(running))
    }

    fn runs(&self, instance: &InstanceId) -> bool {
        self.instances.contains_key(instance)
    }

    fn routes(&self) -> Vec<&Route> {
        self.serving().collect()
    }

    fn is_seen(&self, epoch: Epoch) -> bool {
        let mut all = self.cohorts.values().chain([&self.rows]).flatten();
        all.any(|((seen, _), tally)| *seen == epoch && tally.attempts > 0)
    }

    fn is_decided(&self, key: &str) -> bool {
        self.decided.contains(key)
    }

    fn can_start_stable(&self, lane: &Lane) -> bool {
        lane.stable.as_ref().is_none_or(|stable| self.is_here(&stable.artifact))
    }

    fn is_approved(&self, rollout: &RolloutId) -> bool {
        self.approved.contains(rollout)
    }

    fn is_promoted(&self, rollout: &Rollout) -> bool {
        self.promoted.contains(&(rollout.id.clone(), rollout.step))
    }
}
