//! All lanes together: which there are, who wakes their drivers, and what they claim of each other.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use slipway_core::names::LaneId;
use slipway_core::rollout::{self, Lane};
use slipway_core::traffic::Match;

use super::{Cell, Engine};
use crate::error::Error;
use crate::places::in_common;

/// After so long a turn does not come to its end: everything that it waits for has a shorter limit. And so long turns may fail.
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
        // Under the lock, so that whoever finds it here and notes what it claims does so afterwards.
        self.doubt_claims(lane);
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

    /// A lane with divided traffic whose turn does not come to its end, or whose turns all fail, so that nobody would take it back.
    pub fn stuck(&self) -> Option<LaneId> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = |(lane, cell): &(&LaneId, &Arc<Cell>)| cell.turns_since(ENDLESS) && self.tables.is_leased(lane);
        cells.iter().find(stuck).map(|(lane, _)| lane.clone())
    }

    /// A lane of another service than `lane`'s that claims one of `wanted` once what is open or waits in it serves, and which.
    pub async fn claimed(&self, lane: &LaneId, wanted: &[Match]) -> Result<Option<(LaneId, String)>, Error> {
        let (claimed, unknown) = self.noted_claim(&lane.service, wanted);
        if claimed.is_some() {
            return Ok(claimed);
        }
        for id in unknown {
            let coming = self.lane(&id).await?.map_or_else(Vec::new, |kept| coming(&kept));
            if let Some(what) = in_common(wanted, &coming) {
                return Ok(Some((id, what)));
            }
        }
        Ok(None)
    }
}

/// What a lane claims once what is open or waits in it serves.
pub(super) fn coming(lane: &Lane) -> Vec<Match> {
    let waiting = lane.queue.iter().map(|asked| &asked.release);
    let coming = lane.open.iter().map(|open| &open.release).chain(waiting);
    coming.flat_map(|release| rollout::claims(lane, release)).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use slipway_core::names::{Digest, RolloutId};
    use slipway_core::rollout::{Asked, Release, RolloutKind};
    use slipway_core::spec;
    use slipway_core::units::Timestamp;
    use slipway_store::Store;

    use super::*;
    use crate::fakes;

    const SHOP: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
traffic: { host: shop.local, path: / }
environments: { production: { instances: 1, strategy: { blue-green: {} } } }
";

    #[tokio::test]
    async fn what_others_claim_is_known_while_a_turn_of_theirs_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = fakes::engine(Store::open(folder.path()).await.expect("a store"));
        let spec = spec::parse(SHOP).expect("a file").spec;
        let id = LaneId { service: spec.service.clone(), environment: "production".parse().expect("one") };
        let version = "1".parse().expect("a version");
        let release = Release { version, artifact: Digest::of(b"shop"), config: spec::config_digest(&spec), spec };
        let strategy = release.environment(&id).expect("it is declared").strategy.clone();
        let asked = Asked {
            id: RolloutId::numbered(1),
            kind: RolloutKind::Release,
            release,
            strategy,
            actor: "user:ann".into(),
            key: None,
            at: Timestamp(1),
            overriding: None,
            approvals: Vec::new(),
        };
        let lane = Lane { queue: vec![asked], ..Lane::new(id.clone()) };
        let (cell, _) = engine.cell(&id);
        engine.note_serving(&lane);
        let turning = cell.state.lock().await;
        let cart = LaneId { service: "cart".parse().expect("a service"), ..id.clone() };
        let wanted = coming(&lane);
        let looked = engine.claimed(&cart, &wanted).now_or_never().expect("it waits for nobody");
        assert_eq!(looked.expect("it is known"), Some((id.clone(), "shop.local/".to_string())));
        // What may or may not be kept is looked at.
        engine.doubt_claims(&id);
        assert!(engine.claimed(&cart, &wanted).now_or_never().is_none(), "it waits for the turn");
        drop(turning);
        assert_eq!(engine.claimed(&cart, &wanted).await.expect("it is known"), None, "nothing of it was kept");
        let turning = cell.state.lock().await;
        assert!(engine.claimed(&cart, &wanted).now_or_never().is_some(), "and that is noted");
        drop(turning);
    }
}
