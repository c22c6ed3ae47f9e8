//! Notices that this process stood still (stopped, frozen, starved): meanwhile it heard nothing, and it may have been taken
//! out of the count. Before it routes anything more it asks for a newer table, as after a start.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::gateway::{Gateway, lock};

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
    /// Held while a stop is noted, or what was to be done after one.
    noticing: Mutex<()>,
}

impl Default for Pulse {
    fn default() -> Pulse {
        let (last_ms, waiting) = (AtomicU64::new(0), AtomicBool::new(false));
        Pulse { began: Instant::now(), last_ms, stops: watch::Sender::new(0), waiting, noticing: Mutex::default() }
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

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_missed(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms.load(Ordering::Acquire)) >= MISSED_MS
    }

    /// Takes note of a stop whose end is now, if there was one; whether this was the first to do so.
    fn look(&self, now_ms: u64, in_step: &watch::Sender<bool>) -> bool {
        if !self.is_missed(now_ms) {
            return false;
        }
        let _one = lock(&self.noticing);
        if !self.is_missed(now_ms) {
            return false;
        }
        // In this order: whoever sees that the pulse is taken again sees that requests wait, and whoever waits does not
        // take for an answer what was said before the stop.
        in_step.send_replace(false);
        self.stops.send_modify(|stops| *stops += 1);
        self.waiting.store(true, Ordering::Release);
        self.last_ms.store(now_ms, Ordering::Release);
        true
    }

    /// Requests wait no longer for what was to be said after so many stops.
    fn go_on(&self, stops: u64, then: impl FnOnce()) {
        let _one = lock(&self.noticing);
        if self.stops() == stops {
            then();
            self.waiting.store(false, Ordering::Release);
        }
    }
}

impl Gateway {
    /// Whether this process has stood still and not caught up since. For every request: it costs a look at the clock.
    pub(crate) fn is_behind(&self) -> bool {
        self.look(self.pulse.now_ms());
        self.pulse.waiting.load(Ordering::Acquire)
    }

    fn look(&self, now_ms: u64) -> bool {
        let stopped = self.pulse.look(now_ms, &self.in_step);
        if stopped {
            tracing::warn!("this process stood still: a newer table is asked for before anything is served");
        }
        stopped
    }

    /// Everything that was said until it had stood still so often has been heard. If it has done so again, that is not
    /// enough.
    pub(crate) fn note_in_step(&self, stops: u64) {
        self.pulse.go_on(stops, || _ = self.in_step.send_replace(true));
    }

    /// Waits until the control plane has said which table is the newest, for as long as a start would.
    pub(crate) async fn catch_up(&self) {
        let stops = self.pulse.stops();
        let mut in_step = self.in_step.subscribe();
        // A control plane that is away is no error: then what is at hand is served.
        let _ = tokio::time::timeout(self.tuning.table_wait, in_step.wait_for(|yes| *yes)).await;
        self.pulse.go_on(stops, || ());
    }

    /// Takes the pulse until the gateway ends.
    pub(crate) async fn keep_pulse(&self) {
        // Nobody needs to ask for anything for the wait to end.
        let mut patience = None;
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let now_ms = self.pulse.now_ms();
            if !self.look(now_ms) {
                self.pulse.last_ms.fetch_max(now_ms, Ordering::AcqRel);
            }
            let stops = self.pulse.stops();
            let (since, noticed) = *patience.get_or_insert((stops, Instant::now()));
            if since != stops {
                patience = Some((stops, Instant::now()));
            } else if noticed.elapsed() >= self.tuning.table_wait {
                self.pulse.go_on(stops, || ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_that_was_missed_is_noticed_once_by_whoever_looks_first() {
        let (pulse, in_step) = (Pulse::default(), watch::Sender::new(true));
        assert!(!pulse.look(MISSED_MS - 1, &in_step));
        assert!(pulse.look(MISSED_MS, &in_step) && !*in_step.borrow());
        assert!(!pulse.look(MISSED_MS + 1, &in_step), "somebody has noticed");
        assert!(pulse.waiting.load(Ordering::Acquire));
        assert!(pulse.look(MISSED_MS * 2, &in_step));
        pulse.go_on(1, || unreachable!("it has stood still again"));
        assert!(pulse.waiting.load(Ordering::Acquire));
        pulse.go_on(2, || ());
        assert!(!pulse.waiting.load(Ordering::Acquire));
    }
}
