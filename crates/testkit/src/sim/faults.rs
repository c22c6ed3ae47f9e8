//! What is done to a turn on purpose, so that a test can see the check of that name speak.

use slipway_core::rollout::{Effect, SlotState, State, Turn};
use slipway_core::traffic::Split;
use slipway_core::units::{Timestamp, Weight};

/// One invariant broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A rollout goes on without a way back in its plan.
    NoUndo,
    /// Instances serve that nobody has tested.
    ColdTraffic,
    /// Stable gives up instances while the candidate is being tried.
    StableCold,
    /// A step without a single request passes.
    SilencePasses,
    /// A way back leaves the traffic where it is.
    TrafficLast,
    /// Instances are stopped that a gateway still uses.
    StopsInUse,
    /// A number that was given out is given out again.
    NumberTwice,
    /// An effect is carried out that was never kept.
    ActsFirst,
    /// A rollout never moves again.
    Stuck,
    /// A fact names nobody.
    Nameless,
}

impl Sabotage {
    /// Does it to a turn.
    pub(super) fn apply(self, turn: &mut Turn, now: Timestamp) {
        let stable = turn.lane.stable_version().cloned();
        let candidate = turn.lane.candidate_version().cloned();
        match self {
            Sabotage::NoUndo => {
                if let Some(open) = &mut turn.lane.open {
                    open.plan.way_back.clear();
                }
            }
            Sabotage::StableCold if candidate.is_some() => {
                let mut first = turn.lane.slots.iter_mut().filter(|s| Some(&s.version) == stable.as_ref());
                if let Some(slot) = first.next() {
                    slot.state = SlotState::Draining(now);
                }
            }
            Sabotage::TrafficLast if matches!(turn.lane.open.as_ref().map(|o| &o.state), Some(State::Undoing(_))) => {
                if let (Some(stable), Some(candidate), Some(routing)) = (stable, candidate, &mut turn.lane.routing) {
                    routing.split = Split::between(candidate, Weight::ALL, stable);
                }
            }
            Sabotage::StopsInUse => {
                let serving = turn.lane.slots.iter().find(|s| s.ready.is_some()).map(|s| s.id.clone());
                turn.effects.extend(serving.map(|instance| Effect::Stop { instance }));
            }
            Sabotage::NumberTwice => turn.lane.counters.instance = turn.lane.counters.instance.saturating_sub(1),
            Sabotage::Nameless => turn.facts.iter_mut().for_each(|fact| fact.actor.clear()),
            _ => {}
        }
    }
}
