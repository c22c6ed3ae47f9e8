//! What runs where, for the wire: the shape of `status --json`.

use serde::{Deserialize, Serialize};
use slipway_control::views::LaneNow;
use slipway_core::environment::Difference;
use slipway_core::names::VersionName;
use slipway_core::rollout::{Lane, Release, Slot, SlotState, WentBack, commands};
use slipway_core::units::Timestamp;
use utoipa::ToSchema;

use super::drill::{WireTimes, times};
use super::faults::{WireFault, faults};
use super::operating::{WireRestart, restart};
use super::rollout::{WireProbes, WireShare, probes, shares};
use super::schema::{WireSchema, schema};

/// A service in an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LaneStatus {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The version that serves.
    pub stable: Option<VersionStatus>,
    /// The version that is coming.
    pub candidate: Option<VersionStatus>,
    /// The version that stands by.
    pub standby: Option<VersionStatus>,
    /// Until when it stands by, milliseconds since 1970.
    pub standby_until: Option<u64>,
    /// When the version that serves had come to serve everybody, milliseconds since 1970.
    #[serde(default)]
    pub deployed_at: Option<u64>,
    /// What a rollback would bring back now; null where there is no way back.
    #[serde(default)]
    pub back_to: Option<String>,
    /// Why there is none.
    #[serde(default)]
    pub no_way_back: Option<String>,
    /// The last time that it went back, as long as nothing was released since.
    #[serde(default)]
    pub went_back: Option<WireWentBack>,
    /// The split, wanted and measured.
    pub split: Vec<WireShare>,
    /// The open rollout's id.
    pub rollout: Option<String>,
    /// Probes of the open rollout so far: synthetic, and no part of the traffic.
    #[serde(default)]
    pub probes: Option<WireProbes>,
    /// Rollouts that wait.
    pub queue: Vec<String>,
    /// Requests per second over the last minute.
    pub requests_per_second: Option<f64>,
    /// How long going back and deploying took the last time, and the last drill.
    #[serde(default)]
    pub times: WireTimes,
    /// The incident that is open.
    #[serde(default)]
    pub incident: Option<WireIncident>,
    /// A restart that goes on.
    #[serde(default)]
    pub restart: Option<WireRestart>,
    /// Nobody is reached on purpose.
    #[serde(default)]
    pub maintenance: bool,
    /// Faults that are injected on purpose.
    #[serde(default)]
    pub faults: Vec<WireFault>,
    /// It takes jobs and has no traffic: shares are of its instances.
    #[serde(default)]
    pub worker: bool,
    /// What is not as its environment's file says, as sentences; empty where it has none or does not name the service.
    #[serde(default)]
    pub drift: Vec<String>,
    /// What is known of its database, where any version has spoken of one.
    #[serde(default)]
    pub schema: Option<WireSchema>,
    /// What happens here cannot be recorded: the control plane's own store is full or away. Null where it can.
    #[serde(default)]
    pub unrecorded: Option<WireUnrecorded>,
}

/// Something that could not be recorded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireUnrecorded {
    /// Since when, milliseconds since 1970.
    pub since: u64,
    /// Why not.
    pub why: String,
}

/// A version that was taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WireWentBack {
    /// The rollout that went back, or that brought the earlier version.
    pub rollout: String,
    /// The version that was taken back.
    pub from: String,
    /// The version that serves since.
    pub to: String,
    /// When it served again, milliseconds since 1970; null where that was before it was kept.
    pub at: Option<u64>,
    /// How long ago that was, milliseconds.
    pub ago_ms: Option<u64>,
    /// Why, in a sentence.
    pub cause: String,
}

/// Trouble after a change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireIncident {
    /// Its number in this lane.
    pub number: u64,
    /// When it opened, milliseconds since 1970.
    pub since: u64,
    /// What is broken.
    pub what: Vec<String>,
    /// Changes that may have caused it, the likeliest first.
    pub likely: Vec<String>,
}

/// A version and its instances.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VersionStatus {
    /// The version.
    pub version: String,
    /// Digest of its artifact.
    pub digest: String,
    /// Instances that may get traffic.
    pub ready: u32,
    /// Instances that are wanted.
    pub desired: u32,
    /// Every instance of it.
    pub instances: Vec<WireInstance>,
}

