//! Asking for a contract whose time has come: it waits for somebody's word, like every point of no return.

use serde_json::json;

use super::{Refusal, refuse};
use crate::journal::Fact;
use crate::rollout::schema::contract_due;
use crate::rollout::{Asked, Turn};

/// Queues the contract that `asked` brings.
pub fn contract(turn: &mut Turn, asked: Asked) -> Result<(), Refusal> {
    let due = contract_due(&turn.lane).filter(|owed| owed.release.version == asked.release.version);
    let Some(schema) = due.map(|owed| owed.schema) else {
        return refuse("nothing_to_contract", format!("no contract of {} is due", turn.lane.id));
    };
    turn.facts.push(Fact {
        kind: "rollout.asked".to_string(),
        lane: Some(turn.lane.id.clone()),
        rollout: Some(asked.id.clone()),
        actor: asked.actor.clone(),
        cause: format!(
            "contract of schema {schema} ({}) waits for somebody's word: slipway approve {}",
            asked.release.version, asked.id
        ),
        evidence: json!({ "version": asked.release.version, "artifact": asked.release.artifact, "schema": schema }),
    });
    turn.lane.queue.push(asked);
    Ok(())
}
