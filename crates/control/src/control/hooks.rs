//! Hooks as people ask for them: who is told, and how far.

use slipway_core::names::{EnvironmentName, LaneId};
use slipway_store::Whose;

use super::Control;
use crate::error::Error;
use crate::views::HookNow;

impl Control {
    /// The hooks of a lane, by name; those that were withdrawn and are told of the rest included.
    pub async fn hooks(&self, lane: &LaneId) -> Result<Vec<HookNow>, Error> {
        self.existing(lane).await?;
        self.hooks_of(&Whose::Lane(lane.clone())).await
    }

    /// The hooks of an environment's file and how far they were told of what belongs to no service, by name; those that
    /// were withdrawn and are told of the rest included.
    pub async fn environment_hooks(&self, environment: &EnvironmentName) -> Result<Vec<HookNow>, Error> {
        self.environment(environment).await?;
        self.hooks_of(&Whose::Environment(environment.clone())).await
    }

    async fn hooks_of(&self, whose: &Whose) -> Result<Vec<HookNow>, Error> {
        let rows = self.engine.store.hooks().await?;
        let ours = rows.into_iter().filter(|row| row.id.whose == *whose);
        ours.map(|row| {
            Ok(HookNow {
                hook: serde_json::from_value(row.doc)?,
                told: row.told,
                withdrawn: row.withdrawn_at.is_some(),
                attempts: row.attempts,
                failing_since: row.failing_since,
                why: row.failing_since.map(|_| row.why),
                last_at: row.last_at,
            })
        })
        .collect()
    }
}
