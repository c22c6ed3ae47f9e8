//! What the gateway counts for the judge: per route, epoch and version, under the per-user cap.
//!
//! Every number is cumulative since the gateway's start, so a lost or repeated report does no harm. A request is
//! counted in the epoch it started in, however long it takes. Called by `attempt`; read by `report` and `metrics`.
//! It judges nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use slipway_core::names::{LaneId, VersionName};
use slipway_core::traffic::link::CountRow;
use slipway_core::traffic::{Counted, CountedBad, Epoch};

use crate::histogram::Histogram;
use crate::tally::Tally;
use crate::users::Users;

/// Epochs of a lane that are remembered; requests of older ones that are still running are no longer reported.
const EPOCHS_KEPT: usize = 8;

type Epochs = BTreeMap<Epoch, EpochCounts>;

/// One epoch of a lane.
#[derive(Debug, Default)]
struct EpochCounts {
    users: Arc<Users>,
    versions: HashMap<VersionName, Arc<VersionCounts>>,
    /// Of cohorts that go to a version of their own, by name: no part of what the split gives.
    cohorts: HashMap<(String, VersionName), Arc<VersionCounts>>,
    /// Of copies, and of what was copied.
    mirrored: HashMap<VersionName, Arc<VersionCounts>>,
}

/// All counts of a gateway.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    rows: Mutex<BTreeMap<LaneId, Epochs>>,
    lifetime: Mutex<BTreeMap<(LaneId, VersionName), Arc<VersionCounts>>>,
    urgent: Arc<Notify>,
}

impl Counts {
    /// The counts of one version in one epoch, made where they are new. The objectives are those that the epoch
    /// began with: those of a rollout are counted from its first shift on, which begins an epoch.
    pub(crate) fn version(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        version: &VersionName,
        objectives: &[Counted],
    ) -> Arc<VersionCounts> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let epochs = rows.entry(lane.clone()).or_default();
        let kept = epochs.entry(epoch).or_default();
        let users = kept.users.clone();
        let make = || Arc::new(VersionCounts::new(lane, epoch, version, None, objectives, users, self.urgent.clone()));
        let counts = kept.versions.entry(version.clone()).or_insert_with(make).clone();
        while epochs.len() > EPOCHS_KEPT {
            epochs.pop_first();
        }
        counts
    }

    /// The counts of a cohort at one version in one epoch, made where they are new. Its users are no draws of the split.
    pub(crate) fn cohort(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        version: &VersionName,
        cohort: &str,
        objectives: &[Counted],
    ) -> Arc<VersionCounts> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = rows.entry(lane.clone()).or_default().entry(epoch).or_default();
        let (name, urgent) = (Some(cohort.to_string()), self.urgent.clone());
        let make = || Arc::new(VersionCounts::new(lane, epoch, version, name, objectives, Arc::default(), urgent));
        kept.cohorts.entry((cohort.to_string(), version.clone())).or_insert_with(make).clone()
    }

    /// The counts of copies of requests at one version, or of what was copied, in one epoch.
    pub(crate) fn mirrored(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        version: &VersionName,
        objectives: &[Counted],
    ) -> Arc<VersionCounts> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = rows.entry(lane.clone()).or_default().entry(epoch).or_default();
        let urgent = self.urgent.clone();
        let make = || {
            let counts = VersionCounts::new(lane, epoch, version, None, objectives, Arc::default(), urgent);
            Arc::new(VersionCounts { mirrored: true, ..counts })
        };
        kept.mirrored.entry(version.clone()).or_insert_with(make).clone()
    }

    /// The counts of one version over all epochs, for `/metrics`; versions without a route are forgotten by `retain`.
    pub(crate) fn lifetime(&self, lane: &LaneId, version: &VersionName) -> Arc<VersionCounts> {
        let mut all = self.lifetime.lock().unwrap_or_else(PoisonError::into_inner);
        let make =
            || Arc::new(VersionCounts::new(lane, Epoch(0), version, None, &[], Arc::default(), self.urgent.clone()));
        all.entry((lane.clone(), version.clone())).or_insert_with(make).clone()
    }

    /// Forgets the lifetime counts of versions that nobody holds any more, beyond a hundred.
    pub(crate) fn forget_unused(&self) {
        let mut all = self.lifetime.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = all.len().saturating_sub(100);
        let unused: Vec<_> = all.iter().filter(|(_, c)| Arc::strong_count(c) == 1).map(|(k, _)| k.clone()).collect();
        for key in unused.into_iter().take(excess) {
            all.remove(&key);
        }
    }

    /// Every row that is remembered.
    pub(crate) fn all(&self) -> Vec<Arc<VersionCounts>> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.values().flat_map(rows_of).collect()
    }

    /// The same of these lanes alone.
    pub(crate) fn of(&self, lanes: &[LaneId]) -> Vec<Arc<VersionCounts>> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().filter_map(|lane| rows.get(lane)).flat_map(rows_of).collect()
    }

    /// The lifetime counts of every version, for `/metrics`.
    pub(crate) fn lifetimes(&self) -> Vec<Arc<VersionCounts>> {
        self.lifetime.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Resolves when something bad was counted since the last call.
    pub(crate) async fn urgent(&self) {
        self.urgent.notified().await;
    }
}

