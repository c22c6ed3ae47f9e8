//! The control plane's clock: set once from the wall, then carried on by the time since the machine's boot, so that a clock
//! that jumps neither ends a step early nor keeps one open, and a machine that was suspended does not leave it behind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use slipway_core::units::Timestamp;

/// A clock that never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    /// Since the machine's boot, suspended time included.
    started: Duration,
}

/// How long ago the machine was booted, suspended time included.
fn since_boot() -> Duration {
    // The kernel's clock begins at nought and never goes back.
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
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
        Clock { base: Timestamp(wall).max(not_before), started: since_boot() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.at(since_boot())
    }

    fn at(&self, since_boot: Duration) -> Timestamp {
        Timestamp(self.base.0 + since_boot.saturating_sub(self.started).as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
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
