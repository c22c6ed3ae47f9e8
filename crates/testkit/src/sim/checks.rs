//! The invariants, as far as this world shows them. Each check returns its name and a sentence.

use slipway_core::rollout::{Effect, Lane, RolloutKind, State, Turn};
use slipway_core::spec::StrategyKind;
use slipway_core::traffic::Route;
use slipway_core::units::Weight;

use super::Broken;
use super::world::World;

fn broken(invariant: &'static str, sentence: String) -> Result<(), Broken> {
    Err(Broken { invariant, sentence })
}

/// What can be said of a turn before it is kept.
pub(super) fn turn(world: &World, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    undo_comes_first(turn)?;
    stable_stays_warm(turn)?;
    silence_is_not_health(world, turn)?;
    traffic_first(before, turn)?;
    fenced(world, turn)?;
    named(turn)?;
    confirmed(world, before, turn)
}

/// Invariant 1: Nothing acts for a rollout whose plan has no way back.
fn undo_comes_first(turn: &Turn) -> Result<(), Broken> {
    match turn.lane.open.as_ref().filter(|open| open.plan.way_back.is_empty()) {
        Some(open) => broken("undo_comes_first", format!("{} goes on without a way back", open.id)),
        None => Ok(()),
    }
}

/// Invariant 2: Gateways are given only instances that were healthy and tested in this start of them, and a candidate's share
/// grows only as far as its ready instances carry it.
pub(super) fn no_cold_traffic(world: &World, lane: &Lane, old: Option<&Route>, new: &Route) -> Result<(), Broken> {
    for endpoint in new.versions.iter().flat_map(|v| &v.endpoints) {
        if !world.tested.contains(&(endpoint.instance.clone(), endpoint.incarnation)) {
            return broken("no_cold_traffic", format!("{} serves untested", endpoint.instance));
        }
    }
    let (Some(open), Some(old)) = (&lane.open, old) else { return Ok(()) };
    let (version, weight) = (&open.release.version, lane.candidate_weight());
    let declared = open.release.instances(&lane.id);
    let carried = Weight::ratio(lane.ready(version).min(declared), declared);
    if new.epoch > old.epoch && weight > old.split.weight(version) && weight > carried {
        return broken("no_cold_traffic", format!("{version} gets {weight}, and its instances carry {carried}"));
    }
    Ok(())
}

/// Invariant 3: In canary and blue-green stable keeps its declared number to the end.
fn stable_stays_warm(turn: &Turn) -> Result<(), Broken> {
    let (Some(open), Some(stable)) = (&turn.lane.open, &turn.lane.stable) else { return Ok(()) };
    if matches!(open.strategy.kind, StrategyKind::Rolling { .. }) && open.kind == RolloutKind::Release {
        return Ok(());
    }
    let (kept, declared) = (turn.lane.wanted(&stable.version).count(), stable.instances(&turn.lane.id));
    match kept < declared as usize {
        true => broken("stable_stays_warm", format!("{} keeps {kept} of {declared} instances", stable.version)),
        false => Ok(()),
    }
}

/// Invariant 4: The judge passes nothing and condemns nothing that nobody has asked anything of.
fn silence_is_not_health(world: &World, turn: &Turn) -> Result<(), Broken> {
    let Some(routing) = &turn.lane.routing else { return Ok(()) };
    let seen = world.rows.iter().any(|((epoch, _), tally)| *epoch <= routing.epoch && tally.assigned > 0);
    match turn.facts.iter().find(|f| f.kind == "decided.advance" && !seen) {
        Some(fact) => broken("silence_is_not_health", format!("passed without a request: {}", fact.cause)),
        None => Ok(()),
    }
}

/// Invariant 5: A way back that has begun moves all of the traffic in the same turn where stable can carry it.
fn traffic_first(before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let (Some(open), Some(stable)) = (&turn.lane.open, &turn.lane.stable) else { return Ok(()) };
    let undoing = matches!(open.state, State::Undoing(_)) && open.kind != RolloutKind::Rollback;
    let full = turn.lane.ready(&stable.version) >= stable.instances(&turn.lane.id);
    if undoing && full && turn.lane.candidate_weight() > Weight::ZERO {
        let weight = turn.lane.candidate_weight();
        return broken("traffic_first", format!("{} is on its way back and keeps {weight}", open.id));
    }
    let began = undoing && !matches!(before.open.as_ref().map(|o| &o.state), Some(State::Undoing(_)));
    match began && !turn.traffic_first {
        true => broken("traffic_first", format!("{}: the way back waits for the store", open.id)),
        false => Ok(()),
    }
}

/// Invariant 6: No step follows one whose split some gateway does not serve, and nothing is stopped that one still uses.
fn confirmed(world: &World, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    for effect in &turn.effects {
        if let Effect::Stop { instance } = effect
            && world.instances.contains_key(instance)
            && world.routes().any(|r| r.versions.iter().flat_map(|v| &v.endpoints).any(|e| e.instance == *instance))
        {
            return broken("confirmed_not_assumed", format!("{instance} is stopped while a gateway uses it"));
        }
    }
    let (Some(was), Some(is), Some(routing)) = (&before.open, &turn.lane.open, &before.routing) else { return Ok(()) };
    let weighted = was.plan.steps.get(was.step).is_some_and(|s| s.kind.weight().is_some());
    if weighted && was.id == is.id && is.step > was.step && world.routes().any(|r| r.epoch < routing.epoch) {
        return broken("confirmed_not_assumed", format!("{} goes on, and a gateway serves an older split", is.id));
    }
    Ok(())
}

/// Invariant 7: Numbers are given out once: an act that comes late is never taken for another one.
fn fenced(world: &World, turn: &Turn) -> Result<(), Broken> {
    let again = turn.effects.iter().find(|e| matches!(e, Effect::Start { .. }) && world.decided.contains(&e.key()));
    match again {
        Some(effect) => broken("fenced", format!("{} is decided a second time", effect.key())),
        None => Ok(()),
    }
}

/// Invariant 8: What runs was written down first.
pub(super) fn journal_before_act(world: &World) -> Result<(), Broken> {
    match world.instances.keys().find(|id| !world.decided.contains(&format!("start/{id}"))) {
        Some(id) => broken("journal_before_act", format!("{id} runs, and nothing that is kept asked for it")),
        None => Ok(()),
    }
}

/// Invariant 10: Every fact names who and why.
fn named(turn: &Turn) -> Result<(), Broken> {
    match turn.facts.iter().find(|f| f.actor.is_empty() || f.cause.is_empty() || f.kind.is_empty()) {
        Some(fact) => broken("nothing_without_a_name", format!("a fact {:?} by {:?}", fact.kind, fact.actor)),
        None => Ok(()),
    }
}
