//! Who asks, and under which key: a request that comes again under its key is not carried out again.
//!
//! The server answers most repetitions from memory. This is for the one that finds no answer there, because the control
//! plane was killed after the act: the key was kept with the act itself, in the same transaction.

use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::Turn;

use crate::engine::Engine;
use crate::error::Error;

/// The newest rollouts of a lane in which a key is looked for. Whoever asks again does so within a minute.
const LOOKED_THROUGH: u32 = 20;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// As the journal names it.
    pub actor: String,
    /// What this request and its repetitions have in common, if it came with something.
    pub key: Option<String>,
}

impl By {
    /// Somebody who asks once.
    pub fn once(actor: &str) -> By {
        By { actor: actor.to_string(), key: None }
    }

    /// Keeps the key with the open rollout that was just acted on.
    pub(crate) fn leave_key(&self, turn: &mut Turn) {
        if let (Some(open), Some(key)) = (&mut turn.lane.open, &self.key) {
            open.keys.push(key.clone());
        }
    }

    /// The rollout that an earlier request under the same key asked for or acted on. A store that cannot be read knows
    /// of none: it must not keep anybody from going back.
    pub(crate) async fn before(&self, engine: &Engine, id: &LaneId) -> Result<Option<RolloutId>, Error> {
        let Some(key) = &self.key else { return Ok(None) };
        if !engine.knows(id) {
            return Ok(None);
        }
        let Some(lane) = engine.lane(id).await? else { return Ok(None) };
        if let Some(known) = lane.asked_under(key) {
            return Ok(Some(known));
        }
        match engine.store.history(&id.service, Some(&id.environment), LOOKED_THROUGH).await {
            Ok(records) => Ok(records.into_iter().find(|r| has(&r.doc, key)).map(|r| r.id)),
            Err(error) => {
                tracing::warn!(%error, "the history could not be searched for the key of a request");
                Ok(None)
            }
        }
    }
}

fn has(doc: &str, key: &str) -> bool {
    let doc: serde_json::Value = serde_json::from_str(doc).unwrap_or_else(|error| {
        tracing::warn!(%error, "a rollout's row could not be searched for the key of a request");
        serde_json::Value::Null
    });
    doc["keys"].as_array().is_some_and(|keys| keys.iter().any(|k| k == key))
}
