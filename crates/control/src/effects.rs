//! The workers: they carry effects out and hand the results to the lanes. An effect stays in the outbox until a turn
//! has taken its result in, so a crash in between only carries it out again, which changes nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use slipway_core::instance::{Stopped, TargetError};
use slipway_core::names::{InstanceId, LaneId};
use slipway_core::rollout::{Effect, EffectResult};
use slipway_store::EffectId;

use crate::control::Control;
use crate::engine::Engine;
use crate::hooks;

/// How often an effect that may work later is tried before its failure is handed on.
const TRIES: u32 = 5;

/// Carries out what the outbox holds, for ever. What is under way when the control plane ends is let go: it is in the outbox
/// still, and a target brings what it has begun to an end by itself.
pub(crate) async fn work(control: Control) {
    let engine = control.engine();
    let busy: Arc<Mutex<HashSet<EffectId>>> = Arc::default();
    loop {
        match engine.store.pending_effects().await {
            Ok(rows) => {
                busy.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| rows.iter().any(|row| row.id == *id));
                for row in rows {
                    if !busy.lock().unwrap_or_else(PoisonError::into_inner).insert(row.id) {
                        continue;
                    }
                    match serde_json::from_value::<Effect>(row.body) {
                        Ok(effect) => {
                            let (id, busy) = (row.id, busy.clone());
                            let done = control.spawn(carry_out(engine.clone(), row.lane, id, effect));
                            tokio::spawn(async move {
                                if done.await.is_err() {
                                    // It panicked, which the log tells; it is done again with the next look.
                                    busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                                }
                            });
                        }
                        Err(error) => tracing::error!(key = row.key, %error, "an effect that cannot be read"),
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the outbox cannot be read"),
        }
        tokio::select! {
            () = engine.effects.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

async fn carry_out(engine: Arc<Engine>, lane: LaneId, id: EffectId, effect: Effect) {
    let result = match effect {
        Effect::Start { spec } => {
            let instance = spec.id.clone();
            match start(&engine, &spec).await {
                Ok(()) => EffectResult::Started { instance },
                Err(error) => EffectResult::NotStarted { instance, error },
            }
        }
        Effect::Stop { instance } => {
            let stopped = stop(&engine, &instance).await;
            EffectResult::Stopped { instance, killed: stopped.killed }
        }
        Effect::Run { job } => {
            let artifact = engine.artifacts.path(&job.artifact).await;
            let end = engine.target.run(&job, artifact).await;
            EffectResult::Ran { job: job.id, end }
        }
        Effect::Ask { key, hook, message, until } => {
            let answer = hooks::ask(&engine, &hook, &message, until).await;
            // What is only asked is told of nothing: this is how it is known whether it can be reached.
            if hook.on.is_empty() {
                engine.note_hook(&lane, &hook.name, answer.as_ref().map(drop).map_err(String::as_str));
            }
            EffectResult::Answered { key, answer }
        }
        Effect::Smoke { instance, incarnation, round, tests } => {
            let report = engine.target.smoke(&instance, incarnation, &tests).await;
            EffectResult::Smoked { report, round }
        }
    };
    engine.came_of(&lane, id, result);
}

/// Stopping is tried until it works: an instance that cannot be stopped is never forgotten.
pub(crate) async fn stop(engine: &Engine, instance: &InstanceId) -> Stopped {
    loop {
        match engine.target.stop(instance).await {
            Ok(stopped) => return stopped,
            Err(error) => tracing::warn!(%instance, %error, "stopping it again in a second"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn start(engine: &Engine, spec: &slipway_core::instance::InstanceSpec) -> Result<(), TargetError> {
    let Some(artifact) = engine.artifacts.path(&spec.artifact).await else {
        return Err(TargetError::Hopeless(format!("its artifact {} is not here", spec.artifact)));
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match engine.target.start(spec, artifact.clone()).await {
            Err(TargetError::Transient(why)) if tries < TRIES => {
                tracing::warn!(instance = %spec.id, why, "starting it again");
                tokio::time::sleep(Duration::from_millis(200 << tries)).await;
            }
            other => return other,
        }
    }
}
