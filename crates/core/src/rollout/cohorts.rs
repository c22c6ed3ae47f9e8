//! Cohorts in a canary: each is a step before the first percentage, and stays with the candidate until everybody is
//! there or nobody. Which of them are in force follows from where the rollout stands; on the way back none is.

use super::lane::{Lane, Release};
use super::model::{Rollout, RolloutKind, State};
use super::plan::StepKind;
use crate::names::LaneId;
use crate::spec::Cohort;
use crate::traffic::{CohortRoute, Split};
use crate::units::Weight;

/// The cohorts that a release declares for a lane.
pub(super) fn declared<'a>(release: &'a Release, lane: &LaneId) -> &'a [Cohort] {
    let environment = release.environment(lane).filter(|_| !release.spec.is_worker());
    environment.map_or(&[], |environment| &environment.cohorts)
}

/// The cohort of the step at hand, if it is one's.
pub(super) fn at_hand<'a>(lane: &LaneId, open: &'a Rollout) -> Option<&'a Cohort> {
    match open.plan.steps.get(open.step)?.kind {
        StepKind::Cohort { place, .. } => declared(&open.release, lane).get(place),
        _ => None,
    }
}

/// The cohorts that go to the candidate together with `split`. None on the way back: 0% overrides them too.
pub(super) fn in_force(lane: &Lane, split: &Split) -> Vec<CohortRoute> {
    let Some(open) = lane.open.as_ref().filter(|open| open.kind == RolloutKind::Release) else { return Vec::new() };
    let candidate = &open.release.version;
    let returning = matches!(open.state, State::Undoing(_) | State::Ended { .. });
    if returning || lane.stable.is_none() || split.weight(candidate) == Weight::ALL {
        return Vec::new();
    }
    let all = declared(&open.release, &lane.id);
    let reached = open.plan.steps.iter().take(open.step + 1).filter_map(|step| match step.kind {
        StepKind::Cohort { place, .. } => all.get(place),
        _ => None,
    });
    reached
        .map(|cohort| CohortRoute { name: cohort.name.clone(), rule: cohort.rule.clone(), to: candidate.clone() })
        .collect()
}
