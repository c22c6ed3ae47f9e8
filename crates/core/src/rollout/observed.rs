//! What is seen of a lane at one moment: the other half of what a turn decides from.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::EffectResult;
use crate::instance::InstanceStatus;
use crate::judge::Counts;
use crate::names::{Digest, InstanceId, LaneId, VersionName};
use crate::shared_map::SharedMap;
use crate::traffic::link::USERS_KEPT;
use crate::traffic::{Epoch, Route};
use crate::units::{Millis, Timestamp};

/// Everything that is seen of a lane.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Instances as the target last saw them; absent means gone.
    pub instances: BTreeMap<InstanceId, InstanceStatus>,
    /// The lane's route in the latest table that every gateway which counts has acknowledged; absent while no gateway has.
    pub confirmed: Option<Confirmed>,
    /// Since when every gateway has been connected without a gap; absent while one is not.
    pub watched_since: Option<Timestamp>,
    /// Since when this control plane has been looking without a gap.
    pub looking_since: Option<Timestamp>,
    /// The epoch whose lease ran out at every gateway that can be asked.
    pub lapsed: Option<Epoch>,
    /// The epoch whose lease ran out at some of them: they were cut off, and the control plane was there.
    pub lapsed_apart: Option<Epoch>,
    /// Instances that a gateway which cannot be asked may still use.
    pub kept: BTreeSet<InstanceId>,
    /// Candidates that lost their last usable instance at a gateway.
    pub lost: Vec<Lost>,
    /// Requests in flight per instance of the lane, over all gateways, where all of them report it. Absent means none.
    pub in_flight: Option<BTreeMap<InstanceId, u64>>,
    /// What the gateways counted.
    pub evidence: Evidence,
    /// What the gateways counted of cohorts that go to a version of their own: each apart, and no part of `evidence`.
    pub cohorts: BTreeMap<String, Evidence>,
    /// What became of probes: synthetic, a stratum of its own, never added to `evidence`.
    pub probes: Evidence,
    /// Artifacts that are here.
    pub artifacts: SharedMap<Digest, ()>,
    /// What other services serve, by lane.
    pub serving: SharedMap<LaneId, Serving>,
    /// Hooks that cannot be told at the moment, and why.
    pub silent_hooks: BTreeMap<String, String>,
    /// Something of the lane was done and is not recorded: the store cannot be used, and nothing new begins.
    pub unrecorded: bool,
    /// What came of effects since the last turn that was committed.
    pub results: Vec<EffectResult>,
}

/// What a lane serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The version.
    pub version: VersionName,
    /// Since when; absent where that was before it was kept.
    pub since: Option<Timestamp>,
}

/// What the gateways have acknowledged of a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmed {
    /// The routes that live gateways serve: usually one, two while a table is on its way. Empty: they route nothing.
    pub routes: Vec<Route>,
    /// Every live gateway serves the newest table.
    pub newest: bool,
}

impl Confirmed {
    /// Whether all gateways serve `epoch`.
    pub fn serves(&self, epoch: Epoch) -> bool {
        !self.routes.is_empty() && self.routes.iter().all(|r| r.epoch >= epoch)
    }

    /// Whether some gateway may still send a new request to `instance`.
    pub fn may_use(&self, instance: &InstanceId) -> bool {
        self.routes.iter().flat_map(|r| &r.versions).flat_map(|v| &v.endpoints).any(|e| e.instance == *instance)
    }
}

/// A candidate that lost its last usable instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// The gateway that says so.
    pub gateway: String,
    /// The version.
    pub version: VersionName,
    /// In which epoch.
    pub epoch: Epoch,
    /// What happened to the last one.
    pub why: String,
}

impl Lost {
    /// For people: what was lost, where, and why.
    pub(super) fn sentence(&self) -> String {
        let Lost { gateway, version, why, .. } = self;
        format!("{version} lost its last usable instance at the gateway {gateway}: {why}")
    }
}

/// What the gateways counted for a lane.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// By stretch of evidence and version.
    pub rows: BTreeMap<(Epoch, VersionName), Tally>,
    /// Of the version that serves: its last ten minutes, by objective.
    pub stable_ten_minutes: BTreeMap<String, Counts>,
    /// How long of those ten minutes what counts there was looked at; absent where nothing of the lane was ever counted.
    pub looked: Option<Millis>,
    /// Of the version that serves: its last ten seconds, by objective.
    pub stable_ten_seconds: BTreeMap<String, Counts>,
    /// Latency over the last ten minutes by version: counts by upper bound in microseconds.
    pub latency: BTreeMap<VersionName, BTreeMap<u64, u64>>,
    /// Requests per second of the whole lane over the last minute; absent until a while has been seen.
    pub rate: Option<f64>,
}

/// What one version did in one stretch of evidence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Requests assigned to it.
    pub assigned: u64,
    /// Distinct users among them, of the first few thousand that the gateways met in the stretch.
    pub users: u64,
    /// Attempts.
    pub attempts: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Requests that failed by Slipway's own doing.
    pub failed_by_slipway: u64,
    /// Requests into which a fault was injected on purpose.
    pub injected: u64,
    /// Events by objective, under the per-user cap.
    pub objectives: BTreeMap<String, Counts>,
}

impl Evidence {
    /// How many users were told apart in `epoch`: the number of them where they have come back often enough for most to
    /// have been seen, and are not more than gateways count.
    pub fn users(&self, epoch: Epoch) -> Option<u64> {
        let tallies = || self.rows.iter().filter(|((e, _), _)| *e == epoch).map(|(_, tally)| tally);
        let users: u64 = tallies().map(|t| t.users).sum();
        let requests: u64 = tallies().map(|t| t.assigned).sum();
        (users > 0 && users < USERS_KEPT as u64 && requests >= 5 * users).then_some(users)
    }

    /// What `version` did in `epoch` under `objective`.
    pub fn counts(&self, epoch: Epoch, version: &VersionName, objective: &str) -> Counts {
        self.rows.get(&(epoch, version.clone())).and_then(|t| t.objectives.get(objective)).copied().unwrap_or_default()
    }
}
