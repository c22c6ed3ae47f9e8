//! What is asked of that which serves, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::rollout::Lane;
use utoipa::ToSchema;

/// Another number of instances.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScale {
    /// How many: 1 to 1000.
    pub instances: u32,
}

/// Maintenance that begins.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMaintenance {
    /// How long a request is held before it is told, 60,000 at the most.
    #[serde(default)]
    pub hold_ms: u64,
    /// What it is told: HTML where it begins with `<`, otherwise plain text; at most 64 KiB. A sentence where absent.
    #[serde(default)]
    pub page: Option<String>,
    /// When a client is told to come back; 30,000 where absent.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

/// A restart that goes on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireRestart {
    /// Who asked.
    pub by: String,
    /// Instances that are still to be replaced.
    pub left: usize,
    /// Of how many.
    pub of: usize,
}

pub(super) fn restart(lane: &Lane) -> Option<WireRestart> {
    lane.restarting.as_ref().map(|r| WireRestart { by: r.by.clone(), left: r.left.len(), of: r.of })
}
