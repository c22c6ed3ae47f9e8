//! What is kept of one service in one environment: who serves, who stands by, what is being rolled out, and every
//! instance that this needs. It is a value; [`super::turn()`] makes the next one from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::drilling::Drilled;
use super::faults::Begun;
use super::gates::Approval;
use super::lately::Lately;
use super::model::{Rollout, RolloutKind, State};
use super::plan::StepKind;
use super::policy::Bound;
use super::restarting::Restart;
use super::schema::Schema;
use super::unstarted::Unstarted;
use super::watching::Watching;
use crate::judge::LatencyBound;
use crate::names::{Digest, InstanceId, LaneId, RolloutId, VersionName};
use crate::spec::{EnvironmentSpec, ServiceSpec, Strategy};
use crate::traffic::{CohortRoute, Endpoint, Epoch, Maintenance, Split};
use crate::units::Timestamp;

/// A version of a service that can be offered to environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// What people call it.
    pub version: VersionName,
    /// Its artifact.
    pub artifact: Digest,
    /// Its configuration digest.
    pub config: Digest,
    /// The declared file that it came with.
    pub spec: ServiceSpec,
}

impl Release {
    /// The policy of `lane`'s environment. Admission makes sure that it is declared.
    pub fn environment(&self, lane: &LaneId) -> Option<&EnvironmentSpec> {
        self.spec.environment(&lane.environment).map(|(_, e)| e)
    }

    /// How many instances are declared in `lane`'s environment; at least one.
    pub fn instances(&self, lane: &LaneId) -> u32 {
        self.environment(lane).map_or(1, |e| e.instances.max(1))
    }

    /// Declares another number of instances in `lane`'s environment.
    pub fn set_instances(&mut self, lane: &LaneId, instances: u32) {
        for environment in self.spec.environments.iter_mut().filter(|e| e.name == lane.environment) {
            environment.instances = instances;
        }
    }
}

/// One service in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Which.
    pub id: LaneId,
    /// The version that serves.
    pub stable: Option<Release>,
    /// Stable's predecessor, kept warm.
    pub standby: Option<Standby>,
    /// What a rollback without `--to` goes back to; absent after a rollback.
    pub predecessor: Option<Release>,
    /// The last rollback, for as long as nothing was released since.
    pub went_back: Option<WentBack>,
    /// The last release that was taken back before it had succeeded, for as long as none did since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<WentBack>,
    /// The open rollout.
    pub open: Option<Rollout>,
    /// Rollouts that wait for the open one to end, first come first served.
    pub queue: Vec<Asked>,
    /// Every instance, wanted or on its way out.
    pub slots: Vec<Slot>,
    /// How the traffic should be split; absent before the first version serves.
    pub routing: Option<Routing>,
    /// Numbers given out so far.
    pub counters: Counters,
    /// How long things took the last time.
    #[serde(default)]
    pub lately: Lately,
    /// The last drill.
    #[serde(default)]
    pub drilled: Option<Drilled>,
    /// When stable came to serve.
    #[serde(default)]
    pub deployed_at: Option<Timestamp>,
    /// What is watched while no rollout is open.
    #[serde(default)]
    pub watching: Watching,
    /// A restart of what serves.
    #[serde(default)]
    pub restarting: Option<Restart>,
    /// The number of instances that somebody wants until a release declares more.
    #[serde(default)]
    pub scaled: Option<u32>,
    /// Nobody is reached on purpose.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// Faults that are injected on purpose, each until its time is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Begun>,
    /// Latency bounds that the rollout of what serves was judged by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<LatencyBound>,
    /// Since when what serves is counted by its own objectives again, after a rollout that counted by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_afresh: Option<Timestamp>,
    /// Versions of which an instance could not be started, and when that is tried again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unstarted: BTreeMap<VersionName, Unstarted>,
    /// What is known of its database.
    #[serde(default)]
    pub schema: Schema,
    /// What the environment's own file asks of it; absent where it has none.
    #[serde(default)]
    pub bound: Option<Bound>,
    /// Which attempt to keep it this was, as numbered by whoever keeps it: where an answer was lost, it says whether what
    /// is found is what was meant.
    #[serde(default)]
    pub attempt: u64,
}

