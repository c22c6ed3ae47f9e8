//! Outcomes, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::names::LaneId;
use slipway_core::outcome::Outcome;
use slipway_core::units::Timestamp;
use utoipa::ToSchema;

/// Longest key, subject and id in bytes.
const TEXT_LIMIT: usize = 256;

/// A batch of outcomes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOutcomes {
    /// Up to 1,000 of them. Each is read by itself, so that what is wrong with one is told and the others count.
    #[schema(value_type = Vec<NewOutcome>)]
    pub outcomes: Vec<serde_json::Value>,
}

/// Something that happened to a user, or a complaint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOutcome {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// What happened: `order_failed`, `complaint`; `alive` says that nothing did.
    pub kind: String,
    /// The user's assignment key: what the sticky cookie or header holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version, where the reporter knows it. Goes before the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is about, an order's number: ties an end to its beginning. The key where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When, in milliseconds since 1970; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// The same for the same event, however often it is sent.
    pub id: String,
}

impl NewOutcome {
    /// Reads one of a batch, or says what is wrong with it.
    pub(crate) fn of(value: serde_json::Value) -> Result<NewOutcome, String> {
        const FIELDS: &str = "an outcome is { service, environment, kind, id } and may have key, version, subject, and at \
                              in whole milliseconds since 1970";
        serde_json::from_value(value).map_err(|error| format!("{error}; {FIELDS}"))
    }

    /// The outcome, or what is wrong with it.
    pub(crate) fn read(self, now: Timestamp) -> Result<Outcome, String> {
        let texts = [("key", self.key.as_deref()), ("subject", self.subject.as_deref()), ("id", Some(&self.id))];
        for (name, text) in texts {
            if text.is_some_and(|text| text.is_empty() || text.len() > TEXT_LIMIT) {
                return Err(format!("{name} has 1 to {TEXT_LIMIT} bytes"));
            }
        }
        let service = self.service.parse().map_err(|e| format!("service: {e}"))?;
        let environment = self.environment.parse().map_err(|e| format!("environment: {e}"))?;
        let version = self.version.map(|v| v.parse().map_err(|e| format!("version: {e}"))).transpose()?;
        Ok(Outcome {
            lane: LaneId { service, environment },
            kind: self.kind.parse().map_err(|e| format!("kind: {e}"))?,
            key: self.key,
            version,
            subject: self.subject,
            at: self.at.map_or(now, Timestamp),
            id: self.id,
        })
    }
}

/// What came of a batch.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Reported {
    /// How many count now.
    pub taken: usize,
    /// How many had been taken before.
    pub again: usize,
    /// Those that do not count, and why.
    pub refused: Vec<RefusedOutcome>,
}

/// An outcome that does not count.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefusedOutcome {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// A short code, stable.
    pub code: String,
    /// Why, and what to do.
    pub why: String,
}
