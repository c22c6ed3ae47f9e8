//! Rollouts as rows of the history.

use slipway_core::rollout::{Lane, Rollout};
use slipway_store::RolloutRecord;

use crate::error::Error;

/// The rows that a commit of `lane` brings up to date: what ended in it, and what is open.
pub(crate) fn of(lane: &Lane, ended: &[Rollout]) -> Result<Vec<RolloutRecord>, Error> {
    ended.iter().chain(&lane.open).map(|rollout| record(lane, rollout)).collect()
}

fn record(lane: &Lane, rollout: &Rollout) -> Result<RolloutRecord, Error> {
    Ok(RolloutRecord {
        id: rollout.id.clone(),
        lane: lane.id.clone(),
        version: rollout.release.version.clone(),
        strategy: rollout.plan.strategy.clone(),
        outcome: rollout.ended().map(|(outcome, _)| outcome.as_str().to_string()),
        started_at: rollout.began_at,
        ended_at: rollout.ended_at,
        doc: serde_json::to_string(rollout)?,
    })
}
