//! What was done in a lane while the store was away, written down beside it, so that whoever drives next goes on from there
//! and not from what the store knows.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::{Lane, Outcome, State, commands};

use super::cell::{CellState, Granted, Unkept};
use super::{Engine, Wish};

/// How long a note is waited for: a disk that hangs must not hold up what comes after it.
const NOTE: Duration = Duration::from_secs(2);

/// As it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Noted<'a> {
    /// What of the lane is committed.
    generation: u64,
    /// What was done on top of that.
    decided: Cow<'a, Unkept>,
}

impl Engine {
    /// Goes on with what was done without the store, where whoever did it has not come to record it.
    pub(super) async fn take_note_up(&self, id: &LaneId, state: &mut CellState) {
        let Some((generation, kept)) = &state.kept else { return };
        let noted = match self.store.noted::<Noted>(id).await {
            Ok(None) => return,
            Ok(Some(noted)) => noted,
            Err(error) => {
                tracing::error!(
                    lane = %id, %error,
                    "what was done here without the store cannot be read. It was a way back, so that what is open is taken back: move \
                     the file away once the service is as it should be"
                );
                // Without an open one an abort would withdraw the next.
                let wish: Wish = Arc::new(|turn, now| match turn.lane.open {
                    Some(_) => commands::abort(turn, "slipway", now),
                    None => Ok(()),
                });
                state.granted.push(Granted { wish, attempt: u64::MAX });
                return;
            }
        };
        state.noted = true;
        let decided = noted.decided.into_owned();
        let waiting = decided.lane.queue.iter().map(|asked| &asked.id);
        let rollouts = decided.lane.open.iter().chain(&decided.ended).map(|rollout| &rollout.id);
        waiting.chain(rollouts).for_each(|id| self.store.know_rollout(id));
        if noted.generation == *generation {
            tracing::warn!(lane = %id, "what was done here without the store is recorded now");
            state.unkept = Some(Unkept { noted: true, ..decided });
        } else if kept.attempt >= decided.lane.attempt {
            // It was recorded, and the answer was lost.
            self.forget_note(id, state).await;
        } else if let Some((rollout, actor)) = taken_back(kept, &decided) {
            tracing::warn!(lane = %id, %rollout, "a way back that was taken without the store is taken again, on top of what it holds");
            let wish: Wish = Arc::new(move |turn, now| match &turn.lane.open {
                Some(open) if open.id == rollout => commands::abort(turn, &actor, now),
                _ => Ok(()),
            });
            state.granted.push(Granted { wish, attempt: decided.lane.attempt });
        } else {
            let kinds: Vec<&str> = decided.facts.iter().map(|fact| fact.kind.as_str()).collect();
            tracing::error!(
                lane = %id, done = %kinds.join(", "),
                "what was done here without the store rests on another state than it holds and is not recorded: ask for it again"
            );
        }
    }

    /// Takes the turn that a note asks for, before anything of the lane is served by this control plane.
    pub async fn settle_note(&self, id: &LaneId) {
        let owes = !self.cell(id).0.state.lock().await.granted.is_empty();
        if owes && let Err(error) = self.turn(id, None).await {
            tracing::error!(lane = %id, %error, "a way back that was taken without the store cannot be taken again yet");
        }
    }

    /// Writes down what could not be committed, where something of it is not written down yet.
    pub(super) async fn note_unkept(&self, id: &LaneId, state: &mut CellState) {
        let generation = state.kept.as_ref().map_or(0, |(generation, _)| *generation);
        let Some(unkept) = state.unkept.as_mut().filter(|unkept| !unkept.noted) else { return };
        let noted = Noted { generation, decided: Cow::Borrowed(unkept) };
        match in_time(self.store.note(id, &noted)).await {
            Ok(()) => (unkept.noted, state.noted) = (true, true),
            Err(error) => tracing::error!(
                lane = %id, %error,
                "what is done without the store is not written down either: a control plane that starts now does not know of it"
            ),
        }
    }

    /// Everything of the lane is committed.
    pub(super) async fn forget_note(&self, id: &LaneId, state: &mut CellState) {
        if std::mem::take(&mut state.noted)
            && let Err(error) = in_time(self.store.forget_noted(id)).await
        {
            tracing::warn!(lane = %id, %error, "what is recorded by now stays written down beside the store");
        }
    }
}

async fn in_time(act: impl Future<Output = Result<(), slipway_store::Error>>) -> Result<(), slipway_store::Error> {
    let silent = |_| Err(slipway_store::Error::Unavailable(format!("the disk did not answer within {NOTE:?}")));
    tokio::time::timeout(NOTE, act).await.unwrap_or_else(silent)
}

/// The rollout that is open in `kept` and was taken back by what was `decided`, and who did that.
fn taken_back(kept: &Lane, decided: &Unkept) -> Option<(RolloutId, String)> {
    let open = kept.open.as_ref().filter(|open| !matches!(open.state, State::Undoing(_)))?;
    let goes_back = decided.lane.open.iter().any(|r| r.id == open.id && matches!(r.state, State::Undoing(_)));
    let went_back =
        decided.ended.iter().any(|r| r.id == open.id && r.ended().is_some_and(|(how, _)| how != Outcome::Succeeded));
    let actors =
        decided.facts.iter().filter(|fact| fact.rollout.as_ref() == Some(&open.id)).map(|fact| fact.actor.clone());
    let actor = actors.clone().find(|actor| actor.starts_with("user:")).or_else(|| actors.clone().next());
    (goes_back || went_back).then(|| (open.id.clone(), actor.unwrap_or_else(|| "slipway".to_string())))
}
