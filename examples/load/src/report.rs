//! What is told of the traffic: the JSON that `load` prints. Times of day are milliseconds since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::blame::Blame;

/// The whole account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When the traffic began.
    pub start_ms: u64,
    /// How long it has been going on.
    pub duration_ms: u64,
    /// Requests that ended, well or badly, repeated ones included.
    pub requests: u64,
    /// Of them, those that failed.
    pub failures: Failures,
    /// Answers that did not say which version they are of, and did not fail.
    pub unsigned: u64,
    /// From when a request was due to the end of its answer.
    pub latency: Latency,
    /// By the `X-Version` that answered.
    pub versions: BTreeMap<String, Version>,
    /// How often a user's next answer came from another version, by `old -> new`. Of two requests of one user that
    /// overlap in time, only the one that was answered first counts.
    pub switches: BTreeMap<String, u64>,
    /// The most such switches of a single user.
    pub max_switches_of_a_user: u64,
    /// The last day's seconds, oldest first.
    pub seconds: Vec<Second>,
    /// The first hundred failures.
    pub first_failures: Vec<Failure>,
}

/// Failures, by whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// See [`Blame::Service`].
    pub by_service: u64,
    /// See [`Blame::Slipway`].
    pub by_slipway: u64,
    /// By what happened: `status_500`, the error type of a `Proxy-Status`, `connect`, `no_answer`, `time_out`,
    /// `truncated`.
    pub kinds: BTreeMap<String, u64>,
}

impl Failures {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_service + self.by_slipway
    }
}

/// Quantiles in milliseconds, at most 3.2% too high.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// What one version did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Answers.
    pub requests: u64,
    /// Failed ones among them.
    pub failed: u64,
    /// Users who got an answer from it; 0 where users are not told apart.
    pub users: u64,
    /// Users who got a failed one.
    pub users_failed: u64,
    /// When its first answer came.
    pub first_ms: u64,
    /// When its last answer came.
    pub last_ms: u64,
    /// When the last request that it answered was sent.
    pub last_sent_ms: u64,
    /// When its first failed answer came.
    pub first_failed_ms: Option<u64>,
    /// As in [`Report::latency`].
    pub latency: Latency,
}

/// One second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Second {
    /// When it began.
    pub at_ms: u64,
    /// Requests that ended in it.
    pub requests: u64,
    /// Failed ones, by blame.
    pub failed_by_service: u64,
    /// Failed ones, by blame.
    pub failed_by_slipway: u64,
    /// Answers by version.
    pub versions: BTreeMap<String, u64>,
    /// As in [`Report::latency`].
    pub latency: Latency,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it was noticed.
    pub at_ms: u64,
    /// Whose it is.
    pub blame: Blame,
    /// As in [`Failures::kinds`].
    pub kind: String,
    /// The version that answered, where one did.
    pub version: Option<String>,
    /// What else is known of it, for people.
    pub detail: String,
}
