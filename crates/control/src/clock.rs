//! The control plane's clock: set once from the wall, then carried on by a monotonic one, so that a clock that jumps
//! neither ends a step early nor keeps one open.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use slipway_core::units::Timestamp;

/// A clock that never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that begins at the wall's time, or at `not_before` where the wall is behind it: what was recorded
    /// stays in the past.
    pub fn starting(not_before: Timestamp) -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        Clock { base: Timestamp(wall).max(not_before), started: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.base.0 + self.started.elapsed().as_millis() as u64)
    }
}
