//! What was done in a lane while the store was away, written down beside it, so that whoever drives next goes on from there
//! and not from what the store knows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use slipway_core::names::LaneId;

use super::Engine;
use super::cell::{CellState, Unkept};

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
        let Some((generation, _)) = &state.kept else { return };
        match self.store.noted::<Noted>(id).await {
            Ok(None) => {}
            Ok(Some(noted)) => {
                state.noted = true;
                if noted.generation == *generation {
                    tracing::warn!(lane = %id, "what was done here without the store is recorded now");
                    state.unkept = Some(Unkept { noted: true, ..noted.decided.into_owned() });
                } else {
                    // It was recorded, or what it rests on has been gone on from.
                    self.forget_note(id, state).await;
                }
            }
            Err(error) => tracing::error!(lane = %id, %error, "what was done here without the store cannot be read"),
        }
    }

    /// Writes down what could not be committed, where something of it is not written down yet.
    pub(super) async fn note_unkept(&self, id: &LaneId, state: &mut CellState) {
        let generation = state.kept.as_ref().map_or(0, |(generation, _)| *generation);
        let Some(unkept) = state.unkept.as_mut().filter(|unkept| !unkept.noted) else { return };
        match self.store.note(id, &Noted { generation, decided: Cow::Borrowed(unkept) }).await {
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
            && let Err(error) = self.store.forget_noted(id).await
        {
            tracing::warn!(lane = %id, %error, "what is recorded by now stays written down beside the store");
        }
    }
}
