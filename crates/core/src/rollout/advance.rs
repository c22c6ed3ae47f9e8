//! The open rollout's next move: one step's goal at a time, the fail rule all the while.

use serde_json::json;

use super::agreement;
use super::asking;
use super::begin;
use super::drilling;
use super::estimate;
use super::faults;
use super::finish;
use super::judging;
use super::model::{Decision, Progress, Rollout, RolloutKind, State, StepState};
use super::observed::Observed;
use super::outage::{self, outage};
use super::plan::{Step, StepKind, counted};
use super::probing;
use super::rolling;
use super::schema;
use super::shifting::{lighten, shifted};
use super::slots::Trouble;
use super::turn::{ENGINE, Turn};
use super::undo;
use super::verifying::verified;
use super::workers;
use crate::judge::{Judgement, Verdict};
use crate::spec::OnInconclusive;
use crate::units::{Millis, Timestamp, Weight};

/// Unasked ends of candidate instances after which the candidate has failed even if others are left.
const CRASH_LIMIT: u32 = 3;
/// How long a rollout may stay paused before it needs a person.
const PAUSE_LIMIT: Millis = Millis::from_secs(24 * 3600);

/// Moves the open rollout as far as it can go now.
pub(super) fn advance(turn: &mut Turn, seen: &Observed, troubles: &[Trouble], now: Timestamp) {
    let Some(open) = &turn.lane.open else { return };
    let state = open.state.clone();
    if !matches!(state, State::Undoing(_) | State::Ended { .. })
        && let Some((cause, judgements)) = failure(turn, seen, troubles, now)
    {
        undo::begin(turn, &cause, ENGINE, None, judgements, now);
    }
    // One move may make the next one possible at once; a plan has far fewer than a hundred.
    for _ in 0..100 {
        let Some(open) = &turn.lane.open else { break };
        let moved = match open.state.clone() {
            // A way back that a step has begun is taken at once.
            State::Running => step(turn, seen, now) || undoing(turn),
            State::Paused { since, .. } => {
                paused(turn, since, now);
                false
            }
            State::Held { .. } => false,
            State::Undoing(undo) => undo::proceed(turn, seen, &undo, now),
            State::Ended { .. } => {
                finish::close(turn, seen, now);
                false
            }
        };
        if !moved {
            break;
        }
    }
    probing::note(turn, seen);
    if let Some(open) = &mut turn.lane.open {
        finish::note_exposure(open, seen);
        let acting = open.state == State::Running && is_acting(open);
        open.timing.note(acting, now);
    }
}

fn is_acting(open: &Rollout) -> bool {
    let waits = matches!(
        open.plan.steps.get(open.step).map(|s| s.kind),
        Some(
            StepKind::Shift { .. }
                | StepKind::Cohort { .. }
                | StepKind::Probe { .. }
                | StepKind::Verify { .. }
                | StepKind::Batch { .. }
        )
    );
    let watching = waits && open.progress.confirmed.is_some() && open.progress.closing.is_none();
    !watching && !asking::waits(open)
}

