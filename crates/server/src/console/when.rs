//! Moments, as pages show them: exact in UTC for everybody, and turned into the viewer's zone by the script.

use slipway_core::units::Timestamp;

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// For machines: `2026-11-23T20:55:06Z`.
    pub machine: String,
    /// For people: `23 Nov 20:55:06 UTC`.
    pub text: String,
}

impl When {
    /// A moment in milliseconds since 1970.
    pub fn at(ms: u64) -> When {
        let machine = Timestamp(ms).to_string();
        let text = jiff::Timestamp::from_millisecond(ms as i64)
            .map(|t| t.strftime("%-d %b %H:%M:%S UTC").to_string())
            .unwrap_or_else(|_| machine.clone());
        When { machine, text }
    }
}
