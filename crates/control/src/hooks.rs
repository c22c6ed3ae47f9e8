//! Telling hooks: one task for each, which goes along the journal from where the hook was told last. A hook that cannot
//! be told is tried again, less and less often; whatever it does, it holds up nobody but itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use slipway_core::hook::{self, Answer, Message};
use slipway_core::journal::{Entry, Fact};
use slipway_core::rollout::ENGINE;
use slipway_core::spec::Hook;
use slipway_core::units::Timestamp;
use slipway_store::{HookId, HookRow, Told, Whose};
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::Error;

/// Entries that are looked at together.
const PAGE: u32 = 100;
/// How long a hook's task sleeps when nobody wakes it.
const IDLE: Duration = Duration::from_secs(30);
/// How long after an error of the store it is asked again.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Keeps a task for every hook, for ever.
pub(crate) async fn tell(engine: Arc<Engine>) {
    // Dropped with this future, and all tasks with it.
    let mut tasks = JoinSet::new();
    let mut running: HashMap<tokio::task::Id, HookId> = HashMap::new();
    loop {
        match engine.store.hooks().await {
            Ok(rows) => {
                for row in rows.into_iter().filter(|row| !running.values().any(|id| *id == row.id)).collect::<Vec<_>>()
                {
                    let task = tasks.spawn(along(engine.clone(), row.id.clone()));
                    running.insert(task.id(), row.id);
                }
            }
            Err(error) => tracing::warn!(%error, "the hooks cannot be read"),
        }
        tokio::select! {
            () = engine.hooks_changed.notified() => {}
            Some(ended) = tasks.join_next_with_id() => {
                drop(running.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id)));
            }
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

/// What follows one look at a hook.
enum Next {
    /// Another look.
    Look,
    /// Another look at this time, or when the hook is declared anew.
    At(Timestamp),
    /// Another look when something was recorded.
    Wait,
    /// Nothing: the hook is gone.
    End,
}

/// Tells one hook of everything that it wants to know, until it is withdrawn.
async fn along(engine: Arc<Engine>, id: HookId) {
    let mut head = engine.store.subscribe();
    loop {
        head.borrow_and_update();
        let sleep = match look(&engine, &id).await {
            Ok(Next::Look) => continue,
            Ok(Next::End) => return,
            Ok(Next::At(at)) => {
                tokio::time::sleep(at.since(engine.clock.now()).as_duration().min(IDLE)).await;
                continue;
            }
            Ok(Next::Wait) => IDLE,
            Err(error) => {
                tracing::warn!(of = %id.whose, hook = id.name, %error, "a hook could not be looked after");
                AFTER_ERROR
            }
        };
        tokio::select! {
            _ = head.changed() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn look(engine: &Engine, id: &HookId) -> Result<Next, Error> {
    let Some(row) = engine.store.hook(id).await? else { return Ok(Next::End) };
    let hook: Hook = serde_json::from_value(row.doc.clone())?;
    let now = engine.clock.now();
    if row.failing_since.is_some() {
        // Known from before a restart.
        note_silence(engine, id, Err(&row.why));
    }
    if row.next_at > now {
        return Ok(Next::At(row.next_at));
    }
    let page = engine.store.chained(&id.whose, row.told, row.withdrawn_at, PAGE).await?;
    let wanted = page.iter().find(|(entry, _)| concerns(id, &entry.fact) && hook.wants(&entry.fact.kind));
    if let Some((entry, hash)) = wanted {
        let message = hook::event(entry, hash);
        let came_of = deliver(engine, &hook, &message).await;
        note(engine, &row, entry, came_of.map(drop)).await?;
        return Ok(Next::Look);
    }
    match page.last() {
        Some((entry, _)) if page.len() == PAGE as usize => {
            let told = Told::Unwanted { seq: entry.seq };
            engine.store.note_told(id, &told, Vec::new(), now).await?;
            Ok(Next::Look)
        }
        _ if row.withdrawn_at.is_some() => {
            engine.store.forget_hook(id).await?;
            Ok(Next::Look)
        }
        _ => Ok(Next::Wait),
    }
}

/// Hands a message to a hook, within its time. What it answered.
pub(crate) async fn deliver(engine: &Engine, hook: &Hook, message: &Message) -> Result<Vec<u8>, String> {
    let attempt = engine.receivers.deliver(hook, message);
    match tokio::time::timeout(hook.timeout.as_duration(), attempt).await {
        Ok(came_of) => came_of,
        Err(_) => Err(format!("it took longer than {}", hook.timeout)),
    }
}

/// Asks a hook until it answers or its time is over; why there is no answer, in that case. Who cannot be reached, and
/// who answers what is no answer, is asked again as long as there is time.
pub(crate) async fn ask(engine: &Engine, hook: &Hook, message: &Message, until: Timestamp) -> Result<Answer, String> {
    let mut why = "its time was over before it could be asked".to_string();
    for attempts in 1.. {
        let left = until.since(engine.clock.now());
        if left.0 == 0 {
            break;
        }
        let attempt = tokio::time::timeout(left.as_duration(), engine.receivers.deliver(hook, message));
        match attempt.await.unwrap_or_else(|_| Err(format!("nothing came within {}", hook.timeout))) {
            Ok(body) => match hook::read(&body) {
                Ok(answer) => return Ok(answer),
                Err(no_answer) => why = no_answer,
            },
            Err(failure) => why = failure,
        }
        let left = until.since(engine.clock.now());
        tokio::time::sleep(hook::again_after(attempts).min(left).as_duration()).await;
    }
    Err(why)
}

/// Keeps what came of an attempt. What is recorded is that a hook begins to fail, that it is back, and what it will never
/// be told; not every attempt, which would bury everything else.
async fn note(engine: &Engine, row: &HookRow, entry: &Entry, came_of: Result<(), String>) -> Result<(), Error> {
    let now = engine.clock.now();
    let name = &row.id.name;
    note_silence(engine, &row.id, came_of.as_ref().copied().map_err(String::as_str));
    let (told, facts) = match came_of {
        Ok(()) => {
            let back = row.failing_since.map(|since| {
                let cause = format!("hook {name} is back after {}", now.since(since));
                fact(row, "hook.recovered", cause, json!({ "hook": name, "since": since.to_string() }))
            });
            (Told::Taken { seq: entry.seq }, back.into_iter().collect())
        }
        Err(why) => {
            let attempts = row.attempts + 1;
            let evidence = json!({ "hook": name, "seq": entry.seq, "attempts": attempts, "why": why });
            if hook::given_up(entry.at, attempts, now) {
                let cause = format!("hook {name} is not told of entry {}: {why}", entry.seq);
                (Told::LeftOut { seq: entry.seq }, vec![fact(row, "hook.left_out", cause, evidence)])
            } else {
                let cause = format!("hook {name} cannot be told, and is tried again: {why}");
                let first = row.failing_since.is_none().then(|| fact(row, "hook.failing", cause, evidence));
                let next_at = now.plus(hook::again_after(attempts));
                (Told::Failed { attempts, next_at, why }, first.into_iter().collect())
            }
        }
    };
    Ok(engine.store.note_told(&row.id, &told, facts, now).await?)
}

/// Whether an entry is for somebody's hooks. One that belongs to no service is for those of the environment that it is
/// about; one that is about none, such as a token, is for those of every environment.
fn concerns(id: &HookId, fact: &Fact) -> bool {
    match &id.whose {
        Whose::Lane(_) => true,
        Whose::Environment(environment) => fact.environment().is_none_or(|named| named == environment.as_str()),
    }
}

/// Notes what readiness looks at: whether the hooks of a lane can be told. A hook of an environment is one of each lane.
fn note_silence(engine: &Engine, id: &HookId, came_of: Result<(), &str>) {
    if let Some(lane) = id.whose.lane() {
        engine.note_hook(lane, &id.name, came_of);
    }
}

fn fact(row: &HookRow, kind: &str, cause: String, mut evidence: serde_json::Value) -> Fact {
    if let Whose::Environment(environment) = &row.id.whose {
        evidence["environment"] = json!(environment);
    }
    let lane = row.id.whose.lane().cloned();
    Fact { kind: kind.to_string(), lane, rollout: None, actor: ENGINE.to_string(), cause, evidence }
}
