//! The commands that change a service's database, as the declared file says it.

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// How a version brings its database to the schema that it needs, in the way of expand and contract: what expands keeps
/// earlier versions working, what contracts does not. Part of the configuration digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrate {
    /// Adds what the version needs. Run once, before its first instance starts.
    pub expand: Vec<String>,
    /// Takes back what `expand` added, once no instance of the version is left. Without it, expanding cannot be undone.
    pub revert: Option<Vec<String>>,
    /// Removes what only earlier versions need. Run once, after standby has ended and somebody has approved.
    pub contract: Option<Vec<String>>,
    /// How long each may take. Default 10m.
    pub timeout: Millis,
}
