//! Notices that this process stood still (stopped, frozen, starved, or suspended with its machine): meanwhile it heard nothing, and it may have been taken
//! out of the count. Before it routes anything more it asks for a newer table, as after a start.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::since_boot_ms;
use crate::gateway::{Gateway, lock};

/// How often this process takes its pulse.
const EVERY: Duration = Duration::from_millis(200);
/// A pulse that is this late was missed.
const MISSED_MS: u64 = 2_000;

/// The pulse of this process.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// In milliseconds since the machine's boot: a suspension is a pulse that was missed.
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
        let (last_ms, waiting) = (AtomicU64::new(since_boot_ms()), AtomicBool::new(false));
        Pulse { last_ms, stops: watch::Sender::new(0), waiting, noticing: Mutex::default() }
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

    /// For tests, which may really stand still.
    #[cfg(test)]
    pub(crate) fn beats_for_an_hour(&self) {
        self.last_ms.store(since_boot_ms() + 3_600_000, Ordering::Release);
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

impl Gateway {
    /// Whether this process has stood still and not caught up since. For every request: it costs a look at the clock.
    pub(crate) fn is_behind(&self) -> bool {
        self.look(since_boot_ms());
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
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let now_ms = since_boot_ms();
            if !self.look(now_ms) {
                self.pulse.last_ms.fetch_max(now_ms, Ordering::AcqRel);
            }
            self.notice_suspension();
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
        let at = |ms| ms + pulse.last_ms.load(Ordering::Acquire);
        let missed = at(MISSED_MS);
        assert!(!pulse.look(missed - 1, &in_step));
        assert!(pulse.look(missed, &in_step) && !*in_step.borrow());
        assert!(!pulse.look(missed + 1, &in_step), "somebody has noticed");
        assert!(pulse.waiting.load(Ordering::Acquire));
        assert!(pulse.look(at(MISSED_MS), &in_step));
        pulse.go_on(1, || unreachable!("it has stood still again"));
        assert!(pulse.waiting.load(Ordering::Acquire));
        pulse.go_on(2, || ());
        assert!(!pulse.waiting.load(Ordering::Acquire));
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
        gateway.apply(leased_and_faulty(), since_boot_ms()).await.unwrap();
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
        let gateway = Gateway::start("gw".into(), tuning, store, None);
        gateway.pulse.beats_for_an_hour();
        gateway.note_in_step(0);
        assert!(gateway.dispatch(&gateway.served()).is_some());
        // As if it had begun earlier, and nobody had looked since.
        gateway.pulse.last_ms.store(since_boot_ms() - MISSED_MS - 1, Ordering::Release);
        assert!(gateway.dispatch(&gateway.served()).is_none(), "a request that was waiting for it");
        assert_eq!(gateway.pulse.stops(), 1);
        gateway.pulse.beats_for_an_hour();
        // The answer to what it asked before it stood still.
        gateway.note_in_step(0);
        let waits = tokio::time::timeout(Duration::from_millis(20), gateway.current()).await;
        assert!(waits.is_err() && gateway.is_behind());
        gateway.note_in_step(1);
        let seen = gateway.current().await;
        assert!(gateway.dispatch(&seen).is_some());
    }
}
