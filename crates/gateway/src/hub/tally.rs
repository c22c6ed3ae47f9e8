//! Counts of all gateways and all their starts, added up. Rows are cumulative within a start, so only the newest of
//! each is kept, and a repeated one changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slipway_core::names::{LaneId, VersionName};
use slipway_core::traffic::Epoch;
use slipway_core::traffic::link::{CountRow, ObjectiveCount};

/// Epochs of a lane that are remembered.
const EPOCHS_KEPT: usize = 8;

type RowId = (LaneId, Epoch, VersionName, Option<String>, bool);

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The newest rows of every start that may still report.
    live: HashMap<String, BTreeMap<RowId, CountRow>>,
    /// The sums of those that may not.
    past: BTreeMap<RowId, CountRow>,
    epochs: BTreeMap<LaneId, BTreeSet<Epoch>>,
}

impl Tally {
    /// A start of a gateway reports rows.
    pub(super) fn report(&mut self, boot: &str, rows: Vec<CountRow>) {
        for row in rows {
            let lane = LaneId { service: row.service.clone(), environment: row.environment.clone() };
            if !self.is_kept(&lane, row.epoch) {
                continue;
            }
            let of_boot = self.live.entry(boot.to_string()).or_default();
            of_boot.insert((lane, row.epoch, row.version.clone(), row.cohort.clone(), row.mirrored), row);
        }
    }

    /// A start of a gateway reports no more.
    pub(super) fn close(&mut self, boot: &str) {
        for (id, row) in self.live.remove(boot).unwrap_or_default() {
            match self.past.get_mut(&id) {
                Some(sum) => add(sum, &row),
                None => _ = self.past.insert(id, row),
            }
        }
    }

    /// The sums.
    pub(super) fn rows(&self) -> Vec<CountRow> {
        let mut sums = self.past.clone();
        for (id, row) in self.live.values().flatten() {
            match sums.get_mut(id) {
                Some(sum) => add(sum, row),
                None => _ = sums.insert(id.clone(), row.clone()),
            }
        }
        sums.into_values().collect()
    }

    /// Whether the epoch is among the newest of its lane; forgets what no longer is.
    fn is_kept(&mut self, lane: &LaneId, epoch: Epoch) -> bool {
        let epochs = self.epochs.entry(lane.clone()).or_default();
        if epochs.contains(&epoch) {
            return true;
        }
        epochs.insert(epoch);
        while epochs.len() > EPOCHS_KEPT {
            let Some(oldest) = epochs.pop_first() else { break };
            let is_old = |id: &RowId| id.0 == *lane && id.1 == oldest;
            self.past.retain(|id, _| !is_old(id));
            self.live.values_mut().for_each(|rows| rows.retain(|id, _| !is_old(id)));
        }
        self.epochs.get(lane).is_some_and(|epochs| epochs.contains(&epoch))
    }
}

fn add(sum: &mut CountRow, row: &CountRow) {
    sum.assigned += row.assigned;
    sum.users += row.users;
    sum.attempts += row.attempts;
    sum.failed += row.failed;
    sum.failed_by_slipway += row.failed_by_slipway;
    sum.injected += row.injected;
    for objective in &row.objectives {
        match sum.objectives.iter_mut().find(|o| o.name == objective.name) {
            Some(ObjectiveCount { n, bad, bad_keys, .. }) => {
                *n += objective.n;
                *bad += objective.bad;
                *bad_keys += objective.bad_keys;
            }
            None => sum.objectives.push(objective.clone()),
        }
    }
    let mut latency: BTreeMap<u64, u64> = sum.latency_us.iter().copied().collect();
    for (upper, count) in &row.latency_us {
        *latency.entry(*upper).or_default() += count;
    }
    sum.latency_us = latency.into_iter().collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u64, attempts: u64) -> CountRow {
        CountRow {
            service: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            epoch: Epoch(epoch),
            version: "2".parse().unwrap(),
            cohort: None,
            assigned: attempts,
            users: attempts,
            attempts,
            failed: 1,
            failed_by_slipway: 0,
            injected: 0,
            mirrored: false,
            objectives: vec![ObjectiveCount { name: "errors".into(), n: attempts, bad: 1, bad_keys: 1 }],
            latency_us: vec![(10, attempts)],
        }
    }

    #[test]
    fn a_repeated_row_counts_once_and_starts_add_up() {
        let mut tally = Tally::default();
        tally.report("a", vec![row(1, 5)]);
        tally.report("a", vec![row(1, 7)]);
        tally.report("a", vec![row(1, 7)]);
        tally.close("a");
        tally.close("a");
        tally.report("b", vec![row(1, 3)]);
        let sums = tally.rows();
        assert_eq!(sums.len(), 1);
        assert_eq!((sums[0].attempts, sums[0].failed, sums[0].objectives[0].n), (10, 2, 10));
        assert_eq!(sums[0].latency_us, [(10, 10)]);
    }

    #[test]
    fn old_epochs_are_forgotten_for_good() {
        let mut tally = Tally::default();
        for epoch in 1..=10 {
            tally.report("a", vec![row(epoch, 1)]);
        }
        tally.report("b", vec![row(1, 1)]);
        let epochs: Vec<u64> = tally.rows().iter().map(|r| r.epoch.0).collect();
        assert_eq!(epochs, [3, 4, 5, 6, 7, 8, 9, 10]);
    }
}
