//! Lanes of which something could not be recorded, as long as that is so: for whoever looks, decides nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_core::names::LaneId;
use slipway_core::units::Timestamp;

use crate::error::Error;
use crate::views::Unrecorded;

/// Since when each lane is not recorded, and why.
#[derive(Default)]
pub(super) struct Lanes(Mutex<BTreeMap<LaneId, Unrecorded>>);

impl Lanes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<LaneId, Unrecorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of the lane could not be recorded now.
    pub fn note(&self, lane: &LaneId, error: &Error, now: Timestamp) {
        let mut all = self.all();
        let since = all.get(lane).map_or(now, |earlier| earlier.since);
        all.insert(lane.clone(), Unrecorded { since, why: error.to_string() });
    }

    /// Everything of the lane is recorded.
    pub fn forget(&self, lane: &LaneId) {
        self.all().remove(lane);
    }

    /// Since when something of the lane is not recorded, and why.
    pub fn of(&self, lane: &LaneId) -> Option<Unrecorded> {
        self.all().get(lane).cloned()
    }
}
