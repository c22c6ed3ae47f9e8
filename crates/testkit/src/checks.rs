//! The invariants, as far as a world of numbers shows them. Each check returns its name and a sentence. Used by the random
//! stories and by the exhaustive exploration; what is really so, as opposed to what the control plane believes, comes from
//! their [`Reality`].

use slipway_core::names::{InstanceId, RolloutId};
use slipway_core::rollout::{Effect, Lane, Rollout, RolloutKind, State, StepKind, Turn};
use slipway_core::spec::StrategyKind;
use slipway_core::traffic::{Endpoint, Epoch, Route};
use slipway_core::units::Weight;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name, after `docs/explanation/simulation.md`.
    pub invariant: &'static str,
    /// What was seen.
    pub sentence: String,
}

/// What is really so.
pub(crate) trait Reality {
    /// Whether this start of an instance passed its smoke tests.
    fn is_tested(&self, instance: &InstanceId, incarnation: u32) -> bool;
    /// Whether this start of an instance runs and answers well.
    fn is_fit(&self, endpoint: &Endpoint) -> bool;
    /// Whether an instance runs.
    fn runs(&self, instance: &InstanceId) -> bool;
    /// The routes that gateways serve now.
    fn routes(&self) -> Vec<&Route>;
    /// Whether anybody asked the candidate anything in a stretch of evidence.
    fn is_seen(&self, epoch: Epoch) -> bool;
    /// Whether an effect was kept under this key.
    fn is_decided(&self, key: &str) -> bool;
    /// Whether the artifact of what serves is there.
    fn can_start_stable(&self, lane: &Lane) -> bool;
    /// Whether somebody gave their word for a rollout.
    fn is_approved(&self, rollout: &RolloutId) -> bool;
    /// Whether a person let the step pass at which a rollout is.
    fn is_promoted(&self, rollout: &Rollout) -> bool;
}

pub(crate) fn broken(invariant: &'static str, sentence: String) -> Result<(), Broken> {
    Err(Broken { invariant, sentence })
}

/// What can be said of a turn before it is kept.
pub(crate) fn turn(world: &impl Reality, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    undo_comes_first(world, before, turn)?;
    stable_stays_warm(before, turn)?;
    silence_is_not_health(world, before, turn)?;
    traffic_first(world, before, turn)?;
    fenced(world, turn)?;
    named(turn)?;
    confirmed(world, before, turn)
}

/// Invariant 1: Nothing acts for a rollout whose plan has no way back, and none begins whose way back would need what is
/// not there.
fn undo_comes_first(world: &impl Reality, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let Some(open) = &turn.lane.open else { return Ok(()) };
    if open.plan.way_back.is_empty() {
        return broken("undo_comes_first", format!("{} goes on without a way back", open.id));
    }
    let began = before.open.as_ref().is_none_or(|was| was.id != open.id);
    // A contract starts nothing, and what it removes does not come back: somebody has said so.
    if open.kind == RolloutKind::Contract {
        return match began && !world.is_approved(&open.id) {
            true => broken("undo_comes_first", format!("{} begins on nobody's word, and cannot be undone", open.id)),
            false => Ok(()),
        };
    }
    let gives_up = match open.strategy.kind {
        StrategyKind::Rolling { .. } => open.kind == RolloutKind::Release,
        StrategyKind::Replace => true,
        _ => false,
    };
    // A way back is not taken back: it leaves what fails, whether that could be started again or not.
    let leaves = open.kind == RolloutKind::Rollback && !gives_up;
    let ready = |version| before.ready(version).max(turn.lane.ready(version));
    let whole = turn.lane.stable.as_ref().is_some_and(|s| ready(&s.version) >= s.instances(&before.id));
    let needed = turn.lane.stable.is_some() && !leaves && (gives_up || !whole);
    if began && needed && !world.can_start_stable(&turn.lane) {
        return broken("undo_comes_first", format!("{} begins, and what serves could not be started again", open.id));
    }
    Ok(())
}

