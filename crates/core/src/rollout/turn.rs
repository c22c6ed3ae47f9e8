//! One turn: from what is kept and what is seen to what is kept next, what is recorded and what is to be done.
//!
//! Level-triggered: nothing here remembers what it was about to do. A restart, a lost message or a human's
//! intervention only changes what the next turn sees. Called by the control plane's drivers and by simulations.

use super::effect::Effect;
use super::lane::Lane;
use super::model::Rollout;
use super::observed::Observed;
use super::reconcile::reconcile;
use super::{advance, begin, faults, housekeeping, restarting, schema, slots, watching};
use crate::journal::Fact;
use crate::units::{Millis, Timestamp};

/// Who is named in the journal where nobody asked.
pub const ENGINE: &str = "slipway";

/// How long an open rollout goes without a look if nothing happens: no lost nudge may hold it up.
const LOOK_AGAIN: Millis = Millis::from_secs(1);

/// What a turn decided.
#[derive(Debug, Clone)]
pub struct Turn {
    /// What is kept next. Equal to what was kept before where nothing happened.
    pub lane: Lane,
    /// For the journal, in order.
    pub facts: Vec<Fact>,
    /// To be carried out once the lane is kept.
    pub effects: Vec<Effect>,
    /// A way back has begun: its routing goes out before anything is written.
    pub traffic_first: bool,
    /// Rollouts that ended in this turn.
    pub ended: Vec<Rollout>,
    /// When to look again if nothing happens before.
    pub wake_at: Option<Timestamp>,
}

impl Turn {
    /// A turn that has decided nothing yet.
    pub fn new(lane: &Lane) -> Turn {
        Turn {
            lane: lane.clone(),
            facts: Vec::new(),
            effects: Vec::new(),
            traffic_first: false,
            ended: Vec::new(),
            wake_at: None,
        }
    }

    /// Records a fact about the open rollout, or about the lane where none is open.
    pub fn record(&mut self, kind: &str, actor: &str, cause: impl Into<String>, evidence: serde_json::Value) {
        self.facts.push(Fact {
            kind: kind.to_string(),
            lane: Some(self.lane.id.clone()),
            rollout: self.lane.open.as_ref().map(|r| r.id.clone()),
            actor: actor.to_string(),
            cause: cause.into(),
            evidence,
        });
    }

    /// Asks for another look at `at` at the latest.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }

    /// Whether anything has to be kept.
    pub fn changed(&self, before: &Lane) -> bool {
        !self.facts.is_empty() || !self.effects.is_empty() || self.lane != *before
    }
}

/// Decides what happens next in a lane.
pub fn turn(lane: &Lane, seen: &Observed, now: Timestamp) -> Turn {
    let mut turn = Turn::new(lane);
    complete(&mut turn, seen, now);
    turn
}

/// The rest of a turn that began with a command.
pub fn complete(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let troubles = slots::observe(turn, seen, now);
    schema::overdue(turn, now);
    advance::advance(turn, seen, &troubles, now);
    begin::expire(turn, now);
    schema::take_back(turn, now);
    if turn.lane.open.is_none() {
        begin::next(turn, seen, now);
        advance::advance(turn, seen, &[], now);
    }
    if turn.lane.open.is_some() {
        turn.wake(now.plus(LOOK_AGAIN));
    }
    housekeeping::standby(turn, now);
    faults::tend(turn, now);
    watching::watch(turn, seen, now);
    restarting::proceed(turn, seen, now);
    reconcile(turn, seen, now);
}