/// The last numbers that a lane gave out; none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Instances.
    pub instance: u64,
    /// Epochs of evidence.
    pub epoch: u64,
    /// Faults.
    #[serde(default)]
    pub fault: u64,
}

impl Counters {
    /// Numbers that are left out at once: more than a lane gives out in a start of a control plane.
    pub const LEFT_OUT: u64 = 10_000;

    /// A number that `start` may go on from where what earlier starts gave out is unknown: `given` is the last that is known.
    pub fn left_out(given: u64, start: u64) -> u64 {
        (given + Counters::LEFT_OUT).max(start * Counters::LEFT_OUT)
    }

    /// The same of all of them.
    pub fn leaving_out(self, start: u64) -> Counters {
        Counters {
            instance: Counters::left_out(self.instance, start),
            epoch: Counters::left_out(self.epoch, start),
            fault: Counters::left_out(self.fault, start),
        }
    }

    /// Numbers that neither has given out.
    pub fn beyond(self, other: Counters) -> Counters {
        Counters {
            instance: self.instance.max(other.instance),
            epoch: self.epoch.max(other.epoch),
            fault: self.fault.max(other.fault),
        }
    }
}

impl Lane {
    /// A lane in which nothing was ever released.
    pub fn new(id: LaneId) -> Lane {
        Lane {
            id,
            stable: None,
            standby: None,
            predecessor: None,
            went_back: None,
            undone: None,
            open: None,
            queue: Vec::new(),
            slots: Vec::new(),
            routing: None,
            counters: Counters::default(),
            lately: Lately::default(),
            drilled: None,
            deployed_at: None,
            watching: Watching::default(),
            restarting: None,
            scaled: None,
            maintenance: None,
            faults: Vec::new(),
            bounds: Vec::new(),
            counted_afresh: None,
            unstarted: BTreeMap::new(),
            schema: Schema::default(),
            bound: None,
            attempt: 0,
        }
    }

    /// The release behind a version that this lane runs or is about to.
    pub fn release(&self, version: &VersionName) -> Option<&Release> {
        let open = self.open.as_ref().map(|r| &r.release);
        [self.stable.as_ref(), self.standby.as_ref().map(|s| &s.release), open, self.predecessor.as_ref()]
            .into_iter()
            .flatten()
            .find(|r| r.version == *version)
    }

    /// The open or queued rollout that a request under `key` asked for or acted on.
    pub fn asked_under(&self, key: &str) -> Option<RolloutId> {
        let open = self.open.iter().find(|r| r.keys.iter().any(|k| k == key)).map(|r| &r.id);
        let queued = || self.queue.iter().find(|a| a.key.as_deref() == Some(key)).map(|a| &a.id);
        open.or_else(queued).cloned()
    }

    /// The last time that a version was left again, after it had succeeded or before.
    pub fn last_way_back(&self) -> Option<&WentBack> {
        self.went_back.iter().chain(&self.undone).max_by_key(|back| back.at)
    }

    /// The version that serves.
    pub fn stable_version(&self) -> Option<&VersionName> {
        self.stable.as_ref().map(|r| &r.version)
    }

    /// The version that is coming, while a rollout is open.
    pub fn candidate_version(&self) -> Option<&VersionName> {
        self.open.as_ref().map(|r| &r.release.version)
    }

    /// Instances of `version` that are to stay.
    pub fn wanted<'a>(&'a self, version: &'a VersionName) -> impl Iterator<Item = &'a Slot> {
        self.slots.iter().filter(move |s| s.version == *version && s.state == SlotState::Wanted)
    }

    /// How many instances of `version` may get traffic.
    pub fn ready(&self, version: &VersionName) -> u32 {
        self.wanted(version).filter(|s| s.ready.is_some()).count() as u32
    }

    /// Whether any user is to meet the candidate now: by its share, or as one of a cohort.
    pub fn is_exposed(&self) -> bool {
        let cohorts =
            self.routing.as_ref().is_some_and(|r| r.cohorts.iter().any(|c| Some(&c.to) == self.candidate_version()));
        cohorts || self.candidate_weight() > crate::units::Weight::ZERO
    }

