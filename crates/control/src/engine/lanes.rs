//! All lanes together: which there are, who wakes their drivers, and what they claim of each other.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use slipway_core::names::LaneId;
use slipway_core::rollout;
use slipway_core::traffic::Match;

use super::{Cell, Engine};
use crate::error::Error;
use crate::tables::in_common;

/// After so long a turn does not come to its end: everything that it waits for has a shorter limit.
const ENDLESS: Duration = Duration::from_secs(15);

impl Engine {
    /// The lanes that are known.
    pub fn lanes(&self) -> Vec<LaneId> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Whether a lane is known. Looking at one that is not would make it known without anybody to drive it.
    pub fn knows(&self, lane: &LaneId) -> bool {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).contains_key(lane)
    }

    /// The cell of a lane, and whether it is new.
    pub fn cell(&self, lane: &LaneId) -> (Arc<Cell>, bool) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(lane) {
            return (cell.clone(), false);
        }
        let cell = Arc::new(Cell::default());
        cells.insert(lane.clone(), cell.clone());
        (cell, true)
    }

    /// Wakes a lane's driver. Carries nothing: the driver looks for itself.
    pub fn nudge(&self, lane: &LaneId) {
        if let Some(cell) = self.cells.lock().unwrap_or_else(PoisonError::into_inner).get(lane) {
            cell.wake.notify_one();
        }
    }

    /// Wakes every driver.
    pub fn nudge_all(&self) {
        for cell in self.cells.lock().unwrap_or_else(PoisonError::into_inner).values() {
            cell.wake.notify_one();
        }
    }

    /// A lane with divided traffic whose turn does not come to its end, so that nobody would take it back.
    pub fn stuck(&self) -> Option<LaneId> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = |(lane, cell): &(&LaneId, &Arc<Cell>)| cell.turns_since(ENDLESS) && self.tables.is_leased(lane);
        cells.iter().find(stuck).map(|(lane, _)| lane.clone())
    }

    /// A lane of another service than `lane`'s that claims one of `wanted` once what is open or waits in it serves, and which.
    pub async fn claimed(&self, lane: &LaneId, wanted: &[Match]) -> Result<Option<(LaneId, String)>, Error> {
        for id in self.lanes().into_iter().filter(|id| id.service != lane.service) {
            let Some(kept) = self.lane(&id).await? else { continue };
            let waiting = kept.queue.iter().map(|asked| &asked.release);
            let coming = kept.open.iter().map(|open| &open.release).chain(waiting);
            let mut claimed = coming.filter_map(|release| in_common(wanted, &rollout::claims(&kept, release)));
            if let Some(what) = claimed.next() {
                return Ok(Some((id, what)));
            }
        }
        Ok(None)
    }
}
