//! A lane in memory between its turns: what is known to be kept, and what could not be kept yet. Decides nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use slipway_core::journal::Fact;
use slipway_core::names::RolloutId;
use slipway_core::rollout::trail::Sample;
use slipway_core::rollout::{Counters, Effect, Lane, Rollout, Turn};
use tokio::sync::Notify;

use super::Wish;
use crate::error::Error;

/// One lane in memory: the last state that is known to be kept, and what could not be kept yet.
#[derive(Default)]
pub(crate) struct Cell {
    pub wake: Notify,
    pub(super) state: tokio::sync::Mutex<CellState>,
    turning: Mutex<Turning>,
}

/// Whether a turn goes on.
#[derive(Default)]
struct Turning {
    since: Option<Instant>,
    /// When the first of those began that have come to no decision since one did: they panicked, or could not load the lane.
    failing: Option<Instant>,
    /// It ended by a panic: what it left in memory is half of something.
    broken: bool,
}

impl Cell {
    fn turning(&self) -> std::sync::MutexGuard<'_, Turning> {
        self.turning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a turn goes on until what is returned is dropped. After one that has panicked everything is loaded anew.
    pub(super) fn begin_turn(&self, state: &mut CellState) -> GoesOn<'_> {
        let mut turning = self.turning();
        let begun = Instant::now();
        turning.since = Some(begun);
        if std::mem::take(&mut turning.broken) {
            *state = CellState::default();
        }
        GoesOn { cell: self, failing: turning.failing.or(Some(begun)) }
    }

    /// Whether a turn goes on for longer than `limit`, or none has come to a decision for so long.
    pub(super) fn turns_since(&self, limit: Duration) -> bool {
        let turning = self.turning();
        turning.since.into_iter().chain(turning.failing).any(|since| since.elapsed() > limit)
    }
}

/// A turn goes on.
pub(super) struct GoesOn<'a> {
    cell: &'a Cell,
    /// Since when turns fail, if this one is not said to have come to a decision.
    failing: Option<Instant>,
}

impl GoesOn<'_> {
    /// The turn has come to this. What it decided and could not keep is decided all the same; what somebody was refused says
    /// nothing of what they did not ask for.
    pub(super) fn comes_to<T>(&mut self, turned: &Result<T, Error>) {
        self.failing = match turned {
            Err(Error::Refused(_)) => self.cell.turning().failing,
            _ => None,
        };
    }
}

impl Drop for GoesOn<'_> {
    fn drop(&mut self) {
        *self.cell.turning() = Turning { since: None, failing: self.failing, broken: std::thread::panicking() };
    }
}

#[derive(Default)]
pub(super) struct CellState {
    /// As it was committed, with its generation; absent before the first load. Shared with whoever looks at it.
    pub kept: Option<(u64, Arc<Lane>)>,
    /// A commit has failed since, and an answer that got lost looks the same: what is kept may be later than this.
    pub doubted: bool,
    /// Decided on the way back while the store was away: acted upon already, to be committed first.
    pub unkept: Option<Unkept>,
    /// Whether something is written down beside the store.
    pub noted: bool,
    /// What people asked for, and were told that it is done, since the last commit that is known to be kept. It is part of
    /// `unkept`, or has to be done again, on top of what was found in its place.
    pub granted: Vec<Granted>,
    /// Numbers that turns gave out which met a later state, and are to be taken again on top of that.
    pub given: Counters,
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Unkept {
    pub lane: Lane,
    pub facts: Vec<Fact>,
    pub effects: Vec<Effect>,
    pub ended: Vec<Rollout>,
    /// Whether all of it is written down beside the store.
    #[serde(skip)]
    pub noted: bool,
}

/// What a turn decided, after what could not be kept before it.
pub(super) fn join(unkept: Option<Unkept>, turn: Turn) -> Unkept {
    let mut joined = unkept.unwrap_or_else(|| Unkept {
        lane: turn.lane.clone(),
        facts: Vec::new(),
        effects: Vec::new(),
        ended: Vec::new(),
        noted: false,
    });
    joined.noted &= turn.facts.is_empty() && turn.effects.is_empty() && turn.ended.is_empty();
    joined.lane = turn.lane;
    joined.facts.extend(turn.facts);
    joined.effects.extend(turn.effects);
    joined.ended.extend(turn.ended);
    joined
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use slipway_core::names::LaneId;
    use slipway_core::rollout::Refusal;
    use slipway_core::units::Timestamp;
    use slipway_store::{Commit, Store};

    use super::*;
    use crate::fakes;

    /// A turn of a lane that comes to this, or panics.
    fn turn(cell: &Cell, turned: Option<Result<(), Error>>) {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut turning = cell.begin_turn(&mut CellState::default());
            turning.comes_to(&turned.expect("a turn that panics"));
        }));
        drop(ended);
    }

    #[test]
    fn turns_that_all_fail_are_as_one_that_does_not_end() {
        let refused = || Err(Error::Refused(Refusal { code: "nothing_open", reason: "nothing is open".into() }));
        let away = || Err(Error::Store(slipway_store::Error::Unavailable("it is away".into())));
        let stuck = |cell: &Cell| cell.turns_since(Duration::ZERO);
        let cell = Cell::default();
        turn(&cell, Some(refused()));
        assert!(!stuck(&cell), "it was only refused");
        turn(&cell, None);
        assert!(stuck(&cell), "it panicked");
        let since = cell.turning().failing;
        turn(&cell, None);
        turn(&cell, Some(refused()));
        drop(cell.begin_turn(&mut CellState::default()));
        assert!(stuck(&cell) && cell.turning().failing == since, "since the first");
        turn(&cell, Some(away()));
        assert!(!stuck(&cell), "one that cannot be kept would have gone back");
        drop(cell.begin_turn(&mut CellState::default()));
        assert!(stuck(&cell), "it could not load the lane");
        turn(&cell, Some(Ok(())));
        assert!(!stuck(&cell));
    }

    #[tokio::test]
    async fn numbers_of_a_turn_that_meets_a_later_state_are_not_given_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let id = LaneId { service: "shop".parse().expect("one"), environment: "production".parse().expect("one") };
        let with_epoch = |epoch| {
            let mut lane = Lane::new(id.clone());
            lane.counters.epoch = epoch;
            lane
        };
        // The answer of the second was lost.
        for (expected_generation, epoch) in [(0, 3), (1, 4)] {
            let (facts, effects, consumed, rollouts, samples) = (vec![], vec![], vec![], vec![], vec![]);
            let (lane, doc, at) = (&id, &with_epoch(epoch), Timestamp(1));
            let commit = Commit { lane, expected_generation, doc, facts, effects, consumed, rollouts, samples, at };
            store.commit(commit).await.expect("it is kept");
        }
        let engine = fakes::engine(store);
        let (cell, _) = engine.cell(&id);
        {
            let mut state = cell.state.lock().await;
            state.kept = Some((1, Arc::new(with_epoch(3))));
            // And it could not be looked since what was decided then.
            let (facts, effects, ended) = (vec![], vec![], vec![]);
            state.unkept = Some(Unkept { lane: with_epoch(9), facts, effects, ended, noted: false });
        }
        engine.turn(&id, None).await.expect("it is taken again");
        let (generation, lane) = cell.state.lock().await.kept.clone().expect("it is known");
        assert_eq!((generation, lane.counters.epoch), (2, 9));
    }
}