fn rows_of(epochs: &Epochs) -> impl Iterator<Item = Arc<VersionCounts>> {
    let kept = epochs.values();
    kept.flat_map(|e| e.versions.values().chain(e.cohorts.values()).chain(e.mirrored.values())).cloned()
}

/// What one version did in one epoch.
#[derive(Debug)]
pub(crate) struct VersionCounts {
    lane: LaneId,
    epoch: Epoch,
    version: VersionName,
    cohort: Option<String>,
    mirrored: bool,
    assigned: AtomicU64,
    users: AtomicU64,
    /// Shared by all versions of the epoch.
    all_users: Arc<Users>,
    attempts: AtomicU64,
    failed: AtomicU64,
    failed_by_slipway: AtomicU64,
    injected: AtomicU64,
    objectives: Vec<Tally>,
    latency: Histogram,
    changes: AtomicU64,
    urgent: Arc<Notify>,
}

impl VersionCounts {
    fn new(
        lane: &LaneId,
        epoch: Epoch,
        version: &VersionName,
        cohort: Option<String>,
        objectives: &[Counted],
        all_users: Arc<Users>,
        urgent: Arc<Notify>,
    ) -> VersionCounts {
        VersionCounts {
            lane: lane.clone(),
            epoch,
            version: version.clone(),
            cohort,
            mirrored: false,
            assigned: AtomicU64::new(0),
            users: AtomicU64::new(0),
            all_users,
            attempts: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failed_by_slipway: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            objectives: objectives.iter().map(Tally::new).collect(),
            latency: Histogram::default(),
            changes: AtomicU64::new(0),
            urgent,
        }
    }

    /// A request of the user `key` was assigned to this version.
    pub(crate) fn assigned(&self, key: u64) {
        self.assigned.fetch_add(1, Relaxed);
        if self.all_users.is_new(key) {
            self.users.fetch_add(1, Relaxed);
        }
        self.changed(false);
    }

    /// An attempt ended: with an answer, or failed.
    pub(crate) fn ended(&self, key: u64, failed: bool) {
        self.attempts.fetch_add(1, Relaxed);
        if failed {
            self.failed.fetch_add(1, Relaxed);
        }
        for tally in self.objectives.iter().filter(|t| t.bad == CountedBad::Failed) {
            tally.event(key, failed);
        }
        self.changed(failed);
    }

    /// A response head came after `latency`.
    pub(crate) fn head(&self, key: u64, latency: Duration) {
        self.latency.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        let mut any_slow = false;
        for tally in &self.objectives {
            if let Some(bound) = tally.bad.bound() {
                let slow = latency > bound;
                any_slow |= slow;
                tally.event(key, slow);
            }
        }
        self.changed(any_slow);
    }

    /// Nobody waits for the head any more after `waited`: it is slow by every bound that has passed already, and
    /// says nothing about the others.
    pub(crate) fn no_head(&self, key: u64, waited: Duration) {
        for tally in &self.objectives {
            if let Some(bound) = tally.bad.bound()
                && waited > bound
            {
                tally.event(key, true);
                self.changed(true);
            }
        }
    }