    /// The open rollout while its own objectives are counted, on both sides: not on the way back, nor where a drill returns.
    /// From there on what serves is counted as it declares.
    pub(super) fn counts_by(&self) -> Option<&Rollout> {
        self.open.as_ref().filter(|open| {
            let returns = open.plan.steps.get(open.step).is_some_and(|step| step.kind == StepKind::Return);
            let drilled = matches!(open.kind, RolloutKind::Drill { .. }) && open.step >= open.plan.steps.len();
            let back = self.stable.is_some()
                && (returns || drilled || matches!(open.state, State::Undoing(_) | State::Ended { .. }));
            open.kind != RolloutKind::Contract && !back
        })
    }

    /// The candidate's share of the traffic as it is wanted now.
    pub fn candidate_weight(&self) -> crate::units::Weight {
        match (&self.routing, self.candidate_version()) {
            (Some(routing), Some(candidate)) => routing.split.weight(candidate),
            _ => crate::units::Weight::ZERO,
        }
    }
}

/// A predecessor that is kept warm, so that going back stays one switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standby {
    /// What stands by.
    pub release: Release,
    /// When it is given up.
    pub until: Timestamp,
}

/// A way back that was taken and has not been followed by a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WentBack {
    /// The rollback, or the release that was taken back.
    pub rollout: RolloutId,
    /// From.
    pub from: VersionName,
    /// To.
    pub to: VersionName,
    /// When it had come back; absent where that was before it was kept.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Why, in a sentence.
    #[serde(default)]
    pub cause: String,
}

impl WentBack {
    /// What `rollout` did at `now`.
    pub(super) fn of(rollout: &Rollout, from: VersionName, to: VersionName, cause: String, now: Timestamp) -> WentBack {
        WentBack { rollout: rollout.id.clone(), from, to, at: Some(now), cause }
    }
}

/// A rollout that was asked for and has not begun: its plan is made when its turn comes, from what is then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Its id.
    pub id: RolloutId,
    /// Release or rollback.
    pub kind: RolloutKind,
    /// What is to serve.
    pub release: Release,
    /// How.
    pub strategy: Strategy,
    /// Who asked.
    pub actor: String,
    /// The key of the request, under which the same request may come again.
    #[serde(default)]
    pub key: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Why gates that block are to be passed all the same, in the words of whoever asked.
    #[serde(default)]
    pub overriding: Option<String>,
    /// Other people's word for it.
    #[serde(default)]
    pub approvals: Vec<Approval>,
}

/// One instance in a lane's books.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// The instance.
    pub id: InstanceId,
    /// Its version.
    pub version: VersionName,
    /// Whether it is to stay.
    pub state: SlotState,
    /// When it was asked for.
    pub since: Timestamp,
    /// The target has confirmed the start.
    pub started: bool,
    /// Healthy and smoke-tested, in this incarnation, at this address: may get traffic.
    pub ready: Option<Endpoint>,
    /// The latest smoke run that was asked for.
    pub smoke: Option<SmokeRun>,
    /// Which start of it was last seen running, and since when.
    #[serde(default)]
    pub running: Option<(u32, Timestamp)>,
    /// Times that it ended unasked.
    pub exits: u32,
    /// When it was first seen unhealthy after having been ready.
    pub unhealthy_since: Option<Timestamp>,
    /// To be replaced: somebody else takes its place before it goes.
    pub replace: bool,
}

/// Whether an instance is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "since")]
pub enum SlotState {
    /// It is to run.
    Wanted,
    /// It gets no new requests; those in flight may finish.
    Draining(Timestamp),
    /// The target was asked to stop it.
    Stopping(Timestamp),
}

/// A run of the smoke tests against one incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeRun {
    /// The incarnation that is tested.
    pub incarnation: u32,
    /// 1 for the first run against it.
    pub round: u32,
    /// When it was asked for.
    pub asked: Timestamp,
    /// What it showed, once it has ended.
    pub passed: Option<bool>,
}

/// How a lane's traffic should be split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// The stretch of evidence.
    pub epoch: Epoch,
    /// Who gets how much.
    pub split: Split,
    /// Where the traffic goes if the control plane stays dead; absent where nothing is at stake.
    pub fallback: Option<Split>,
    /// Mixed into the assignment hash.
    pub salt: String,
    /// Users who go to a version whatever the split says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<CohortRoute>,
}
