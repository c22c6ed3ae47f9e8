//! What begins by itself at its time: drills.

use std::time::Duration;

use slipway_core::rollout::drill_due;

use crate::by::By;
use crate::control::Control;
use crate::error::Error;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(5);
/// Who is named in the journal where nobody asked.
const SCHEDULE: &str = "slipway:schedule";

/// Begins what is due, for ever.
pub(crate) async fn keep(control: Control) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = drills(&control).await {
            tracing::warn!(%error, "drills that are due could not be looked for");
        }
    }
}

async fn drills(control: &Control) -> Result<(), Error> {
    for now in control.lanes().await? {
        let id = now.lane.id.clone();
        let Some(cold) = drill_due(&now.lane, &control.observed(&now.lane), now.at) else { continue };
        let by = By { actor: SCHEDULE.to_string(), key: None };
        match control.drill(&id, cold, &by).await {
            Ok(rollout) => tracing::info!(lane = %id, %rollout, "a drill was due"),
            // Somebody came first, or there is no way back any more: it is looked at again.
            Err(error) => tracing::info!(lane = %id, %error, "a drill was due and was refused"),
        }
    }
    Ok(())
}
