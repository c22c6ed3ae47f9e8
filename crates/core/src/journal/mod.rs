//! The journal's entries.

use serde::{Deserialize, Serialize};

use crate::names::{LaneId, RolloutId};

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Dotted: `step.entered`.
    pub kind: String,
    /// Whose.
    pub lane: Option<LaneId>,
    /// In which rollout.
    pub rollout: Option<RolloutId>,
    /// Who did it.
    pub actor: String,
    /// Why, as a sentence.
    pub cause: String,
    /// What it rests on.
    pub evidence: serde_json::Value,
}
