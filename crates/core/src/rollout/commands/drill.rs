//! Asking for a drill: the way back is taken on purpose and timed. Refused where it would harm somebody.

use serde_json::json;

use super::Refusal;
use crate::journal::Fact;
use crate::rollout::{Asked, Turn, drillable, observed::Observed};

/// Queues a drill; nothing else is open or waiting, so it begins in this turn.
pub fn drill(turn: &mut Turn, asked: Asked, seen: &Observed) -> Result<(), Refusal> {
    drillable(&turn.lane, seen)?;
    turn.facts.push(Fact {
        kind: "rollout.asked".to_string(),
        lane: Some(turn.lane.id.clone()),
        rollout: Some(asked.id.clone()),
        actor: asked.actor.clone(),
        cause: format!("a drill of the way back to {} is asked for", asked.release.version),
        evidence: json!({ "version": asked.release.version, "artifact": asked.release.artifact, "drill": asked.kind }),
    });
    turn.lane.queue.push(asked);
    Ok(())
}
