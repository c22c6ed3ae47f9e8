//! What begins by itself: drills at their time, contracts after standby, and rollbacks that a policy wants after a breach.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use slipway_core::names::LaneId;
use slipway_core::rollout::{drill_due, rollback_due};

use crate::by::By;
use crate::control::Control;
use crate::error::Error;

/// How often it is looked whether a drill is due.
const LOOK: Duration = Duration::from_secs(5);
/// How often incidents are looked at.
const WATCH: Duration = Duration::from_millis(500);
/// How long after a rollback was refused it is asked for again.
const REFUSED: Duration = Duration::from_secs(30);
/// Who is named in the journal where a drill or a contract was due.
const SCHEDULE: &str = "slipway:schedule";
/// Who is named where a breach led to a rollback.
pub const WATCHER: &str = "slipway:watch";

/// Begins what is due, for ever.
pub(crate) async fn keep(control: Control) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        contracts(&control).await;
        if let Err(error) = drills(&control).await {
            tracing::warn!(%error, "drills that are due could not be looked for");
        }
    }
}

async fn contracts(control: &Control) {
    for lane in control.owing() {
        match control.contract(&lane, &By::once(SCHEDULE)).await {
            Ok(rollout) => tracing::info!(%lane, %rollout, "a contract waits for somebody's word"),
            // It stands by, or something is open: it is looked at again.
            Err(error) => tracing::debug!(%lane, %error, "no contract yet"),
        }
    }
}

async fn drills(control: &Control) -> Result<(), Error> {
    for id in control.drilled() {
        let Some(now) = control.lane(&id).await? else { continue };
        let Some(cold) = drill_due(&now.lane, &control.observed(&now.lane), now.at) else { continue };
        let by = By::once(SCHEDULE);
        match control.drill(&id, cold, &by).await {
            Ok(rollout) => tracing::info!(lane = %id, %rollout, "a drill was due"),
            // Somebody came first, or there is no way back any more: it is looked at again.
            Err(error) => tracing::info!(lane = %id, %error, "a drill was due and was refused"),
        }
    }
    Ok(())
}

/// Goes back where a breach after success calls for it, for ever.
pub(crate) async fn watch(control: Control) {
    let mut ticks = tokio::time::interval(WATCH);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut refused: BTreeMap<LaneId, (Instant, String)> = BTreeMap::new();
    loop {
        ticks.tick().await;
        let incidents = control.incidents();
        refused.retain(|lane, _| incidents.contains(lane));
        for lane in incidents {
            if refused.get(&lane).is_some_and(|(at, _)| at.elapsed() < REFUSED) {
                continue;
            }
            match control.lane(&lane).await {
                Ok(Some(now)) if rollback_due(&now.lane, now.at) => {
                    let by = By::once(WATCHER);
                    let to = now.lane.predecessor.as_ref().map(|release| release.version.clone());
                    match control.rollback(&lane, to, &by).await {
                        Ok(rollout) => tracing::warn!(%lane, %rollout, "an incident leads to a rollback"),
                        Err(error) => {
                            tracing::warn!(%lane, %error, "an incident calls for a rollback that is refused");
                            let mut why = error.to_string();
                            let told = refused.get(&lane).is_some_and(|(_, told)| *told == why);
                            if !told && let Err(error) = control.tell_no_way_back(&lane, &why).await {
                                tracing::warn!(%lane, %error, "nor can that be recorded");
                                why.clear();
                            }
                            refused.insert(lane, (Instant::now(), why));
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%lane, %error, "an incident could not be looked at"),
            }
        }
    }
}
