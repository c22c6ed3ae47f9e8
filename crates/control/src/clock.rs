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
        Clock::starting_at(SystemTime::now(), not_before)
    }

    /// The wall is looked at this once and never again.
    fn starting_at(wall: SystemTime, not_before: Timestamp) -> Clock {
        let wall = wall.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        Clock { base: Timestamp(wall).max(not_before), started: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.base.0 + self.started.elapsed().as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wall_that_went_back_does_not_bring_the_past_back() {
        let recorded = Timestamp(1_800_000_000_000);
        let an_hour_before = UNIX_EPOCH + Duration::from_millis(recorded.0 - 3_600_000);
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        for wall in [an_hour_before, before_1970] {
            let clock = Clock::starting_at(wall, recorded);
            let (first, second) = (clock.now(), clock.now());
            assert!(recorded <= first && first <= second);
            assert!(first.since(recorded).0 < 3_600_000, "nor does it leap");
        }
    }

    #[test]
    fn a_wall_that_went_on_is_believed_at_the_start() {
        let wall = UNIX_EPOCH + Duration::from_millis(1_800_000_000_000);
        assert!(Clock::starting_at(wall, Timestamp(5)).now() >= Timestamp(1_800_000_000_000));
    }
}
