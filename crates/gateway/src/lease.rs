//! The dead man's switch: a split with a lease is served only while somebody keeps renewing it.
//!
//! Pure book-keeping on a monotonic clock that is handed in; `gateway` holds it, sleeps until the next deadline and
//! swaps. An epoch that lapsed stays lapsed, over restarts too; only a newer epoch is served again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slipway_core::names::LaneId;
use slipway_core::traffic::link::Lapse;
use slipway_core::traffic::{Epoch, RoutingTable};

/// The leases of the table that is served, and the epochs that lapsed.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    running: HashMap<LaneId, (Epoch, Instant)>,
    lapsed: HashMap<LaneId, Epoch>,
}

impl Leases {
    /// With the lapses that were remembered on disk.
    pub(crate) fn remembering(lapses: Vec<Lapse>) -> Leases {
        Leases { running: HashMap::new(), lapsed: lapses.into_iter().map(|l| (l.lane, l.epoch)).collect() }
    }

    /// A newer table starts its leases; `until` says until when, given the term.
    pub(crate) fn start(&mut self, table: &RoutingTable, until: impl Fn(Duration) -> Instant) {
        self.running.clear();
        for route in &table.routes {
            let lane = route.lane();
            if self.lapsed.get(&lane).is_some_and(|epoch| *epoch < route.epoch) {
                self.lapsed.remove(&lane);
            }
            if let Some(term) = route.lease
                && !self.is_lapsed(&lane, route.epoch)
            {
                self.running.insert(lane, (route.epoch, until(term.as_duration())));
            }
        }
    }

    /// All leases that have not lapsed hold until `until`.
    pub(crate) fn renew(&mut self, until: Instant) {
        self.running.values_mut().for_each(|(_, at)| *at = until);
    }

    /// Marks what has run out, and says what.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Lapse> {
        let due = self.running.iter().filter(|(_, (_, at))| *at <= now);
        let due: Vec<Lapse> = due.map(|(lane, (epoch, _))| Lapse { lane: lane.clone(), epoch: *epoch }).collect();
        for lapse in &due {
            self.running.remove(&lapse.lane);
            self.lapsed.insert(lapse.lane.clone(), lapse.epoch);
        }
        due
    }

    /// When the next lease runs out.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.running.values().map(|(_, at)| *at).min()
    }

    /// Whether the fall-back is to be served in this epoch.
    pub(crate) fn is_lapsed(&self, lane: &LaneId, epoch: Epoch) -> bool {
        self.lapsed.get(lane).is_some_and(|lapsed| epoch <= *lapsed)
    }

    /// Every epoch that lapsed and was not followed by a newer one.
    pub(crate) fn lapses(&self) -> Vec<Lapse> {
        let mut lapses: Vec<_> =
            self.lapsed.iter().map(|(lane, epoch)| Lapse { lane: lane.clone(), epoch: *epoch }).collect();
        lapses.sort_by(|a, b| a.lane.cmp(&b.lane));
        lapses
    }
}