/// What makes the candidate a failure, whatever the step waits for.
fn failure(turn: &mut Turn, seen: &Observed, troubles: &[Trouble], now: Timestamp) -> Option<(String, Vec<Judgement>)> {
    let exposed = turn.lane.is_exposed();
    let open = turn.lane.open.as_mut().filter(|open| open.kind != RolloutKind::Contract)?;
    let candidate = open.release.version.clone();
    let ours: Vec<&Trouble> = troubles.iter().filter(|t| t.version == candidate).collect();
    open.crashes += ours.iter().filter(|t| t.crash).count() as u32;
    let crashes = open.crashes;
    if goes_on(open, exposed) {
        return None;
    }
    if let Some(trouble) = ours.iter().find(|t| !t.crash) {
        return Some((trouble.sentence.clone(), Vec::new()));
    }
    if crashes >= CRASH_LIMIT
        && let Some(trouble) = ours.last()
    {
        return Some((format!("{} (crash number {crashes} of {candidate})", trouble.sentence), Vec::new()));
    }
    if !exposed {
        return None;
    }
    let epoch = turn.lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    if seen.lapsed.is_some_and(|lapsed| lapsed == epoch) {
        let cause = "the control plane was away for longer than the lease of the split: \
                     the gateways went back to stable by themselves";
        return Some((cause.to_string(), Vec::new()));
    }
    if seen.lapsed_apart == Some(epoch)
        && let Some(cause) = outage::cut_off(turn, now)
    {
        return Some((cause, Vec::new()));
    }
    if let Some(lost) = seen.lost.iter().find(|l| l.version == candidate && l.epoch == epoch) {
        return Some((lost.sentence(), Vec::new()));
    }
    if turn.lane.ready(&candidate) == 0 {
        let how = ours.last().map_or_else(|| "none is healthy".to_string(), |t| t.sentence.clone());
        return Some((format!("{candidate} has no instance left that is fit to serve: {how}"), Vec::new()));
    }
    let judgements = judging::judge_all(&turn.lane, seen, now);
    if let Some(open) = &mut turn.lane.open {
        judging::note_waiting(open, &judgements, now);
    }
    let failed = judgements.iter().find(|j| j.verdict == Verdict::Fail)?;
    let injected = faults::clause(&turn.lane, seen).unwrap_or_default();
    let cause = format!("{}: {}{injected}", failed.name(), failed.sentence);
    Some((cause, judgements))
}

/// There is no rollback of a rollback: once it has traffic it goes on, whatever becomes of its instances.
fn goes_on(open: &Rollout, exposed: bool) -> bool {
    open.kind == RolloutKind::Rollback && exposed
}

fn paused(turn: &mut Turn, since: Timestamp, now: Timestamp) {
    let limit = since.plus(PAUSE_LIMIT);
    if now >= limit {
        hold(turn, format!("paused for {PAUSE_LIMIT}, and nobody resumed it"), Vec::new(), now);
    } else {
        turn.wake(limit);
    }
}

/// The step at hand. Returns whether something moved, so that it is worth looking again.
fn step(turn: &mut Turn, seen: &Observed, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    let Some(step) = open.plan.steps.get(open.step).cloned() else {
        return finish::succeed(turn, seen, now);
    };
    if open.steps[open.step].began_at.is_none() {
        enter(turn, &step, seen, now);
    }
    if step.kind == StepKind::Prepare {
        return begin::prepare(turn, now);
    }
    match step.kind {
        StepKind::Expand { schema, .. } => return schema::expand(turn, schema, now),
        StepKind::Contract { schema } => return schema::contract(turn, schema, now),
        _ => {}
    }
    if !capacity(turn, &step, now) {
        return false;
    }
    if matches!(step.kind, StepKind::Probe { .. }) {
        return probing::probed(turn, seen, &step, now);
    }
    let Some(weight) = step.kind.weight() else {
        return done(turn, &format!("{} healthy and tested", counted(step.kind.instances())), now);
    };
    if !asking::allowed(turn, &step, now) || !workers::is_set(turn, step.kind, now) {
        return false;
    }
    if !shifted(turn, seen, &step, weight, now) {
        return false;
    }
    if let Some(reason) = agreement::broken(&turn.lane, seen).filter(|_| !promoted(turn)) {
        hold(turn, reason, Vec::new(), now);
        return false;
    }
    match step.kind {
        // The first jobs are not done the moment that an instance is up.
        StepKind::Shift { .. } if turn.lane.is_worker() && !promoted(turn) && !settled(turn, seen, now) => false,
        StepKind::Shift { .. } | StepKind::Cohort { .. } => judged(turn, seen, &step, now),
        StepKind::Verify { length, .. } => verified(turn, seen, &step, length, now),
        StepKind::Batch { .. } if outage(turn, seen, now) || !settled(turn, seen, now) => false,
        StepKind::Return => drilling::returned(turn, &step, now),
        _ => {
            drilling::time(turn, &step, now);
            done(turn, &moved(turn, weight), now)
        }
    }
}

