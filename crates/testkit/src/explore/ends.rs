//! Whether a state ends once faults stop: by itself, with and without evidence, and after somebody aborts.

use std::collections::HashSet;

use slipway_core::rollout::{self, Release, RolloutKind};
use slipway_core::units::Weight;

use super::acts::Act;
use super::canon;
use super::state::{Said, State};
use crate::checks::{Broken, broken};

/// Turns without a fault within which everything has to end.
const TURNS: usize = 120;

/// What was shown already.
#[derive(Default)]
pub(super) struct Ends {
    fine: HashSet<(u64, u8)>,
}

impl Ends {
    /// Looks at one state.
    pub fn look(&mut self, state: &State) -> Result<(), Broken> {
        self.by_itself(state, Said::Good, 0)?;
        self.by_itself(state, Said::Nothing, 1)?;
        for (act, word) in [(Act::Abort, "aborted"), (Act::Rollback, "rolled back")] {
            self.back(state, act, word)?;
        }
        Ok(())
    }

    /// Nothing is open in the end, or a person is asked.
    fn by_itself(&mut self, state: &State, said: Said, how: u8) -> Result<(), Broken> {
        let (mut path, mut at) = (Vec::new(), state.clone());
        for _ in 0..TURNS {
            let key = (canon::of(&at), how);
            if settled(&at) || self.fine.contains(&key) {
                self.fine.extend(path);
                return Ok(());
            }
            path.push(key);
            at = at.calm(said)?;
        }
        let standing = at.lane.open.as_ref().map(|open| format!("{:?} at step {}", open.state, open.step));
        let restarting = at.lane.restarting.is_some();
        let what = format!("not after {TURNS} turns without a fault: {standing:?}, restarting: {restarting}");
        broken("everything_ends", what)
    }

    /// An open release or drill is taken back from here, and stable has everything when it has ended. A drill that somebody
    /// rolls back stays, if it can, and what it went to is stable then.
    fn back(&mut self, state: &State, act: Act, word: &str) -> Result<(), Broken> {
        let Some(open) = &state.lane.open else { return Ok(()) };
        let undoing = matches!(open.state, rollout::State::Undoing(_));
        let drill = matches!(open.kind, RolloutKind::Drill { .. });
        if (open.kind != RolloutKind::Release && !drill) || matches!(open.state, rollout::State::Ended { .. }) {
            return Ok(());
        }
        let stays = (drill && act == Act::Rollback).then(|| open.release.version.clone());
        let (id, stable) = (open.id.clone(), state.lane.stable_version().cloned());
        let mut at = match state.after(act)? {
            Some(next) => next,
            None if undoing => state.clone(),
            None => return broken("traffic_first", format!("{id} cannot be {word}")),
        };
        let mut path = Vec::new();
        for _ in 0..TURNS {
            if at.lane.open.as_ref().is_none_or(|open| open.id != id) {
                self.fine.extend(path);
                // Nobody had met it: a gateway that hears nothing meanwhile has nothing to confirm.
                at.hears();
                let is_there = stays.filter(|stays| at.lane.stable_version() == Some(stays));
                return whole(&at, is_there.as_ref().or(stable.as_ref()), word);
            }
            let key = (canon::of(&at), if stays.is_some() { 3 } else { 2 });
            if self.fine.contains(&key) {
                self.fine.extend(path);
                return Ok(());
            }
            path.push(key);
            at = at.calm(Said::Nothing)?;
        }
        broken("everything_ends", format!("{id} was {word} and is not back after {TURNS} turns without a fault"))
    }
}

/// Nothing goes on and what serves is whole, or a person is asked.
fn settled(state: &State) -> bool {
    let lane = &state.lane;
    if let Some(open) = &lane.open {
        return matches!(open.state, rollout::State::Held { .. } | rollout::State::Paused { .. });
    }
    let whole = |stable: &Release| lane.ready(&stable.version) == stable.instances(&lane.id);
    lane.queue.is_empty() && lane.restarting.is_none() && lane.stable.as_ref().is_none_or(whole)
}

/// Stable is what it was, and every gateway gives it everything; or nothing serves where nothing did.
fn whole(state: &State, stable: Option<&slipway_core::names::VersionName>, word: &str) -> Result<(), Broken> {
    let share = |split: &slipway_core::traffic::Split| stable.map_or(Weight::ZERO, |stable| split.weight(stable));
    let routed = state.lane.routing.as_ref().map(|routing| share(&routing.split));
    let served = state.gateway.as_ref().map(|route| share(&route.split));
    let all = stable.map(|_| Weight::ALL);
    match state.lane.stable_version() == stable && routed == all && served == all {
        true => Ok(()),
        false => broken("traffic_first", format!("{word}: stable is asked for {routed:?} and gets {served:?}")),
    }
}
