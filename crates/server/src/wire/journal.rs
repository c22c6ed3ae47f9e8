//! What is said of the journal, for the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The journal is taken as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAcceptance {
    /// Why.
    pub reason: String,
}