/// Invariant 2: Gateways are given only instances that were healthy and tested in this start of them, and a candidate's share
/// grows only as far as its ready instances carry it.
pub(crate) fn no_cold_traffic(
    world: &impl Reality,
    lane: &Lane,
    old: Option<&Route>,
    new: &Route,
) -> Result<(), Broken> {
    for endpoint in new.versions.iter().flat_map(|v| &v.endpoints) {
        if !world.is_tested(&endpoint.instance, endpoint.incarnation) {
            return broken("no_cold_traffic", format!("{} serves untested", endpoint.instance));
        }
    }
    let (Some(open), Some(old)) = (&lane.open, old) else { return Ok(()) };
    let (version, weight) = (&open.release.version, lane.candidate_weight());
    let declared = open.release.instances(&lane.id);
    let carried = Weight::ratio(lane.ready(version).min(declared), declared);
    // Once a rollback has traffic it goes on: it leaves the version that fails.
    let goes_on = open.kind == RolloutKind::Rollback && old.split.weight(version) > Weight::ZERO;
    if !goes_on && new.epoch > old.epoch && weight > old.split.weight(version) && weight > carried {
        return broken("no_cold_traffic", format!("{version} gets {weight}, and its instances carry {carried}"));
    }
    Ok(())
}

/// Invariant 2 as well: a share does not stay where the instances that carried it have died, while stable could take it.
/// Rolling has nobody else to take it, one that goes back to an older version leaves the one that fails, and a contract moves
/// nothing.
fn share_follows_capacity(lane: &Lane) -> Result<(), Broken> {
    let (Some(open), Some(stable)) = (&lane.open, &lane.stable) else { return Ok(()) };
    let rolling = matches!(open.strategy.kind, StrategyKind::Rolling { .. }) && open.kind == RolloutKind::Release;
    let elsewhere = matches!(open.kind, RolloutKind::Rollback | RolloutKind::Contract);
    // What a worker's share would be is what is there.
    if rolling || lane.is_worker() || elsewhere || !matches!(open.state, State::Running) {
        return Ok(());
    }
    let (version, weight) = (&open.release.version, lane.candidate_weight());
    let declared = open.release.instances(&lane.id);
    let carried = Weight::ratio(lane.ready(version).min(declared), declared);
    let able = lane.ready(&stable.version) >= stable.instances(&lane.id);
    match able && weight > carried {
        true => broken("no_cold_traffic", format!("{version} keeps {weight}, and its instances carry {carried}")),
        false => Ok(()),
    }
}

/// Invariant 3: In canary and blue-green stable keeps its declared number to the end. In rolling, what the planner itself
/// takes away never leaves fewer ready instances than are declared as the minimum. A worker that runs alone, or whose
/// predecessor has to show in a drill that it does the work, is without it meanwhile by design.
fn stable_stays_warm(before: &Lane, turn: &Turn) -> Result<(), Broken> {
    share_follows_capacity(&turn.lane)?;
    let (Some(open), Some(stable)) = (&turn.lane.open, &turn.lane.stable) else { return Ok(()) };
    if let (StrategyKind::Rolling { min_ready, .. }, RolloutKind::Release) = (&open.strategy.kind, open.kind) {
        let least = min_ready.of(open.release.instances(&turn.lane.id));
        return match open.state {
            // A bad worker takes no more jobs, and they wait for stable.
            State::Undoing(_) if turn.lane.is_worker() => Ok(()),
            // Going back asks stable for what stable declares.
            State::Undoing(_) => rolling_keeps(before, turn, least.min(stable.instances(&turn.lane.id))),
            _ => rolling_keeps(before, turn, least),
        };
    }
    let drilled = turn.lane.is_worker() && matches!(open.kind, RolloutKind::Drill { .. });
    if drilled || open.strategy.kind == StrategyKind::Replace {
        return Ok(());
    }
    // What could not be started is tried again after a while.
    let refused = turn.lane.unstarted.contains_key(&stable.version);
    let (kept, declared) = (turn.lane.wanted(&stable.version).count(), stable.instances(&turn.lane.id));
    match kept < declared as usize && !refused {
        true => broken("stable_stays_warm", format!("{} keeps {kept} of {declared} instances", stable.version)),
        false => Ok(()),
    }
}