/// An instance.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireInstance {
    /// Its id.
    pub id: String,
    /// Its process.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: Option<String>,
    /// `starting`, `ready`, `unready`, `draining` or `stopping`.
    pub state: String,
}

/// The status of a lane.
pub fn lane_status(now: &LaneNow) -> LaneStatus {
    let lane = &now.lane;
    let declared = |r: &Release| r.instances(&lane.id);
    let open = lane.open.as_ref();
    let (back_to, no_way_back) = way_back(lane);
    LaneStatus {
        service: lane.id.service.to_string(),
        environment: lane.id.environment.to_string(),
        stable: lane.stable.as_ref().map(|r| version(now, r, declared(r))),
        candidate: open.map(|o| version(now, &o.release, lane.wanted(&o.release.version).count() as u32)),
        standby: lane.standby.as_ref().map(|s| version(now, &s.release, declared(&s.release))),
        standby_until: lane.standby.as_ref().map(|s| s.until.0),
        deployed_at: lane.deployed_at.map(|t| t.0),
        back_to,
        no_way_back,
        went_back: lane.last_way_back().map(|back| went_back(back, now.at)),
        split: shares(now),
        rollout: open.map(|o| o.id.to_string()),
        probes: open.and_then(probes),
        queue: lane.queue.iter().map(|a| a.id.to_string()).collect(),
        requests_per_second: now.rate,
        times: times(lane, now.at),
        restart: restart(lane),
        maintenance: lane.maintenance.is_some(),
        faults: faults(lane, now.at),
        worker: lane.is_worker(),
        drift: now.drift.iter().map(Difference::sentence).collect(),
        schema: schema(lane),
        unrecorded: now.unrecorded.as_ref().map(|u| WireUnrecorded { since: u.since.0, why: u.why.clone() }),
        incident: lane.watching.incident.as_ref().map(|i| WireIncident {
            number: i.number,
            since: i.since.0,
            what: i.what.clone(),
            likely: i.likely.clone(),
        }),
    }
}

fn went_back(back: &WentBack, now: Timestamp) -> WireWentBack {
    WireWentBack {
        rollout: back.rollout.to_string(),
        from: back.from.to_string(),
        to: back.to.to_string(),
        at: back.at.map(|at| at.0),
        ago_ms: back.at.map(|at| now.since(at).0),
        cause: back.cause.clone(),
    }
}

/// What a rollback without a named version would bring back, or why it would be refused.
fn way_back(lane: &Lane) -> (Option<String>, Option<String>) {
    match commands::way_back(lane, None) {
        Ok(commands::Back::To(version)) => (Some(version.to_string()), None),
        Ok(commands::Back::TakeBack) => (lane.stable_version().map(|v| v.to_string()), None),
        Err(refusal) => (None, Some(refusal.to_string())),
    }
}

fn version(now: &LaneNow, release: &Release, desired: u32) -> VersionStatus {
    VersionStatus {
        version: release.version.to_string(),
        digest: release.artifact.to_string(),
        ready: now.lane.ready(&release.version),
        desired,
        instances: instances(now, &release.version),
    }
}

fn instances(now: &LaneNow, version: &VersionName) -> Vec<WireInstance> {
    now.lane.slots.iter().filter(|s| s.version == *version).map(|slot| instance(now, slot)).collect()
}

fn instance(now: &LaneNow, slot: &Slot) -> WireInstance {
    let seen = now.instances.iter().find(|i| i.id == slot.id);
    let state = match (slot.state, &slot.ready) {
        (SlotState::Draining(_), _) => "draining",
        (SlotState::Stopping(_), _) => "stopping",
        (SlotState::Wanted, Some(_)) => "ready",
        (SlotState::Wanted, None) if slot.smoke.is_none() && slot.exits == 0 => "starting",
        (SlotState::Wanted, None) => "unready",
    };
    WireInstance {
        id: slot.id.to_string(),
        pid: seen.and_then(|i| i.pid),
        address: seen.and_then(|i| i.address.as_ref()).map(|a| a.to_string()),
        state: state.to_string(),
    }
}
