//! What the database of a service needs of people: a contract that waits for their word, and what a command has done
//! that was cut off.

use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::{Asked, RolloutKind, commands, schema};

use super::Control;
use crate::by::By;
use crate::error::Error;

impl Control {
    /// Asks for the contract of a lane whose time has come.
    pub(crate) async fn contract(&self, lane: &LaneId, by: &By) -> Result<RolloutId, Error> {
        let kept = self.existing(lane).await?;
        let Some(owed) = schema::contract_due(&kept) else {
            return Err(Error::NotFound(format!("no contract of {lane} is due")));
        };
        // In the name of whoever released it: nobody approves their own where others are asked.
        let asker = if owed.by.is_empty() { by.actor.clone() } else { owed.by.clone() };
        let release = owed.release.clone();
        self.engine.look_for_artifact(&release.artifact).await;
        let id = self.engine.store.next_rollout_id().await;
        let asked =
            Asked { id: id.clone(), kind: RolloutKind::Contract, actor: asker, ..self.hypothetical(&kept, release) };
        self.wish(lane, move |turn, _| commands::contract(turn, asked.clone())).await?;
        Ok(id)
    }

    /// Takes a person's word for what a migration has done that was cut off.
    pub async fn settle_migration(&self, lane: &LaneId, applied: bool, by: &By) -> Result<(), Error> {
        self.existing(lane).await?;
        let actor = by.actor.clone();
        self.wish(lane, move |turn, now| schema::settle(turn, applied, &actor, now)).await
    }

    /// Lanes that owe a contract.
    pub(crate) fn owing(&self) -> Vec<LaneId> {
        self.engine.owing()
    }
}