/// Ready instances that a turn sends away are spare. What died is nobody's decision.
fn rolling_keeps(before: &Lane, turn: &Turn, least: u32) -> Result<(), Broken> {
    let Some(open) = &turn.lane.open else { return Ok(()) };
    let ready = |lane: &Lane| -> u32 {
        let versions = [lane.stable_version(), Some(&open.release.version)];
        versions.into_iter().flatten().map(|version| lane.ready(version)).sum()
    };
    let sent = |slot: &slipway_core::rollout::Slot| {
        let now = turn.lane.slots.iter().find(|s| s.id == slot.id);
        slot.ready.is_some()
            && slot.state == slipway_core::rollout::SlotState::Wanted
            && now.is_some_and(|s| s.ready.is_some() && s.state != slipway_core::rollout::SlotState::Wanted)
    };
    let away = before.slots.iter().filter(|slot| sent(slot)).count();
    let (have, same) = (ready(&turn.lane), before.open.as_ref().is_some_and(|was| was.id == open.id));
    match same && away > 0 && have < least {
        true => {
            let (step, state) = (open.step, &open.state);
            let what = format!("{away} are sent away at step {step}, which leaves {have} ready of {least} ({state:?})");
            broken("stable_stays_warm", what)
        }
        false => Ok(()),
    }
}

/// Invariant 4: The judge passes nothing that nobody has asked anything of, and no step that needs its word is passed
/// without it, unless a person said so.
fn silence_is_not_health(world: &impl Reality, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let Some(routing) = &before.routing else { return Ok(()) };
    let passed = turn.facts.iter().find(|f| f.kind == "decided.advance");
    if let Some(fact) = passed.filter(|_| !world.is_seen(routing.epoch)) {
        return broken("silence_is_not_health", format!("passed without a request: {}", fact.cause));
    }
    let (Some(was), Some(is)) = (&before.open, &turn.lane.open) else { return Ok(()) };
    let judged = was
        .plan
        .steps
        .get(was.step)
        .is_some_and(|step| matches!(step.kind, StepKind::Shift { .. } | StepKind::Cohort { .. }));
    match judged && was.id == is.id && is.step > was.step && passed.is_none() && !world.is_promoted(was) {
        true => broken("silence_is_not_health", format!("{} goes on without the judge's word", is.id)),
        false => Ok(()),
    }
}

/// Invariant 5: A way back that has begun moves all of the traffic in the same turn where stable can carry it, cohorts first of
/// all. So it is with a worker's jobs.
fn traffic_first(world: &impl Reality, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let (Some(open), Some(stable)) = (&turn.lane.open, &turn.lane.stable) else { return Ok(()) };
    let undoing = matches!(open.state, State::Undoing(_)) && open.kind != RolloutKind::Rollback;
    // What was ready and really is, whatever is seen of it.
    let fit = before.wanted(&stable.version).filter(|slot| slot.ready.as_ref().is_some_and(|e| world.is_fit(e)));
    let able = turn.lane.ready(&stable.version).max(fit.count() as u32);
    let full = able >= stable.instances(&turn.lane.id);
    if undoing && full && turn.lane.candidate_weight() > Weight::ZERO {
        let weight = turn.lane.candidate_weight();
        return broken("traffic_first", format!("{} is on its way back and keeps {weight}", open.id));
    }
    if undoing && turn.lane.routing.as_ref().is_some_and(|routing| !routing.cohorts.is_empty()) {
        return broken("traffic_first", format!("{} is on its way back and keeps a cohort", open.id));
    }
    let began = undoing && !matches!(before.open.as_ref().map(|o| &o.state), Some(State::Undoing(_)));
    match began && !turn.traffic_first {
        true => broken("traffic_first", format!("{}: the way back waits for the store", open.id)),
        false => Ok(()),
    }
}

