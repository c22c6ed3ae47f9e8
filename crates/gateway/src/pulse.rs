//! Notices that this process stood still (stopped, frozen, starved, or suspended with its machine): meanwhile it heard nothing, and it may have been taken
//! out of the count. Before it routes anything more it asks for a newer table, as after a start.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::gateway::{Gateway, lock};
use crate::table_store::since_boot_ms;

/// How often this process takes its pulse.
const EVERY: Duration = Duration::from_millis(200);
/// The two clocks do not differ by so much unless the machine was suspended.
const SUSPENDED_MS: u64 = 1_000;
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
        self.stand_still(now_ms, in_step);
        true
    }

    fn stand_still(&self, now_ms: u64, in_step: &watch::Sender<bool>) {
        // In this order: whoever sees that the pulse is taken again sees that requests wait, and whoever waits does not
        // take for an answer what was said before the stop.
        in_step.send_replace(false);
        self.stops.send_modify(|stops| *stops += 1);
        self.waiting.store(true, Ordering::Release);
        self.last_ms.store(now_ms, Ordering::Release);
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

/// Notices that the machine was suspended: then its clock since boot goes on, and the one of this process does not.
#[derive(Default)]
struct Suspensions {
    ahead_ms: Option<u64>,
}

impl Suspensions {
    /// For how long it was since the last look, if it was.
    fn look(&mut self, since_boot_ms: u64, now_ms: u64) -> Option<Duration> {
        let ahead = since_boot_ms.checked_sub(now_ms)?;
        let before = self.ahead_ms.replace(ahead)?;
        let time = ahead.saturating_sub(before);
        (time >= SUSPENDED_MS).then(|| Duration::from_millis(time))
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
        self.catch_up_within(self.tuning.table_wait).await;
    }

    /// The same for as long as is said.
    pub(crate) async fn catch_up_within(&self, limit: Duration) {
        let stops = self.pulse.stops();
        let mut in_step = self.in_step.subscribe();
        // A control plane that is away is no error: then what is at hand is served.
        let _ = tokio::time::timeout(limit, in_step.wait_for(|yes| *yes)).await;
        self.pulse.go_on(stops, || ());
    }

    /// Takes the pulse until the gateway ends.
    pub(crate) async fn keep_pulse(&self) {
        // Nobody needs to ask for anything for the wait to end.
        let mut patience = None;
        let mut suspensions = Suspensions::default();
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let now_ms = self.pulse.now_ms();
            if let Some(time) = suspensions.look(since_boot_ms(), now_ms) {
                tracing::warn!(seconds = time.as_secs(), "this machine was suspended");
                {
                    let _one = lock(&self.pulse.noticing);
                    self.pulse.stand_still(now_ms, &self.in_step);
                }
                self.pass(time).await;
            } else if !self.look(now_ms) {
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

    #[test]
    fn a_suspended_machine_is_told_from_a_busy_one() {
        let mut suspensions = Suspensions::default();
        for (since_boot, now) in [(50_000, 100), (50_190, 300), (59_000, 9_100), (59_210, 9_300)] {
            assert_eq!(suspensions.look(since_boot, now), None, "both clocks went on");
        }
        assert_eq!(suspensions.look(129_310, 9_400), Some(Duration::from_millis(70_000)));
        assert_eq!(suspensions.look(129_510, 9_600), None, "that is noted once");
        assert_eq!(suspensions.look(0, 9_800), None, "a system that does not say");
        assert_eq!(suspensions.look(129_910, 10_000), None);
    }

    /// A lease of half a minute, and a fault.
    fn leased_and_faulty() -> slipway_core::traffic::RoutingTable {
        serde_json::from_value(serde_json::json!({ "generation": 1, "routes": [{
            "service": "shop", "environment": "production", "matches": [], "epoch": 1, "salt": "",
            "split": [{ "version": "c", "weight": 10_000 }], "fallback": [{ "version": "s", "weight": 10_000 }],
            "lease": 30_000, "sticky": { "cookie": null, "header": null }, "objectives": [],
            "versions": [
                { "version": "s", "role": "stable", "endpoints": [] }, { "version": "c", "role": "candidate", "endpoints": [] },
            ],
            "limits": { "response": 1_000, "drain": 1_000, "drain_long": 1_000, "body_bytes": 1_000 },
            "faults": [{
                "number": 1, "what": "reset", "version": "s", "share": 100, "length": 30_000, "until": u64::MAX,
            }],
        }] }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_lease_and_a_fault_are_over_once_a_suspended_machine_wakes_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::table_store::TableStore::open(folder.path()).unwrap();
        let gateway = Gateway::start("gw".into(), crate::server::Tuning::default(), store, None);
        gateway.apply(leased_and_faulty(), Instant::now()).await.unwrap();
        gateway.pass(Duration::from_secs(10)).await;
        assert!(gateway.lapses().await.is_empty(), "there is a little left");
        assert_eq!(gateway.served().faults().filter(|fault| fault.goes_on()).count(), 1);
        gateway.pass(Duration::from_secs(50)).await;
        assert_eq!(gateway.lapses().await.len(), 1);
        assert_eq!(gateway.served().faults().filter(|fault| fault.goes_on()).count(), 0);
    }

    #[tokio::test]
    async fn nothing_is_routed_after_a_stop_before_what_was_said_until_then_has_been_heard() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::table_store::TableStore::open(folder.path()).unwrap();
        let tuning = crate::server::Tuning { table_wait: Duration::from_secs(3_600), ..Default::default() };
        let mut gateway = Gateway::start("gw".into(), tuning, store, None);
        gateway.note_in_step(0);
        assert!(gateway.dispatch(&gateway.served()).is_some());
        // As if it had begun earlier, and nobody had looked since.
        gateway.pulse.began = Instant::now().checked_sub(Duration::from_millis(MISSED_MS + 1)).unwrap();
        assert!(gateway.dispatch(&gateway.served()).is_none(), "a request that was waiting for it");
        assert_eq!(gateway.pulse.stops(), 1);
        // The answer to what it asked before it stood still.
        gateway.note_in_step(0);
        let waits = tokio::time::timeout(Duration::from_millis(20), gateway.current()).await;
        assert!(waits.is_err() && gateway.is_behind());
        gateway.note_in_step(1);
        let seen = gateway.current().await;
        assert!(gateway.dispatch(&seen).is_some());
    }
}
