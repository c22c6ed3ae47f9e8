//! Outcomes: what became of a user's business, as somebody reports it, made into evidence for the judge.
//!
//! A [`Ledger`] takes reports in, attributes each to the version that the user was assigned to, counts each once, and
//! adds what came of it to the gateways' counts, so that one judge serves both. It is a value without a clock; whoever
//! observes keeps it. It is not kept over a restart: then evidence begins anew, which delays a verdict and makes none.

mod again;
mod kind;
mod ledger;
mod place;
mod tally;
#[cfg(test)]
mod tests;
mod waits;

use crate::names::{LaneId, VersionName};
use crate::units::{Millis, Timestamp};

pub use kind::{InvalidKind, Kind};
pub use ledger::Ledger;

/// Outcomes older than this are refused; ids are remembered at least as long.
pub const OLDEST: Millis = Millis::from_secs(300);
/// How far a reporter's clock may be ahead.
pub const AHEAD: Millis = Millis::from_secs(2);

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Of which service, where.
    pub lane: LaneId,
    /// What.
    pub kind: Kind,
    /// To whom: the assignment key of their requests.
    pub key: Option<String>,
    /// Under which version, where the reporter knows it. Goes before the key.
    pub version: Option<VersionName>,
    /// About what, an order's number: ties an end to its beginning where a user may have several. Default: the key.
    pub subject: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The same for the same event, however often it is sent.
    pub id: String,
}

/// What came of a report that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new.
    New,
    /// It had been taken before; it counts once.
    Again,
}

/// Why a report was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was ever released there.
    #[error("nothing was ever released to {0}")]
    UnknownLane(LaneId),
    /// Neither a key nor a version.
    #[error("it names neither the user's assignment key nor the version, so nobody can tell whose it is")]
    Nobody,
    /// No version, where keys say nothing.
    #[error("it names no version, and no key says which of a worker's instances took a job: send VERSION")]
    NoVersion,
    /// Not a version of this lane.
    #[error("{lane} has no version {version}")]
    UnknownVersion {
        /// Where.
        lane: LaneId,
        /// What.
        version: VersionName,
    },
    /// A version that had no users then.
    #[error("version {0} had no users at that time")]
    NotServing(VersionName),
    /// Too long ago, or before this control plane began to look.
    #[error("it is from before anything that is still looked at: report within {OLDEST}")]
    TooOld,
    /// From the future.
    #[error("its time is in the future: look at the reporter's clock")]
    TooEarly,
    /// The traffic was moving just then.
    #[error("the traffic was moving just then, so the key stood for one version or the other; name the version")]
    Between,
    /// No memory left for more beginnings.
    #[error("too many beginnings wait for their end; send it again later")]
    Full,
}

impl Refused {
    /// A short code, stable.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::UnknownLane(_) => "unknown_lane",
            Refused::Nobody => "nobody",
            Refused::NoVersion => "no_version",
            Refused::UnknownVersion { .. } => "unknown_version",
            Refused::NotServing(_) => "not_serving",
            Refused::TooOld => "too_old",
            Refused::TooEarly => "in_the_future",
            Refused::Between => "traffic_moving",
            Refused::Full => "full",
        }
    }
}

/// A hash of texts that are kept apart.
fn hash(parts: &[&str]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.digest()
}