    /// An attempt ended, failed or not, and is no evidence: what happened was injected.
    pub(crate) fn ended_apart(&self, failed: bool) {
        self.attempts.fetch_add(1, Relaxed);
        if failed {
            self.failed.fetch_add(1, Relaxed);
        }
        self.changed(false);
    }

    /// A fault was injected into a request.
    pub(crate) fn injected(&self) {
        self.injected.fetch_add(1, Relaxed);
        self.changed(false);
    }

    /// A client suffered from what is neither an instance's answer nor its death.
    pub(crate) fn failed_by_slipway(&self) {
        self.failed_by_slipway.fetch_add(1, Relaxed);
        self.changed(true);
    }

    fn changed(&self, urgent: bool) {
        self.changes.fetch_add(1, Release);
        if urgent {
            self.urgent.notify_one();
        }
    }

    /// The epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Grows with every change; read before `row`, so that a change in between is reported once more.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Acquire)
    }

    /// The numbers as they are told to the control plane.
    pub(crate) fn row(&self) -> CountRow {
        CountRow {
            service: self.lane.service.clone(),
            environment: self.lane.environment.clone(),
            epoch: self.epoch,
            version: self.version.clone(),
            cohort: self.cohort.clone(),
            failed: self.failed.load(Acquire),
            attempts: self.attempts.load(Acquire),
            assigned: self.assigned.load(Acquire),
            users: self.users.load(Acquire),
            failed_by_slipway: self.failed_by_slipway.load(Acquire),
            injected: self.injected.load(Acquire),
            mirrored: self.mirrored,
            objectives: self.objectives.iter().map(Tally::count).collect(),
            latency_us: self.latency.sparse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_core::units::Millis;

    fn lane() -> LaneId {
        LaneId { service: "shop".parse().unwrap(), environment: "production".parse().unwrap() }
    }

    fn objectives() -> Vec<Counted> {
        vec![
            Counted { name: "errors".into(), bad: CountedBad::Failed },
            Counted { name: "latency".into(), bad: CountedBad::SlowerThan(Millis(300)) },
        ]
    }

    fn counts() -> Arc<VersionCounts> {
        Counts::default().version(&lane(), Epoch(1), &"2".parse().unwrap(), &objectives())
    }

    #[test]
    fn a_key_counts_until_its_third_bad_event_and_then_not_at_all() {
        let counts = counts();
        for _ in 0..10 {
            counts.ended(7, true);
        }
        counts.ended(7, false);
        counts.ended(8, false);
        let row = counts.row();
        let errors = &row.objectives[0];
        assert_eq!((errors.n, errors.bad, errors.bad_keys), (4, 3, 1));
        assert_eq!((row.attempts, row.failed), (12, 10), "the plain numbers know no cap");
    }

    #[test]
    fn good_events_of_a_key_count_before_its_third_bad_one() {
        let counts = counts();
        for failed in [false, true, false, true, false, true, false] {
            counts.ended(7, failed);
        }
        let errors = &counts.row().objectives[0];
        assert_eq!((errors.n, errors.bad, errors.bad_keys), (6, 3, 1));
    }

    #[test]
    fn a_head_that_nobody_waited_for_is_slow_only_where_the_bound_has_passed() {
        let counts = counts();
        counts.no_head(1, Duration::from_millis(200));
        counts.no_head(2, Duration::from_millis(400));
        counts.head(3, Duration::from_millis(10));
        let latency = &counts.row().objectives[1];
        assert_eq!((latency.n, latency.bad), (2, 1));
    }

    #[test]
    fn only_the_newest_epochs_are_kept() {
        let all = Counts::default();
        for epoch in 1..=20 {
            all.version(&lane(), Epoch(epoch), &"2".parse().unwrap(), &objectives());
        }
        let mut epochs: Vec<u64> = all.all().iter().map(|c| c.row().epoch.0).collect();
        epochs.sort_unstable();
        assert_eq!(epochs, [13, 14, 15, 16, 17, 18, 19, 20]);
    }
}
