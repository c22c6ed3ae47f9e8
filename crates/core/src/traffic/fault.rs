//! Faults that somebody injects on purpose: what is done to a share of a version's requests, and until when at the latest.
//!
//! A fault is a lease that nobody renews. Each gateway measures its length from when it first hears of it, on a clock that
//! does not jump, and stops by itself, whether or not anybody is left to tell it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cohort::CohortRule;
use crate::names::VersionName;
use crate::units::{Millis, Timestamp, Weight};

/// No fault lasts longer.
pub const LONGEST_FAULT: Millis = Millis::from_secs(3_600);
/// No request is held back longer.
pub const LONGEST_LATENCY: Millis = Millis::from_secs(60);
/// Faults of one service in one environment at once.
pub const MOST_FAULTS: usize = 8;

/// A fault that is injected into some of a version's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFault {
    /// Its number in the lane, never given twice.
    pub number: u64,
    /// What is done.
    pub what: FaultKind,
    /// Whose requests: those that would go to an instance of this version.
    pub version: VersionName,
    /// Of these only who is one of this cohort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<FaultCohort>,
    /// How many of them, never more.
    pub share: Weight,
    /// How long in all.
    pub length: Millis,
    /// When that is over by the control plane's clock: what a gateway that hears of it late goes by, within `length`.
    pub until: Timestamp,
    /// It was injected into a version that is coming and judged, first releases among them: what comes of it is evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub judged: bool,
}

/// Whose requests a fault is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCohort {
    /// Its name in the declared file.
    pub name: String,
    /// What makes a request one of its.
    pub rule: CohortRule,
}

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is held back for so long before it goes on.
    Latency(Millis),
    /// It is answered with this status and reaches nobody.
    Abort(u16),
    /// Its connection is reset without an answer (HTTP/2: its stream), and it reaches nobody.
    Reset,
    /// Its answer's body comes at so many bytes a second.
    SlowBody(u64),
}

impl FaultKind {
    /// One word, as in the access log.
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Latency(_) => "latency",
            FaultKind::Abort(_) => "abort",
            FaultKind::Reset => "reset",
            FaultKind::SlowBody(_) => "slow-body",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Latency(delay) => write!(f, "latency of {delay}"),
            FaultKind::Abort(status) => write!(f, "abort with {status}"),
            FaultKind::Reset => f.write_str("reset"),
            FaultKind::SlowBody(rate) => write!(f, "slow body at {rate} B/s"),
        }
    }
}

impl fmt::Display for InjectedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} of the requests to {}", self.what, self.share, self.version)?;
        match &self.cohort {
            Some(cohort) => write!(f, " of cohort {}", cohort.name),
            None => Ok(()),
        }
    }
}