/// What a step that moved the share says of it.
fn moved(turn: &Turn, weight: Weight) -> String {
    match turn.lane.is_worker() {
        true => format!("{weight} of those that take jobs"),
        false => format!("{weight} of the traffic, confirmed by every gateway"),
    }
}

/// Since when the step's split has been served and watched without a gap: its clock begins here.
pub(super) fn watched_from(open: &Rollout, seen: &Observed, now: Timestamp) -> Timestamp {
    let watched = if open.release.spec.is_worker() { seen.looking_since } else { seen.watched_since };
    open.progress.confirmed.unwrap_or(now).max(watched.unwrap_or(now))
}

/// Whether the way back has begun.
fn undoing(turn: &Turn) -> bool {
    turn.lane.open.as_ref().is_some_and(|open| matches!(open.state, State::Undoing(_)))
}

/// Whether a person let the step at hand pass.
fn promoted(turn: &Turn) -> bool {
    turn.lane.open.as_ref().is_some_and(|open| open.progress.promoted_by.is_some())
}

/// Whether a batch has stayed healthy under its traffic long enough for the next one to follow.
fn settled(turn: &mut Turn, seen: &Observed, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    let over = watched_from(open, seen, now).plus(rolling::settle(&open.release.spec.health));
    turn.wake(over);
    now >= over
}

fn enter(turn: &mut Turn, step: &Step, seen: &Observed, now: Timestamp) {
    turn.record("step.entered", ENGINE, step.what.clone(), json!({ "step": step.name, "undo": step.undo }));
    if let Some(open) = &mut turn.lane.open {
        open.progress = Progress::entered(now);
        if matches!(step.kind, StepKind::Replace { .. }) {
            // Once stable is stopped there is nothing else to compare with.
            open.before = seen.evidence.stable_ten_minutes.clone();
        }
        let record = &mut open.steps[open.step];
        record.state = StepState::Acting;
        record.began_at = Some(now);
    }
}

/// Whether enough candidate instances are ready for the step. Instances are started by what the step wants; if they
/// do not come within their limit, for whatever reason, the rollout is taken back.
fn capacity(turn: &mut Turn, step: &Step, now: Timestamp) -> bool {
    let exposed = turn.lane.is_exposed();
    // What a rollback lacks is started where it serves.
    let switched = turn.lane.open.as_ref().is_some_and(|open| {
        goes_on(open, exposed) && matches!(step.kind, StepKind::Switch { .. }) && open.progress.shifted.is_some()
    });
    let patience = match (step.kind, &turn.lane.stable) {
        (StepKind::Replace { .. }, Some(stable)) => workers::patience(stable),
        _ => Millis(0),
    };
    switched || carries(turn, step.kind.instances(), patience, now)
}

/// The same for a number of instances, and `patience` beside the limit.
pub(super) fn carries(turn: &mut Turn, wanted: u32, patience: Millis, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    let version = open.release.version.clone();
    let limit = Millis(estimate::start_limit(&open.release).0 + patience.0);
    let (ready, exposed) = (turn.lane.ready(&version), turn.lane.is_exposed());
    let Some(open) = &mut turn.lane.open else { return false };
    if ready >= wanted {
        open.progress.short_since = None;
        return true;
    }
    let over = open.progress.short_since.get_or_insert(now).plus(limit);
    if now >= over {
        let cause = format!("only {ready} of {wanted} instances of {version} were ready within {limit}");
        if goes_on(open, exposed) {
            open.progress.short_since = None;
            hold(turn, cause, Vec::new(), now);
        } else {
            undo::begin(turn, &cause, ENGINE, None, Vec::new(), now);
        }
    } else {
        turn.wake(over);
        lighten(turn, ready);
    }
    false
}

