//! A wrong decision, made on purpose so that a test can see a check speak: what the planner is told or what it answers is
//! changed, nothing that a check looks at.

use slipway_core::instance::{Health, InstanceState};
use slipway_core::rollout::{self, Confirmed, Effect, Observed, Slot, SlotState, State, StepKind, Turn};
use slipway_core::traffic::{Endpoint, Split};
use slipway_core::units::{Timestamp, Weight};

use super::world::WHO;

/// One invariant broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A rollout begins without a way back in its plan.
    NoUndo,
    /// Nobody looks whether what serves could be started again.
    BlindWayBack,
    /// An instance serves as soon as it is healthy, untested.
    ColdTraffic,
    /// Stable gives up instances while the candidate is being tried.
    StableCold,
    /// Stable is scaled down when a shift is asked for, before it is confirmed.
    ScalesDownEarly,
    /// A step without a single request passes.
    SilencePasses,
    /// A way back leaves the traffic where it is.
    TrafficLast,
    /// A way back waits for the store.
    StoreFirst,
    /// What was asked for counts as confirmed.
    AssumesConfirmed,
    /// Instances are stopped that a gateway still uses.
    StopsInUse,
    /// A number that was given out is given out again.
    NumberTwice,
    /// What an old control plane decides is kept.
    Unfenced,
    /// Effects are carried out before the turn is kept.
    ActsFirst,
    /// No deadline ever comes.
    Stuck,
    /// A fact names nobody.
    Nameless,
}

/// The planner's answer, or what sabotage makes of it.
pub(crate) fn decide(sabotage: Option<Sabotage>, turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let Some(sabotage) = sabotage else { return rollout::complete(turn, seen, now) };
    let (mut seen, mut at) = (seen.clone(), now);
    sabotage.mislead(turn, &mut seen, &mut at);
    rollout::complete(turn, &seen, at);
    sabotage.spoil(turn, &seen, now);
}

impl Sabotage {
    /// What the planner is told.
    fn mislead(self, turn: &mut Turn, seen: &mut Observed, now: &mut Timestamp) {
        match self {
            Sabotage::BlindWayBack => {
                let lane = &turn.lane;
                let known = lane.stable.iter().chain(lane.queue.iter().map(|asked| &asked.release));
                seen.artifacts = known.map(|release| (release.artifact.clone(), ())).collect();
            }
            Sabotage::SilencePasses => {
                let Some(open) = turn.lane.open.as_mut().filter(|open| open.state == State::Running) else { return };
                let judged = open.plan.steps.get(open.step).is_some_and(|s| matches!(s.kind, StepKind::Shift { .. }));
                if judged && open.progress.confirmed.is_some() && seen.evidence.rows.is_empty() {
                    open.progress.promoted_by = Some(WHO.to_string());
                }
            }
            Sabotage::AssumesConfirmed => {
                let routes = rollout::route_of(&turn.lane).into_iter().collect();
                seen.confirmed = Some(Confirmed { routes, newest: true });
            }
            Sabotage::Stuck => *now = Timestamp(1_000_000),
            _ => {}
        }
    }

    /// What it answers.
    fn spoil(self, turn: &mut Turn, seen: &Observed, now: Timestamp) {
        let stable = turn.lane.stable_version().cloned();
        let candidate = turn.lane.candidate_version().cloned();
        let undoing = matches!(turn.lane.open.as_ref().map(|o| &o.state), Some(State::Undoing(_)));
        match self {
            Sabotage::NoUndo => turn.lane.open.iter_mut().for_each(|open| open.plan.way_back.clear()),
            Sabotage::ColdTraffic => turn.lane.slots.iter_mut().for_each(|slot| serve_at_once(slot, seen)),
            Sabotage::StableCold if candidate.is_some() => {
                let mut first = turn.lane.slots.iter_mut().filter(|s| Some(&s.version) == stable.as_ref());
                first.next().into_iter().for_each(|slot| slot.state = SlotState::Draining(now));
            }
            Sabotage::ScalesDownEarly if !undoing => {
                let waits =
                    |open: &rollout::Rollout| open.progress.shifted.is_some() && open.progress.confirmed.is_none();
                if turn.lane.open.as_ref().is_some_and(waits) {
                    let old = turn.lane.slots.iter_mut().filter(|s| Some(&s.version) == stable.as_ref());
                    old.for_each(|slot| slot.state = SlotState::Draining(now));
                }
            }
            Sabotage::TrafficLast if undoing => {
                if let (Some(stable), Some(candidate), Some(routing)) = (stable, candidate, &mut turn.lane.routing) {
                    routing.split = Split::between(candidate, Weight::ALL, stable);
                }
            }
            Sabotage::StoreFirst => turn.traffic_first = false,
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

/// Healthy is enough.
fn serve_at_once(slot: &mut Slot, seen: &Observed) {
    let Some(status) = seen.instances.get(&slot.id) else { return };
    let healthy = status.state == InstanceState::Running && status.health == Health::Healthy;
    if let Some(address) = status.address.clone().filter(|_| healthy && slot.state == SlotState::Wanted) {
        let (instance, incarnation) = (slot.id.clone(), status.incarnation);
        slot.ready.get_or_insert(Endpoint { instance, incarnation, address });
    }
}