/// Invariant 6: No step follows one whose split some gateway does not serve, no rollout ends well before every gateway serves
/// what it brought, and nothing is stopped that one still uses.
fn confirmed(world: &impl Reality, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let routes = world.routes();
    for effect in &turn.effects {
        if let Effect::Stop { instance } = effect
            && world.runs(instance)
            && routes.iter().any(|r| r.versions.iter().flat_map(|v| &v.endpoints).any(|e| e.instance == *instance))
        {
            return broken("confirmed_not_assumed", format!("{instance} is stopped while a gateway uses it"));
        }
    }
    alone(world, before, turn)?;
    let (Some(was), Some(routing)) = (&before.open, &before.routing) else { return Ok(()) };
    let behind = routes.iter().any(|r| r.epoch < routing.epoch);
    let ended = turn.ended.iter().find(|ended| ended.id == was.id).and_then(|ended| ended.ended());
    if let Some((outcome, _)) = ended.filter(|_| behind && was.first_epoch.is_some()) {
        let outcome = outcome.as_str();
        return broken(
            "confirmed_not_assumed",
            format!("{} is {outcome}, and a gateway serves an older split", was.id),
        );
    }
    let Some(is) = &turn.lane.open else { return Ok(()) };
    let weighted = was.plan.steps.get(was.step).is_some_and(|s| s.kind.weight().is_some());
    if weighted && was.id == is.id && is.step > was.step && behind {
        return broken("confirmed_not_assumed", format!("{} goes on, and a gateway serves an older split", is.id));
    }
    Ok(())
}

/// Invariant 6 as well: where a version has to be alone, the other one was seen to end.
fn alone(world: &impl Reality, before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let lanes = [before, &turn.lane];
    let releases = lanes.iter().flat_map(|lane| lane.stable.iter().chain(lane.open.iter().map(|open| &open.release)));
    if !releases.into_iter().any(|release| release.spec.is_exclusive()) {
        return Ok(());
    }
    let starts = turn.effects.iter().filter_map(|effect| match effect {
        Effect::Start { spec } => Some((&spec.id, &spec.version)),
        _ => None,
    });
    for (id, version) in starts {
        let other = before.slots.iter().find(|slot| slot.version != *version && world.runs(&slot.id));
        if let Some(other) = other {
            return broken("confirmed_not_assumed", format!("{id} is started while {} runs", other.id));
        }
    }
    Ok(())
}

/// Invariant 7: Numbers are given out once: an act that comes late is never taken for another one.
fn fenced(world: &impl Reality, turn: &Turn) -> Result<(), Broken> {
    let again = turn.effects.iter().find(|e| matches!(e, Effect::Start { .. }) && world.is_decided(&e.key()));
    match again {
        Some(effect) => broken("fenced", format!("{} is decided a second time", effect.key())),
        None => Ok(()),
    }
}

/// Invariant 8: What runs was written down first.
pub(crate) fn journal_before_act<'a>(
    world: &impl Reality,
    mut running: impl Iterator<Item = &'a InstanceId>,
) -> Result<(), Broken> {
    match running.find(|id| !world.is_decided(&format!("start/{id}"))) {
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

/// Invariant 10 as well: what is kept does not change without a word of who and why.
pub(crate) fn recorded(before: &Lane, turn: &Turn) -> Result<(), Broken> {
    let stands = |lane: &Lane| {
        let open = lane.open.as_ref().map(|open| (open.id.clone(), open.step, std::mem::discriminant(&open.state)));
        let split = lane.routing.as_ref().map(|routing| routing.split.clone());
        (lane.stable_version().cloned(), open, split, lane.scaled, lane.restarting.is_some())
    };
    let unnamed = |ended: &&Rollout| !turn.facts.iter().any(|fact| fact.rollout.as_ref() == Some(&ended.id));
    if let Some(ended) = turn.ended.iter().find(unnamed) {
        return broken("nothing_without_a_name", format!("{} has ended, and nothing says why", ended.id));
    }
    match turn.facts.is_empty() && stands(before) != stands(&turn.lane) {
        true => broken("nothing_without_a_name", format!("{} changes, and nothing says who and why", before.id)),
        false => Ok(()),
    }
}
