//! A lane in memory between its turns: what is known to be kept, and what could not be kept yet. Decides nothing.

use std::sync::Arc;

use slipway_core::journal::Fact;
use slipway_core::names::RolloutId;
use slipway_core::rollout::trail::Sample;
use slipway_core::rollout::{Effect, Lane, Rollout, Turn};
use tokio::sync::Notify;

use super::Wish;

/// One lane in memory: the last state that is known to be kept, and what could not be kept yet.
pub(crate) struct Cell {
    pub wake: Notify,
    pub(super) state: tokio::sync::Mutex<CellState>,
}

#[derive(Default)]
pub(super) struct CellState {
    /// As it was committed, with its generation; absent before the first load. Shared with whoever looks at it.
    pub kept: Option<(u64, Arc<Lane>)>,
    /// A commit has failed since, and an answer that got lost looks the same: what is kept may be later than this.
    pub doubted: bool,
    /// Decided on the way back while the store was away: acted upon already, to be committed first.
    pub unkept: Option<Unkept>,
    /// What people asked for, and were told that it is done, since the last commit that is known to be kept. It is part of
    /// `unkept`, or has to be done again, on top of what was found in its place.
    pub granted: Vec<Granted>,
    /// The last sample that was taken, and of which rollout.
    pub sampled: Option<(RolloutId, Sample)>,
}

/// A wish that somebody was told is done.
pub(super) struct Granted {
    pub wish: Wish,
    /// The first attempt to keep it.
    pub attempt: u64,
}

/// What turns have decided since the last commit that is known to be kept.
pub(super) struct Unkept {
    pub lane: Lane,
    pub facts: Vec<Fact>,
    pub effects: Vec<Effect>,
    pub ended: Vec<Rollout>,
}

/// What a turn decided, after what could not be kept before it.
pub(super) fn join(unkept: Option<Unkept>, turn: Turn) -> Unkept {
    let mut joined = unkept.unwrap_or_else(|| Unkept {
        lane: turn.lane.clone(),
        facts: Vec::new(),
        effects: Vec::new(),
        ended: Vec::new(),
    });
    joined.lane = turn.lane;
    joined.facts.extend(turn.facts);
    joined.effects.extend(turn.effects);
    joined.ended.extend(turn.ended);
    joined
}
