//! How fast a service goes back, beside how fast it goes out, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::rollout::{Drilled, Lane};
use slipway_core::units::Timestamp;
use utoipa::ToSchema;

/// Both times of a service in an environment, and its last drill.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct WireTimes {
    /// From the last decision to go back to confirmed traffic, drills included.
    pub rollback_ms: Option<u64>,
    /// How long the last deployment that succeeded had acted.
    pub deployment_ms: Option<u64>,
    /// The last drill.
    pub drill: Option<WireDrill>,
}

/// A drill that ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireDrill {
    /// Its rollout.
    pub rollout: String,
    /// What it went back to.
    pub to: String,
    /// When it ended, milliseconds since 1970.
    pub at: u64,
    /// How long ago that is.
    pub ago_ms: u64,
    /// Whether the instances had to be started for it.
    pub cold: bool,
    /// Both switches were confirmed, and the predecessor served well in between.
    pub passed: bool,
    /// How it ended.
    pub cause: String,
    /// From the decision to go back to confirmed traffic.
    pub back_ms: Option<u64>,
    /// From the decision to return to confirmed traffic.
    pub forth_ms: Option<u64>,
    /// How long the last deployment before it had acted.
    pub deployment_ms: Option<u64>,
    /// Going back took longer than the deployment by more than a tenth and a second.
    pub slower: bool,
}

pub(super) fn times(lane: &Lane, now: Timestamp) -> WireTimes {
    WireTimes {
        rollback_ms: lane.lately.rollback.map(|t| t.0),
        deployment_ms: lane.lately.deploy.map(|t| t.0),
        drill: lane.drilled.as_ref().map(|drilled| drill(drilled, now)),
    }
}

fn drill(drilled: &Drilled, now: Timestamp) -> WireDrill {
    WireDrill {
        rollout: drilled.rollout.to_string(),
        to: drilled.to.to_string(),
        at: drilled.at.0,
        ago_ms: now.since(drilled.at).0,
        cold: drilled.cold,
        passed: drilled.passed,
        cause: drilled.cause.clone(),
        back_ms: drilled.back.map(|t| t.0),
        forth_ms: drilled.forth.map(|t| t.0),
        deployment_ms: drilled.deployment.map(|t| t.0),
        slower: drilled.slower(),
    }
}
