//! Reverting: what was expanded for a rollout that did not succeed is taken back once nothing of its version is left.
//! The traffic went back long before; nobody waits for this but the next release.

use serde_json::json;

use super::{Act, ask};
use crate::rollout::turn::{ENGINE, Turn};
use crate::units::Timestamp;

/// Takes back what the last rollout expanded, where it is over and did not succeed.
pub(in crate::rollout) fn take_back(turn: &mut Turn, now: Timestamp) {
    let Some(expanded) = turn.lane.schema.expanded.clone() else { return };
    let version = &expanded.release.version;
    let open = turn.lane.open.as_ref().is_some_and(|open| open.id == expanded.rollout);
    let running = turn.lane.schema.running.is_some();
    if open || running || turn.lane.slots.iter().any(|slot| slot.version == *version) {
        return;
    }
    let revertible = expanded.release.spec.migrate.as_ref().is_some_and(|migrate| migrate.revert.is_some());
    if revertible {
        return ask(turn, Act::Revert, &expanded.release, &expanded.rollout, now);
    }
    turn.lane.schema.expanded = None;
    let at = turn.lane.schema.at;
    let sentence = format!("the database keeps what was expanded for {version}: no revert is declared");
    turn.record("schema.stays", ENGINE, sentence, json!({ "schema": at, "version": version }));
    if let Some(fact) = turn.facts.last_mut() {
        fact.rollout = Some(expanded.rollout);
    }
}
