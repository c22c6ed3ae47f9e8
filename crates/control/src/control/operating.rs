//! What people ask of that which serves, without releasing anything: another number of instances, fresh ones, a pause
//! for maintenance, faults on purpose.

use slipway_core::names::LaneId;
use slipway_core::rollout::commands::{self, NewFault};
use slipway_core::traffic::Maintenance;

use super::Control;
use crate::by::By;
use crate::error::Error;

impl Control {
    /// Wants another number of instances, until a release declares more.
    pub async fn scale(&self, lane: &LaneId, instances: u32, by: &By) -> Result<(), Error> {
        self.existing(lane).await?;
        let actor = by.actor.clone();
        self.wish(lane, move |turn, _| commands::scale(turn, instances, &actor)).await
    }

    /// Replaces every instance of what serves, one after the other.
    pub async fn restart(&self, lane: &LaneId, by: &By) -> Result<(), Error> {
        self.existing(lane).await?;
        let actor = by.actor.clone();
        self.wish(lane, move |turn, now| commands::restart(turn, &actor, now)).await
    }

    /// Begins maintenance, or ends it where `maintenance` is absent.
    pub async fn maintain(&self, lane: &LaneId, maintenance: Option<Maintenance>, by: &By) -> Result<(), Error> {
        self.existing(lane).await?;
        let actor = by.actor.clone();
        self.wish(lane, move |turn, _| match &maintenance {
            Some(maintenance) => commands::begin_maintenance(turn, maintenance.clone(), &actor),
            None => commands::end_maintenance(turn, &actor),
        })
        .await
    }

    /// Begins to inject a fault, until its time is over.
    pub async fn inject(&self, lane: &LaneId, new: NewFault, by: &By) -> Result<(), Error> {
        self.existing(lane).await?;
        let actor = by.actor.clone();
        self.wish(lane, move |turn, now| commands::begin_fault(turn, new.clone(), &actor, now)).await
    }

    /// Ends all faults that are injected.
    pub async fn end_faults(&self, lane: &LaneId, reason: Option<String>, by: &By) -> Result<(), Error> {
        self.existing(lane).await?;
        let actor = by.actor.clone();
        self.wish(lane, move |turn, _| commands::end_faults(turn, reason.as_deref(), &actor)).await
    }
}
