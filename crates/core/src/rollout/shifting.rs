//! A step's split: asked for once, confirmed by every gateway, before anything else of the step counts.

use serde_json::json;

use super::advance::hold;
use super::cohorts;
use super::lane::Routing;
use super::mirroring;
use super::model::{Progress, Rollout, RolloutKind, StepState};
use super::observed::Observed;
use super::plan::{Step, StepKind};
use super::rolling;
use super::turn::{ENGINE, Turn};
use crate::traffic::{Epoch, Split};
use crate::units::{Millis, Timestamp, Weight};

/// How long gateways may take to confirm a split before a person is asked.
pub(super) const CONFIRM_LIMIT: Millis = Millis::from_secs(30);

/// Whether every gateway serves the step's split; asks for it if it was not asked for yet.
pub(super) fn shifted(turn: &mut Turn, seen: &Observed, step: &Step, weight: Weight, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    if open.progress.confirmed.is_some() {
        return turn.lane.is_worker() || watched(turn, seen, now);
    }
    // A split that stays what it was may be confirmed already.
    let shifted = open.progress.shifted.unwrap_or_else(|| {
        shift(turn, seen, step, weight, now);
        now
    });
    if turn.lane.is_worker() {
        // Instances are the share, and they are there: nobody has to confirm it.
        confirm(turn, now);
        return true;
    }
    let epoch = turn.lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    if seen.confirmed.as_ref().is_some_and(|c| c.serves(epoch)) {
        turn.record(
            "traffic.confirmed",
            ENGINE,
            format!("every gateway serves {}", what(step, weight)),
            json!({ "weight_bp": weight.bp(), "ms": now.since(shifted).0 }),
        );
        confirm(turn, now);
        return true;
    }
    let limit = shifted.plus(CONFIRM_LIMIT);
    if now >= limit {
        hold(turn, format!("no confirmation of {weight} from every gateway within {CONFIRM_LIMIT}"), Vec::new(), now);
    } else {
        turn.wake(limit);
    }
    false
}

/// The step's evidence and clock begin.
fn confirm(turn: &mut Turn, now: Timestamp) {
    if let Some(open) = &mut turn.lane.open {
        open.progress.confirmed = Some(now);
        open.steps[open.step].state = StepState::Waiting;
    }
}

/// What a step's split gives the candidate, in words.
fn what(step: &Step, weight: Weight) -> String {
    match step.kind {
        StepKind::Cohort { .. } => step.name.clone(),
        _ => format!("{weight} of the traffic"),
    }
}

/// Whether every gateway still serves the split, as far as this control plane can tell. Unwatched nothing advances; a
/// person is asked if it lasts.
fn watched(turn: &mut Turn, seen: &Observed, now: Timestamp) -> bool {
    let epoch = turn.lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    let Some(open) = &mut turn.lane.open else { return false };
    if seen.watched_since.is_some() && seen.confirmed.as_ref().is_some_and(|c| c.serves(epoch)) {
        open.progress.blind_since = None;
        return true;
    }
    let limit = open.progress.blind_since.get_or_insert(now).plus(CONFIRM_LIMIT);
    if now >= limit {
        hold(turn, format!("no word from every gateway for {CONFIRM_LIMIT}: nothing can be judged"), Vec::new(), now);
        if let Some(open) = &mut turn.lane.open {
            open.progress.blind_since = None;
        }
    } else {
        turn.wake(limit);
    }
    false
}

