//! After an older database was put back: numbers that may have been given are left out, and instances that it does not
//! know are stopped once nobody needs them any more.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use slipway_core::instance::{Health, InstanceState};
use slipway_core::journal::Fact;
use slipway_core::names::{InstanceId, some_of};
use slipway_core::rollout::Lane;

use super::Engine;
use crate::effects;
use crate::error::Error;
use crate::tables::START_BITS;

/// How often it is looked whether what is waited for is so.
const LOOK: Duration = Duration::from_millis(100);
/// How long gateways go on with the tables that they have, for lanes whose instances have to be started first.
const READY_WITHIN: Duration = Duration::from_secs(60);

impl Engine {
    /// Leaves numbers out in a lane that was last kept by a start from before an older database was put back.
    pub(super) fn leave_numbers_out(&self, lane: &mut Lane) {
        let Some(put_back) = self.store.put_back() else { return };
        if lane.attempt >> START_BITS < put_back.start {
            lane.counters = lane.counters.leaving_out(put_back.start);
        }
    }

    /// Instances that no lane knows, after an older database was put back.
    ///
    /// # Errors
    /// Where a lane cannot be read: whose they are nobody can say then.
    pub async fn left_over(&self) -> Result<BTreeSet<InstanceId>, Error> {
        if self.store.put_back().is_none() {
            return Ok(BTreeSet::new());
        }
        let mut left: BTreeSet<InstanceId> = self.instances().into_iter().map(|status| status.id).collect();
        for id in self.lanes() {
            for slot in self.lane(&id).await?.iter().flat_map(|lane| &lane.slots) {
                left.remove(&slot.id);
            }
        }
        Ok(left)
    }

    /// Waits until what serves can carry its traffic without those that are left over, hands the first table out, and stops them
    /// when no gateway may use them any more. Until then gateways go on with the tables of the database that was lost.
    pub async fn take_over(&self, left: BTreeSet<InstanceId>) {
        let carried = async {
            while !self.carries().await {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(READY_WITHIN, carried).await.is_err() {
            tracing::warn!("not everything that serves could be started: traffic goes to what is there");
        }
        self.tables.open();
        self.look_at_gateways();
        while !self.let_go(&left) {
            tokio::time::sleep(LOOK).await;
        }
        let all: Vec<InstanceId> = left.iter().cloned().collect();
        let fact = Fact {
            kind: "instance.left_over".to_string(),
            lane: None,
            rollout: None,
            actor: "slipway".to_string(),
            cause: format!(
                "{} of before the database was put back run, and it does not know them: they are stopped",
                some_of(&all)
            ),
            evidence: json!({ "instances": all }),
        };
        if let Err(error) = self.store.append(vec![fact], self.clock.now()).await {
            tracing::warn!(%error, "what is left over is stopped without being recorded");
        }
        for id in left {
            effects::stop(self, &id).await;
        }
    }

    /// Whether every lane has the instances that it should serve with, seen to be healthy.
    async fn carries(&self) -> bool {
        let healthy: BTreeSet<InstanceId> = self
            .instances()
            .into_iter()
            .filter(|status| status.state == InstanceState::Running && status.health == Health::Healthy)
            .map(|status| status.id)
            .collect();
        for id in self.lanes() {
            let Ok(lane) = self.lane(&id).await else { return false };
            let Some(lane) = lane else { continue };
            let Some(stable) = &lane.stable else { continue };
            let carry = lane.wanted(&stable.version).filter(|slot| slot.ready.is_some() && healthy.contains(&slot.id));
            if carry.count() < stable.instances(&id) as usize {
                return false;
            }
        }
        true
    }

    /// Whether no gateway that counts may use any of these.
    fn let_go(&self, left: &BTreeSet<InstanceId>) -> bool {
        let gateways = self.router.gateways();
        let mut counted = gateways.iter().filter(|gateway| gateway.counts()).peekable();
        let uses = |id: &InstanceId, requests: u64| requests > 0 && left.contains(id);
        counted.peek().is_some()
            && counted.all(|gateway| {
                let in_flight = gateway.in_flight.as_ref();
                gateway.connected
                    && self.tables.is_newest(gateway.acked)
                    && in_flight.is_some_and(|all| !all.iter().any(|(id, requests)| uses(id, *requests)))
            })
    }
}
