//! Probes, as the declared file asks for them: requests that Slipway sends itself where users send too few.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// Requests that Slipway sends to candidate and stable alike while a step is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Requests per second to each of the two versions.
    pub rate: f64,
    /// What is sent.
    pub request: ProbeRequest,
    /// How long the head of an answer may take. Default 5s.
    pub timeout: Millis,
}

/// The request of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// Default GET.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Extra headers.
    pub headers: BTreeMap<String, String>,
    /// Its body, if any.
    pub body: Option<String>,
}

impl Probe {
    /// From one probe of a version to its next.
    pub fn interval(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(1.0 / self.rate.clamp(Probe::SLOWEST, Probe::FASTEST))
    }

    /// No probe goes out more rarely, in requests per second.
    pub(in crate::spec) const SLOWEST: f64 = 0.1;
    /// None goes out more often.
    pub(in crate::spec) const FASTEST: f64 = 50.0;
}
