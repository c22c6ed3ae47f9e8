//! Pausing: the traffic stays as it is, the fail rule goes on, nothing advances.

use serde_json::json;

use super::{Refusal, open, refuse};
use crate::rollout::{State, Turn};
use crate::units::Timestamp;

/// Pauses the open rollout.
pub fn pause(turn: &mut Turn, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let rollout = open(&turn.lane)?;
    match &rollout.state {
        State::Running => {}
        State::Paused { by, .. } => {
            return refuse("already_paused", format!("{} was already paused by {by}", rollout.id));
        }
        State::Held { reason, .. } => {
            return refuse("held", format!("{} is held already and does not advance: {reason}", rollout.id));
        }
        _ => return refuse("on_its_way_back", format!("{} is on its way back", rollout.id)),
    }
    turn.record("rollout.paused", actor, format!("paused by {actor}"), json!(null));
    if let Some(rollout) = &mut turn.lane.open {
        rollout.state = State::Paused { by: actor.to_string(), since: now };
    }
    Ok(())
}
