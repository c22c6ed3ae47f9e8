//! Smoke tests as values: what a run of them showed, how captured values are filled in, and whether an answer is the
//! expected one. Sends nothing: a target does that, and asks here.

mod expect;
mod template;

pub use expect::{Answer, check, contains};
pub use template::{Values, capture, fill, fill_json, shorten};

use serde::{Deserialize, Serialize};

use crate::names::InstanceId;
use crate::units::{Millis, Timestamp};

/// What the smoke tests showed for one incarnation of one instance. Evidence in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeReport {
    /// The instance.
    pub instance: InstanceId,
    /// Which start of it.
    pub incarnation: u32,
    /// When the run ended.
    pub at: Timestamp,
    /// In order; those after the first failure are not run.
    pub tests: Vec<SmokeResult>,
}

impl SmokeReport {
    /// Whether every test passed. No tests at all pass.
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|t| t.failure.is_none())
    }

    /// The first failure, as `name: what was wrong`.
    pub fn failure(&self) -> Option<String> {
        self.tests.iter().find_map(|t| t.failure.as_ref().map(|why| format!("{}: {why}", t.name)))
    }
}

/// One test of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeResult {
    /// The test's name.
    pub name: String,
    /// How long it took.
    pub took: Millis,
    /// What was wrong: what was expected and what came instead, at most 500 characters.
    pub failure: Option<String>,
}
