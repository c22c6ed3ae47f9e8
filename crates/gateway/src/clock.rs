//! The clock that goes on while the machine is suspended, and how far it is ahead of the one by which this process sleeps.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The two clocks do not differ by so much unless the machine was suspended.
const SUSPENDED_MS: u64 = 1_000;

/// Milliseconds since the machine's boot, suspended time included.
pub(crate) fn since_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or_default() * 1_000 + nanos.unwrap_or_default() / 1_000_000
}

/// How long ago something was, by that clock.
pub(crate) fn elapsed(since_boot: u64) -> Duration {
    Duration::from_millis(since_boot_ms().saturating_sub(since_boot))
}

/// Notices that the machine was suspended: then its clock since boot goes on, and the one of this process does not.
#[derive(Debug)]
pub(crate) struct Suspensions {
    began: Instant,
    ahead_ms: Option<u64>,
}

impl Default for Suspensions {
    fn default() -> Suspensions {
        let mut suspensions = Suspensions { began: Instant::now(), ahead_ms: None };
        let _ = suspensions.noticed();
        suspensions
    }
}

impl Suspensions {
    /// For how long it was since the last look, if it was.
    pub(crate) fn noticed(&mut self) -> Option<Duration> {
        // In this order: a process that stands still between the two takes nothing for a suspension.
        let since_boot_ms = since_boot_ms();
        self.look(since_boot_ms, u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn look(&mut self, since_boot_ms: u64, now_ms: u64) -> Option<Duration> {
        let ahead = since_boot_ms.checked_sub(now_ms)?;
        let before = self.ahead_ms.unwrap_or(ahead);
        let time = ahead.saturating_sub(before);
        self.ahead_ms = Some(before.max(ahead));
        (time >= SUSPENDED_MS).then(|| Duration::from_millis(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_machine_is_told_from_a_busy_one() {
        let mut suspensions = Suspensions { began: Instant::now(), ahead_ms: None };
        for (since_boot, now) in [(50_000, 100), (50_190, 300), (59_000, 9_100), (59_210, 9_300)] {
            assert_eq!(suspensions.look(since_boot, now), None, "both clocks went on");
        }
        assert_eq!(suspensions.look(129_310, 9_400), Some(Duration::from_millis(70_000)));
        assert_eq!(suspensions.look(129_510, 9_600), None, "that is noted once");
        assert_eq!(suspensions.look(129_610, 19_600), None, "it stood still between the two looks");
        assert_eq!(suspensions.look(139_610, 19_700), None, "and that is no suspension afterwards");
    }
}
