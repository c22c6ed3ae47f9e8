//! Brings environments to what their files say: after a file was applied, and again and again where it says `heal`.
//!
//! Decides nothing: [`slipway_core::environment::next`] does. Acts as people do, by ordinary releases and scales, each
//! recorded before it is asked for and asked for under a key, so that a crash in between is not two rollouts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use slipway_core::environment::{Environment, Next, Tried};
use slipway_core::journal::Fact;
use slipway_core::names::ServiceName;

use crate::by::By;
use crate::control::Control;
use crate::error::Error;
use crate::foreign;

/// How often environments are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// Who is named where nobody has just applied the file.
const HEALER: &str = "slipway:heal";

/// Brings every environment to what its file says, for ever.
pub(crate) async fn keep(control: Control) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for kept in control.kept_environments() {
            if let Err(error) = look(&control, &kept).await {
                let environment = &kept.file.environment;
                tracing::warn!(%environment, %error, "an environment could not be brought to what its file says");
            }
        }
    }
}

async fn look(control: &Control, kept: &Arc<Environment>) -> Result<(), Error> {
    for service in kept.file.services.keys() {
        // Whoever applies a file meanwhile is waited for, and is who is followed.
        let _alone = control.engine().writing_environments().await;
        let Some(now) = control.engine().environment(&kept.file.environment) else { return Ok(()) };
        if now.generation != kept.generation {
            return Ok(());
        }
        one(control, &now, service).await?;
    }
    Ok(())
}

async fn one(control: &Control, kept: &Environment, service: &ServiceName) -> Result<(), Error> {
    let lanes = control.lanes_of(&kept.file.environment).await?;
    match control.next_of(kept, service, lanes.get(&kept.lane(service))).await? {
        Next::Nothing | Next::Wait(_) => Ok(()),
        Next::Arrived => settle(control, kept, service, None).await,
        Next::Stopped(why) if kept.coming.contains(service) => settle(control, kept, service, Some(why)).await,
        Next::Stopped(_) => Ok(()),
        Next::Scale { instances, found } => scale(control, kept, service, instances, &found).await,
        Next::Release { found, .. } => release(control, kept, service, &found).await,
    }
}

/// A service is where it is to be, or stays where it is.
async fn settle(
    control: &Control,
    kept: &Environment,
    service: &ServiceName,
    why: Option<String>,
) -> Result<(), Error> {
    let mut after = kept.clone();
    after.coming.remove(service);
    let mut facts = Vec::new();
    if let Some(why) = why {
        let sentence = format!("{service} is not brought to what the file says until it is applied again: {why}");
        facts.push(fact(kept, "environment.stopped", Some(service), sentence));
    }
    if after.coming.is_empty() {
        let sentence = format!("{} has no more to wait for of what {} applied", kept.file.environment, kept.applied_by);
        facts.push(fact(kept, "environment.settled", None, sentence));
    }
    control.engine().keep_environment(after, facts).await
}

async fn scale(
    control: &Control,
    kept: &Environment,
    service: &ServiceName,
    instances: u32,
    found: &str,
) -> Result<(), Error> {
    let facts = vec![fact(kept, "environment.bringing", Some(service), format!("{service}: {found}"))];
    control.engine().keep_environment(kept.clone(), facts).await?;
    match control.scale(&kept.lane(service), instances, &By::once(actor(kept, service))).await {
        // Somebody came first: it is looked at again.
        Err(Error::Refused(_)) => Ok(()),
        other => other,
    }
}

async fn release(control: &Control, kept: &Environment, service: &ServiceName, found: &str) -> Result<(), Error> {
    let Some(entry) = kept.file.services.get(service) else { return Ok(()) };
    let before = kept.tried.get(service);
    let mut after = kept.clone();
    // An attempt without a rollout was cut off: it goes on under the key that it had.
    let cut_off = before.filter(|tried| tried.version == entry.version && tried.rollout.is_none());
    let mut tried = match cut_off {
        Some(tried) => tried.clone(),
        None => Tried {
            times: before.map_or(0, |tried| tried.times) + 1,
            version: entry.version.clone(),
            rollout: None,
            refused: None,
        },
    };
    if cut_off.is_none() {
        after.tried.insert(service.clone(), tried.clone());
        let facts = vec![fact(kept, "environment.bringing", Some(service), format!("{service}: {found}"))];
        control.engine().keep_environment(after.clone(), facts).await?;
    }
    let by = By { key: Some(kept.key(service, tried.times)), ..By::once(actor(kept, service)) };
    match control.release(foreign::request(&kept.lane(service), entry), &by).await {
        Ok(rollout) => tried.rollout = Some(rollout),
        Err(error @ (Error::Store(_) | Error::Unavailable(_))) => return Err(error),
        Err(error) => tried.refused = Some(error.to_string()),
    }
    after.tried.insert(service.clone(), tried);
    control.engine().keep_environment(after, Vec::new()).await
}

/// Who asks: whoever applied the file, until it was followed once; from then on nobody has just asked.
fn actor<'a>(kept: &'a Environment, service: &ServiceName) -> &'a str {
    if kept.coming.contains(service) { &kept.applied_by } else { HEALER }
}

fn fact(kept: &Environment, kind: &str, service: Option<&ServiceName>, cause: String) -> Fact {
    Fact {
        kind: kind.to_string(),
        lane: service.map(|service| kept.lane(service)),
        rollout: None,
        actor: service.map_or("slipway", |service| actor(kept, service)).to_string(),
        cause,
        evidence: json!({
            "environment": kept.file.environment, "generation": kept.generation,
            "applied_by": kept.applied_by, "applied_at": kept.applied_at,
        }),
    }
}
