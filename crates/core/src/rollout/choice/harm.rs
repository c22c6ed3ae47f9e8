//! What a bad version does until it is taken back, by the judge's own arithmetic.

use serde::{Deserialize, Serialize};

use super::super::estimate::Today;
use super::super::lane::Release;
use super::super::plan::{Plan, StepKind};
use super::back::Back;
use crate::judge::{self, Budget, Forecast};
use crate::spec::{Bad, Objective, Strategy};
use crate::units::{Millis, Weight};

/// The share of its requests that a version fails where it is called bad here.
pub const BAD_SHARE: f64 = 0.1;
/// From the last request that a verdict needed to the turn that goes back.
const REACTION: Millis = Millis(250);
/// Requests fewer than this before going back are no harm worth forecasting in parts.
const LEAST: u64 = 1;

/// What a version does of which one request in ten fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    /// Requests that fail before everybody is back; of a worker, what is reported of its jobs.
    pub failed: u64,
    /// How long it takes from its first users; absent where it would pass unnoticed while it is watched.
    pub after: Option<Millis>,
}

/// The harm by `plan`; `None` where no traffic is known, and nothing of what a worker does.
pub(super) fn of(
    release: &Release,
    strategy: &Strategy,
    today: &Today,
    plan: &Plan,
    back: Option<Back>,
) -> Option<Harm> {
    let worker = release.spec.is_worker();
    let rate = match worker {
        // The objective of which most is reported tells soonest.
        true => today.counted.values().copied().reduce(f64::max),
        false => today.rate,
    };
    let rate = rate.filter(|rate| *rate > 0.0)?;
    let first = plan.steps.iter().position(|step| step.kind.weight().is_some_and(|weight| weight > Weight::ZERO))?;
    let weight = plan.steps[first].kind.weight()?;
    let next = plan.next_weight(first);
    let budget = Budget::divided(strategy.alpha, strategy.beta, plan.judged_steps(), release.spec.objectives.len());
    let forecast = |objective: &Objective| Forecast {
        weight,
        next_weight: next,
        stable_rate: today.bad_share(objective),
        candidate_rate: BAD_SHARE + today.bad_share(objective),
        min_requests: strategy.min_requests,
    };
    let failing = |objective: &&Objective| worker || objective.bad == Bad::Failed;
    let needed = release.spec.objectives.iter().filter(failing);
    let needed =
        needed.filter_map(|objective| judge::requests_to_catch(objective, &budget, &forecast(objective))).min();
    // What one step shows is watched for as long as the step lasts; after the last there is nobody who looks.
    let watched = watched(strategy, plan, first);
    let per_ms = rate * weight.share() / 1000.0;
    let verdict = needed.map(|n| n as f64 / per_ms).filter(|ms| *ms <= watched.0 as f64);
    let Some(verdict) = verdict else {
        let met = per_ms * watched.0 as f64;
        return Some(Harm { failed: (met * BAD_SHARE).ceil() as u64, after: None });
    };
    let back = REACTION.0 + back.map_or(0, |back| back.first.0);
    let met = needed.unwrap_or(LEAST) as f64 + per_ms * back as f64;
    Some(Harm { failed: (met * BAD_SHARE).ceil() as u64, after: Some(Millis(verdict as u64 + back)) })
}

/// How long the split of step `first` is watched, with the steps after it that leave it as it is.
fn watched(strategy: &Strategy, plan: &Plan, first: usize) -> Millis {
    let weight = plan.steps[first].kind.weight();
    let same = plan.steps[first..].iter().take_while(|step| step.kind.weight() == weight);
    Millis(
        same.map(|step| match step.kind {
            StepKind::Verify { length, .. } => length.0,
            StepKind::Shift { .. } => super::super::estimate::step_limit(strategy).0,
            StepKind::Batch { .. } => step.worst.0,
            _ => 0,
        })
        .sum(),
    )
}