/// A step that needs the judge's pass.
fn judged(turn: &mut Turn, seen: &Observed, step: &Step, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    if let Some(who) = open.progress.promoted_by.clone() {
        decide(turn, "promote", &who, format!("{who} let step {} pass", step.name), Vec::new(), now);
        return done(turn, &format!("let pass by {who}"), now);
    }
    if outage(turn, seen, now) {
        return false;
    }
    let judgements = judging::judge_all(&turn.lane, seen, now);
    let Some(open) = &turn.lane.open else { return false };
    if judging::passed(&judgements, open.strategy.min_requests) {
        let sentence = judging::sentence(&judgements);
        decide(turn, "advance", ENGINE, sentence.clone(), judgements, now);
        return done(turn, &sentence, now);
    }
    // What can never be known is not waited for.
    if judging::is_unknowable(&turn.lane, &judgements) {
        inconclusive(turn, format!("inconclusive at {}", step.name), judgements, now);
        return true;
    }
    let limit =
        watched_from(open, seen, now).plus(Millis(estimate::step_limit(&open.strategy).0 + open.progress.forgiven.0));
    if now >= limit {
        let limit = estimate::step_limit(&open.strategy);
        inconclusive(turn, format!("inconclusive after {limit} at {}", step.name), judgements, now);
        return true;
    }
    turn.wake(limit);
    // Stable's own ten seconds go by without any event.
    turn.wake(now.plus(Millis::from_secs(1)));
    false
}

pub(super) fn inconclusive(turn: &mut Turn, what: String, judgements: Vec<Judgement>, now: Timestamp) {
    let Some(open) = &turn.lane.open else { return };
    let cause = format!("{what}: {}", judging::sentence(&judgements));
    match open.strategy.on_inconclusive {
        OnInconclusive::Hold => hold(turn, cause, judgements, now),
        OnInconclusive::Rollback => undo::begin(turn, &cause, ENGINE, None, judgements, now),
    }
}

/// Ends the step at hand and turns to the next.
pub(super) fn done(turn: &mut Turn, report: &str, now: Timestamp) -> bool {
    let Some(open) = &mut turn.lane.open else { return false };
    let record = &mut open.steps[open.step];
    record.state = StepState::Done;
    record.report = report.to_string();
    record.ended_at = Some(now);
    let name = record.name.clone();
    open.step += 1;
    open.progress = Progress::entered(now);
    turn.record("step.done", ENGINE, report.to_string(), json!({ "step": name }));
    true
}

/// Stops here and asks a person.
pub(super) fn hold(turn: &mut Turn, reason: String, judgements: Vec<Judgement>, now: Timestamp) {
    decide(turn, "hold", ENGINE, reason.clone(), judgements, now);
    if let Some(open) = &mut turn.lane.open {
        open.state = State::Held { reason: reason.clone(), since: now };
        if let Some(record) = open.steps.get_mut(open.step) {
            record.state = StepState::Waiting;
            record.report = reason;
        }
    }
}

/// Writes a decision into the rollout and the journal.
pub(super) fn decide(
    turn: &mut Turn,
    what: &str,
    actor: &str,
    sentence: String,
    judgements: Vec<Judgement>,
    now: Timestamp,
) {
    turn.record(&format!("decided.{what}"), actor, sentence.clone(), json!({ "judgements": judgements }));
    let weight = Some(turn.lane.candidate_weight());
    if let Some(open) = &mut turn.lane.open {
        let step = open.steps.get(open.step).map_or_else(String::new, |s| s.name.clone());
        open.decisions.push(Decision {
            at: now,
            step,
            what: what.to_string(),
            actor: actor.to_string(),
            sentence,
            judgements,
            weight,
        });
    }
}
