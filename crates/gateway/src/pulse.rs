//! Notices that this process stood still (stopped, frozen, starved): meanwhile it heard nothing, and it may have been taken
//! out of the count. Before it routes anything more it asks for a newer table, as after a start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::gateway::Gateway;

/// How often this process takes its pulse.
const EVERY: Duration = Duration::from_millis(200);
/// A pulse that is this late was missed.
const MISSED_MS: u64 = 2_000;

/// The pulse of this process.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    last_ms: AtomicU64,
    /// How often it stood still.
    stops: watch::Sender<u64>,
    /// Whether requests wait until it has caught up.
    waiting: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Pulse {
        let (last_ms, waiting) = (AtomicU64::new(0), AtomicBool::new(false));
        Pulse { began: Instant::now(), last_ms, stops: watch::Sender::new(0), waiting }
    }
}

impl Pulse {
    /// How often this process stood still.
    pub(crate) fn stops(&self) -> u64 {
        *self.stops.borrow()
    }

    /// Resolves when it has stood still more often than `since`.
    pub(crate) async fn stopped(&self, since: u64) {
        // It lives as long as this does.
        let _ = self.stops.subscribe().wait_for(|stops| *stops > since).await;
    }

    /// Everything that was said up to the stop after `since` has been heard: how often it had stood still then.
    pub(crate) fn caught_up(&self, since: u64) -> u64 {
        self.waiting.store(false, Ordering::Release);
        since + 1
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes note of a stop whose end is now, if there was one; whether this was the first to do so.
    fn look(&self, now_ms: u64) -> bool {
        let last = self.last_ms.load(Ordering::Acquire);
        if now_ms.saturating_sub(last) < MISSED_MS {
            return false;
        }
        // Before anybody can see that the pulse is taken again.
        self.waiting.store(true, Ordering::Release);
        self.last_ms.compare_exchange(last, now_ms, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Gateway {
    /// Whether this process has stood still and not caught up since. For every request: it costs a look at the clock.
    pub(crate) fn is_behind(&self) -> bool {
        self.look() || self.pulse.waiting.load(Ordering::Acquire)
    }

    fn look(&self) -> bool {
        let stopped = self.pulse.look(self.pulse.now_ms());
        if stopped {
            self.pulse.stops.send_modify(|stops| *stops += 1);
            // After that: what was said before the stop puts nobody in step any more.
            self.in_step.send_replace(false);
            tracing::warn!("this process stood still: a newer table is asked for before anything is served");
        }
        stopped
    }

    /// Waits until the control plane has said which table is the newest, for as long as a start would.
    pub(crate) async fn catch_up(&self) {
        let mut in_step = self.in_step.subscribe();
        // A control plane that is away is no error: then what is at hand is served.
        let _ = tokio::time::timeout(self.tuning.table_wait, in_step.wait_for(|yes| *yes)).await;
        self.pulse.waiting.store(false, Ordering::Release);
    }

    /// Takes the pulse until the gateway ends.
    pub(crate) async fn keep_pulse(&self) {
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if self.look() {
                self.catch_up().await;
            }
            self.pulse.last_ms.store(self.pulse.now_ms(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_that_was_missed_is_noticed_once_by_whoever_looks_first() {
        let pulse = Pulse::default();
        assert!(!pulse.look(MISSED_MS - 1));
        assert!(pulse.look(MISSED_MS));
        assert!(!pulse.look(MISSED_MS + 1), "somebody has noticed");
        assert!(pulse.waiting.load(Ordering::Acquire));
        assert!(pulse.look(MISSED_MS * 2));
    }
}