/// Takes back the share that the ready instances of the candidate cannot carry, where stable can. The step's own share
/// follows again once they can, as new evidence.
pub(super) fn lighten(turn: &mut Turn, ready: u32) {
    let (Some(open), Some(stable)) = (&turn.lane.open, turn.lane.stable_version().cloned()) else { return };
    if turn.lane.is_worker()
        || open.kind == RolloutKind::Rollback
        || rolling::applies(open)
        || turn.lane.ready(&stable) == 0
    {
        return;
    }
    let (candidate, declared) = (open.release.version.clone(), open.release.instances(&turn.lane.id));
    let weight = Weight::ratio(ready, declared);
    if turn.lane.candidate_weight() <= weight {
        return;
    }
    route(turn, Split::between(candidate.clone(), weight, stable), true);
    turn.record(
        "traffic.shifting",
        ENGINE,
        format!("{weight} of the traffic to {candidate}: only {ready} of its {declared} instances are ready"),
        json!({ "weight_bp": weight.bp() }),
    );
    if let Some(open) = &mut turn.lane.open {
        let Progress { short_since, attempt, cut_offs, promoted_by, .. } = open.progress.clone();
        open.progress =
            Progress { short_since, attempt, cut_offs, promoted_by, ..Progress::entered(open.progress.entered) };
    }
}

fn shift(turn: &mut Turn, seen: &Observed, step: &Step, weight: Weight, now: Timestamp) {
    let Some(open) = &turn.lane.open else { return };
    let candidate = open.release.version.clone();
    let first_of_rolling = rolling::applies(open) && open.before.is_empty();
    let before = match step.kind {
        StepKind::Switch { .. } => Some(seen.evidence.stable_ten_minutes.clone()),
        StepKind::Batch { .. } if first_of_rolling => Some(seen.evidence.stable_ten_minutes.clone()),
        _ => None,
    };
    let split = match turn.lane.stable_version() {
        Some(stable) => Split::between(candidate.clone(), weight, stable.clone()),
        None => Split::all(candidate.clone()),
    };
    // The same split goes on being the same evidence.
    let cohorts = cohorts::in_force(&turn.lane, &split);
    let same = turn.lane.routing.as_ref().is_some_and(|r| r.split == split && r.cohorts == cohorts);
    if !same {
        route(turn, split, true);
        let (kind, sentence) = match turn.lane.is_worker() {
            true => ("work.shared", format!("{weight} of those that take jobs are {candidate}")),
            false => ("traffic.shifting", format!("{} to {candidate}", what(step, weight))),
        };
        turn.record(kind, ENGINE, sentence, json!({ "weight_bp": weight.bp(), "step": step.name }));
    }
    let epoch = turn.lane.routing.as_ref().map(|r| r.epoch);
    if let Some(open) = &mut turn.lane.open {
        turn.traffic_first |= open.kind == RolloutKind::Rollback;
        open.first_epoch = open.first_epoch.or(epoch);
        open.progress.shifted = Some(now);
        if let Some(before) = before {
            open.before = before;
        }
    }
    turn.wake(now.plus(CONFIRM_LIMIT));
}

/// Asks for a split in a new epoch. `guarded`: a rollout is at stake, so the gateways go back to stable by themselves
/// if the control plane stays dead. Rolling is not guarded, since stable could not carry it all, nor is a rollback,
/// whose stable is what is being left, nor are workers, which no gateway could send anywhere.
pub(super) fn route(turn: &mut Turn, split: Split, guarded: bool) {
    turn.lane.counters.epoch += 1;
    let guardable = |open: &Rollout| open.kind != RolloutKind::Rollback && !rolling::applies(open);
    let guarded = guarded && !turn.lane.is_worker() && turn.lane.open.as_ref().is_none_or(guardable);
    let cohorts = cohorts::in_force(&turn.lane, &split);
    let fallback = match turn.lane.stable_version() {
        Some(stable)
            if guarded
                && (split.weight(stable) < Weight::ALL || !cohorts.is_empty() || mirroring::at_hand(&turn.lane)) =>
        {
            Some(Split::all(stable.clone()))
        }
        _ => None,
    };
    let salt = turn.lane.open.as_ref().map(|r| r.id.to_string()).unwrap_or_default();
    turn.lane.routing = Some(Routing { epoch: Epoch(turn.lane.counters.epoch), split, fallback, salt, cohorts });
}
