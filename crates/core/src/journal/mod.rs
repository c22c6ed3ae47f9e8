//! The journal: what happened, one entry for each fact or decision, chained by hashes over the stored bytes.
//!
//! Pure: makes the bytes, links them, and checks a chain that somebody has read. Called by the store.

mod chain;
pub mod kinds;

use serde::{Deserialize, Serialize};

use crate::names::{LaneId, RolloutId};
use crate::units::Timestamp;

pub use chain::{Anchor, Broken, Checker, GENESIS, Row, Verified, link};

/// Longest body of an entry in bytes.
pub const BODY_LIMIT: usize = 256 << 10;

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Dotted, stable: `step.entered`.
    pub kind: String,
    /// Whose.
    pub lane: Option<LaneId>,
    /// In which rollout.
    pub rollout: Option<RolloutId>,
    /// Who did it: `slipway`, or `user:` and a token's name.
    pub actor: String,
    /// Why, as a sentence.
    pub cause: String,
    /// What it rests on.
    pub evidence: serde_json::Value,
}

impl Fact {
    /// The environment that it is about: its lane's, or the one that its evidence names where it belongs to no service.
    pub fn environment(&self) -> Option<&str> {
        match &self.lane {
            Some(lane) => Some(lane.environment.as_str()),
            None => self.evidence.get("environment").and_then(serde_json::Value::as_str),
        }
    }
}

/// An entry as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place, from 1 without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

impl Entry {
    /// Reads entry `seq` back from its stored bytes. Bytes that are no entry, because somebody changed them, give one
    /// that says so: a journal that was meddled with can still be read.
    pub fn read(seq: u64, stored: &str) -> Entry {
        serde_json::from_str(stored).unwrap_or_else(|error| {
            let fact = Fact {
                kind: "unreadable".to_string(),
                lane: None,
                rollout: None,
                actor: "unknown".to_string(),
                cause: format!("the stored bytes of this entry are no entry ({error}); verify the journal"),
                evidence: serde_json::Value::Null,
            };
            Entry { seq, at: Timestamp(0), fact }
        })
    }

    /// The bytes that are stored and hashed: JSON, made once and never again from what was read.
    pub fn bytes(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(self)?;
        if text.len() <= BODY_LIMIT {
            return Ok(text);
        }
        let fact = Fact {
            cause: self.fact.cause.chars().take(4_000).collect(),
            evidence: serde_json::json!({ "left_out": format!("{} bytes of evidence, over the limit of {BODY_LIMIT}", text.len()) }),
            ..self.fact.clone()
        };
        serde_json::to_string(&Entry { fact, ..self.clone() })
    }
}
