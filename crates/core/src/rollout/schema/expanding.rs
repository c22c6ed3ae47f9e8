//! Expanding: the step before the first instance of a version that needs another schema.

use super::{Act, Expanded, ask, unclear};
use crate::rollout::advance::{done, hold};
use crate::rollout::turn::Turn;
use crate::units::Timestamp;

/// One look at the step. Returns whether something moved.
pub(in crate::rollout) fn expand(turn: &mut Turn, schema: u64, now: Timestamp) -> bool {
    if let Some(reason) = unclear(&turn.lane) {
        hold(turn, reason, Vec::new(), now);
        return false;
    }
    if turn.lane.schema.at.is_some_and(|at| at >= schema) {
        return done(turn, &format!("the database has schema {schema}"), now);
    }
    if turn.lane.schema.running.is_some() {
        return false;
    }
    let Some(open) = &turn.lane.open else { return false };
    let (release, rollout) = (open.release.clone(), open.id.clone());
    let before = turn.lane.schema.at;
    turn.lane.schema.expanded = Some(Expanded { release: release.clone(), rollout: rollout.clone(), before });
    ask(turn, Act::Expand, &release, &rollout, now);
    false
}
