//! Resuming: a paused rollout goes on where it was; a held one starts its step's evidence and clock afresh.

use serde_json::json;

use super::{Refusal, open, refuse};
use crate::rollout::asking;
use crate::rollout::outage::restart_step;
use crate::rollout::{State, Turn};
use crate::units::Timestamp;

/// Resumes the open rollout.
pub fn resume(turn: &mut Turn, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let rollout = open(&turn.lane)?;
    match rollout.state.clone() {
        State::Paused { since, .. } => {
            if let Some(rollout) = &mut turn.lane.open {
                rollout.progress.forgiven.0 += now.since(since).0;
                rollout.state = State::Running;
            }
        }
        State::Held { .. } => {
            let unclear = turn.lane.schema.running.as_ref().filter(|m| m.unclear.is_some() && m.rollout == rollout.id);
            if let Some(migration) = unclear {
                let (act, lane) = (migration.act.as_str(), &turn.lane.id);
                let todo = format!(
                    "slipway migration {} --env {} --settle applied|not-applied",
                    lane.service, lane.environment
                );
                return refuse(
                    "migration_unclear",
                    format!("nobody knows what {act} has done: look, then say it with {todo}"),
                );
            }
            if let Some(rollout) = &mut turn.lane.open {
                rollout.state = State::Running;
            }
            restart_step(turn, now);
        }
        State::Undoing(_) => return refuse("on_its_way_back", "it is on its way back"),
        _ => return refuse("not_paused", "it is neither paused nor held"),
    }
    if let Some(rollout) = &mut turn.lane.open {
        asking::again(rollout);
    }
    turn.record("rollout.resumed", actor, format!("resumed by {actor}"), json!(null));
    Ok(())
}
