//! What is known of a service's database, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::rollout::Lane;
use utoipa::ToSchema;

/// The schema of a lane's database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WireSchema {
    /// What it has been expanded to; null as long as no version has said.
    pub at: Option<u64>,
    /// What it has been contracted to: versions that need less cannot serve any more.
    pub since: Option<u64>,
    /// The command that is at work, or of which nobody knows what it has done.
    pub running: Option<WireMigration>,
    /// Contracts that are to come, by the schema that they leave.
    pub owed: Vec<u64>,
}

/// A command that changes a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WireMigration {
    /// `expand`, `revert` or `contract`.
    pub act: String,
    /// The schema that it is about.
    pub schema: u64,
    /// The version that brought it.
    pub version: String,
    /// The rollout that it belongs to.
    pub rollout: String,
    /// When it was asked for, milliseconds since 1970.
    pub asked: u64,
    /// Why nobody knows what it has done; null while it is at work.
    pub unclear: Option<String>,
}

/// What a person says of a command that was cut off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSettlement {
    /// Whether the database has what the command is for.
    pub applied: bool,
}

/// What is known, where any version has spoken of a database.
pub(super) fn schema(lane: &Lane) -> Option<WireSchema> {
    let schema = &lane.schema;
    let running = schema.running.as_ref().map(|m| WireMigration {
        act: m.act.as_str().to_string(),
        schema: m.schema,
        version: m.version.to_string(),
        rollout: m.rollout.to_string(),
        asked: m.asked.0,
        unclear: m.unclear.clone(),
    });
    let owed = schema.owed.iter().map(|owed| owed.schema).collect();
    let known = WireSchema { at: schema.at, since: schema.since, running, owed };
    (known != WireSchema::default()).then_some(known)
}
