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
    /// What of the sums was counted while nobody listened.
    unheard: BTreeMap<RowId, CountRow>,
    epochs: BTreeMap<LaneId, BTreeSet<Epoch>>,
}

impl Tally {
    /// A start of a gateway reports rows; what they have more than before was counted `unheard`, or just now.
    pub(super) fn report(&mut self, boot: &str, rows: Vec<CountRow>, unheard: bool) {
        for row in rows {
            let lane = LaneId { service: row.service.clone(), environment: row.environment.clone() };
            if !self.is_kept(&lane, row.epoch) {
                continue;
            }
            let id = (lane, row.epoch, row.version.clone(), row.cohort.clone(), row.mirrored);
            let of_boot = self.live.entry(boot.to_string()).or_default();
            if unheard {
                let more = of_boot.get(&id).map_or_else(|| row.clone(), |before| less(&row, before));
                match self.unheard.get_mut(&id) {
                    Some(sum) => add(sum, &more),
                    None => _ = self.unheard.insert(id.clone(), more),
                }
            }
            of_boot.insert(id, row);
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

    /// What of the sums was counted at no time that is known.
    pub(super) fn unheard(&self) -> Vec<CountRow> {
        self.unheard.values().cloned().collect()
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
            self.unheard.retain(|id, _| !is_old(id));
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

/// What a row has more than an earlier one of the same start.
fn less(row: &CountRow, before: &CountRow) -> CountRow {
    let mut more = row.clone();
    more.assigned = row.assigned.saturating_sub(before.assigned);
    more.users = row.users.saturating_sub(before.users);
    more.attempts = row.attempts.saturating_sub(before.attempts);
    more.failed = row.failed.saturating_sub(before.failed);
    more.failed_by_slipway = row.failed_by_slipway.saturating_sub(before.failed_by_slipway);
    more.injected = row.injected.saturating_sub(before.injected);
    for ObjectiveCount { name, n, bad, bad_keys } in &mut more.objectives {
        if let Some(before) = before.objectives.iter().find(|o| o.name == *name) {
            *n = n.saturating_sub(before.n);
            *bad = bad.saturating_sub(before.bad);
            *bad_keys = bad_keys.saturating_sub(before.bad_keys);
        }
    }
    let earlier: BTreeMap<u64, u64> = before.latency_us.iter().copied().collect();
    for (upper, count) in &mut more.latency_us {
        *count = count.saturating_sub(earlier.get(upper).copied().unwrap_or_default());
    }
    more
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
        tally.report("a", vec![row(1, 5)], false);
        tally.report("a", vec![row(1, 7)], false);
        tally.report("a", vec![row(1, 7)], false);
        tally.close("a");
        tally.close("a");
        tally.report("b", vec![row(1, 3)], false);
        let sums = tally.rows();
        assert_eq!(sums.len(), 1);
        assert_eq!((sums[0].attempts, sums[0].failed, sums[0].objectives[0].n), (10, 2, 10));
        assert_eq!(sums[0].latency_us, [(10, 10)]);
    }

    #[test]
    fn what_was_counted_while_nobody_listened_is_told_apart() {
        let mut tally = Tally::default();
        tally.report("a", vec![row(1, 5_000)], true);
        tally.report("a", vec![row(1, 5_010)], false);
        tally.report("b", vec![row(1, 7_000)], true);
        tally.report("a", vec![row(1, 5_110)], true);
        tally.report("b", vec![row(1, 7_001)], false);
        tally.close("b");
        let (sum, unheard) = (&tally.rows()[0], &tally.unheard()[0]);
        assert_eq!(
            (sum.attempts, sum.objectives[0].n, sum.latency_us.as_slice()),
            (12_111, 12_111, &[(10, 12_111)][..])
        );
        let apart = (unheard.attempts, unheard.objectives[0].n, unheard.latency_us.as_slice());
        assert_eq!(apart, (12_100, 12_100, &[(10, 12_100)][..]), "all but ten and one");
        for epoch in 2..=9 {
            tally.report("a", vec![row(epoch, 1)], false);
        }
        assert!(tally.unheard().is_empty(), "forgotten with its epoch");
    }

    #[test]
    fn old_epochs_are_forgotten_for_good() {
        let mut tally = Tally::default();
        for epoch in 1..=10 {
            tally.report("a", vec![row(epoch, 1)], false);
        }
        tally.report("b", vec![row(1, 1)], false);
        let epochs: Vec<u64> = tally.rows().iter().map(|r| r.epoch.0).collect();
        assert_eq!(epochs, [3, 4, 5, 6, 7, 8, 9, 10]);
    }
}
