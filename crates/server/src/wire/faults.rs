//! Faults that are injected on purpose, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::rollout::Lane;
use slipway_core::traffic::FaultKind;
use slipway_core::units::Timestamp;
use utoipa::ToSchema;

/// A fault to inject for a while. Exactly one of `latency_ms`, `abort`, `reset` and `slow_body` says what is done.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFault {
    /// Requests are held back for so long before they go on, 60,000 at the most and less than the service's timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// They are answered with this status, 400 to 599, and reach nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<u16>,
    /// Their connection is reset without an answer (HTTP/2: their stream), and they reach nobody.
    #[serde(default)]
    pub reset: bool,
    /// The answer's body comes at so many bytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_body: Option<u64>,
    /// Requests to this version; the one that serves where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of these only who is one of this cohort, as the version declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// How many of them, in basis points: 500 is 5%. Of everybody's requests to the version that serves 5000 at the most.
    pub share_bp: u16,
    /// How long, 1,000 to 3,600,000.
    pub for_ms: u64,
    /// Why, for the journal; at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An early end of all faults.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnd {
    /// Why, for the journal; at most 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A fault that is injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WireFault {
    /// Its number in the service and environment.
    pub number: u64,
    /// `latency`, `abort`, `reset` or `slow-body`.
    pub kind: String,
    /// What is done, to how many and whose requests, as a clause.
    pub what: String,
    /// Requests to this version.
    pub version: String,
    /// Of these only this cohort's.
    pub cohort: Option<String>,
    /// How many of them, in basis points.
    pub share_bp: u16,
    /// What is left of its time, milliseconds.
    pub left_ms: u64,
    /// Who began it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

impl NewFault {
    /// What is done; `None` where not exactly one thing is said.
    pub(crate) fn kind(&self) -> Option<FaultKind> {
        match (self.latency_ms, self.abort, self.reset, self.slow_body) {
            (Some(ms), None, false, None) => Some(FaultKind::Latency(slipway_core::units::Millis(ms))),
            (None, Some(status), false, None) => Some(FaultKind::Abort(status)),
            (None, None, true, None) => Some(FaultKind::Reset),
            (None, None, false, Some(rate)) => Some(FaultKind::SlowBody(rate)),
            _ => None,
        }
    }
}

pub(super) fn faults(lane: &Lane, at: Timestamp) -> Vec<WireFault> {
    let faults = lane.faults.iter().map(|begun| WireFault {
        number: begun.fault.number,
        kind: begun.fault.what.word().to_string(),
        what: begun.fault.to_string(),
        version: begun.fault.version.to_string(),
        cohort: begun.fault.cohort.as_ref().map(|cohort| cohort.name.clone()),
        share_bp: begun.fault.share.bp(),
        left_ms: begun.fault.until.since(at).0,
        by: begun.by.clone(),
        reason: begun.reason.clone(),
    });
    faults.collect()
}
