//! Probes: sent to both versions at each beat, while the planner asks for them, and counted in rows of their own.

use slipway_core::rollout::{self, Book, Evidence};
use slipway_core::traffic::link::CountRow;

use super::traffic::{count, empty};
use super::{TICK, World};

impl World {
    /// The probes of one tick.
    pub(super) fn probe(&mut self) {
        let Some(probing) = rollout::probing_of(&self.lane) else { return };
        let Some(route) = self.route.clone() else { return };
        self.probes_owed += probing.probe.rate * TICK.0 as f64 / 1000.0;
        while self.probes_owed >= 1.0 {
            self.probes_owed -= 1.0;
            for (version, _) in &probing.versions {
                let failed = self.service.behaviour.fails(version, "probe", self.age(), &mut self.random);
                let row = self
                    .probe_counts
                    .entry((probing.epoch, version.clone()))
                    .or_insert_with(|| CountRow { epoch: probing.epoch, ..empty(&route, version) });
                let mut bad_probes = 0;
                count(row, &probing.objectives, 0, failed, None, |_, _, bad| {
                    bad_probes += u64::from(bad);
                    Some(bad_probes)
                });
            }
        }
    }

    /// What a turn is shown of probes.
    pub(super) fn observe_probes(&mut self) -> Evidence {
        self.probe_book.take(self.probe_counts.values().cloned().collect(), self.now);
        self.probe_book.evidence(&self.lane, self.now)
    }

    /// The control plane starts anew: what it knew of probes, and of the last minutes, is gone.
    pub fn start_anew(&mut self) {
        self.probe_counts.clear();
        self.probe_book = Book::default();
        self.book = Book::default();
        self.cohort_books.clear();
        self.ledger = Default::default();
        self.watched_since = self.now;
    }
}
