//! What is different where a service has no traffic: a worker's weight is instances, and nobody has to confirm it.
//!
//! A worker takes jobs from the moment that it is started until it is asked to stop, so a share of the work is a share
//! of the instances, kept in the lane as a split like any other and known to no gateway. The planner, the judge and the
//! undo are those of every rollout; they ask here where the difference lies. Decides nothing about signals: how an
//! instance is asked to stop is the target's.

mod back;
mod drill;
mod plan;
#[cfg(test)]
mod tests;
mod waiting;
mod words;

pub(super) use back::proceed;
pub(super) use drill::{drills, is_set, stable_in_drill, undrillable};
pub(super) use plan::steps;
pub(super) use waiting::waiting;
pub(super) use words::{extra, remarks, rollback, undo, way_back, what};

use super::commands::{Refusal, refuse};
use super::lane::{Lane, Release};
use super::model::{Rollout, State};
use super::plan::StepKind;
use crate::spec::{Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// Beyond its declared patience, how long the end of an instance may take to be seen.
const STOP_MARGIN: Millis = Millis::from_secs(10);

impl Lane {
    /// Whether the service takes jobs instead of requests.
    pub fn is_worker(&self) -> bool {
        let release = self.stable.as_ref().or(self.open.as_ref().map(|open| &open.release));
        release.is_some_and(|release| release.spec.is_worker())
    }
}

/// What stands against `release` going where something of another kind is.
pub fn same_kind(lane: &Lane, release: &Release) -> Result<(), Refusal> {
    let Some(before) = lane.stable.as_ref().or(lane.open.as_ref().map(|open| &open.release)) else { return Ok(()) };
    let kind = |worker: bool| if worker { "a worker" } else { "a service with requests" };
    let (was, is) = (before.spec.is_worker(), release.spec.is_worker());
    if was == is {
        return Ok(());
    }
    let reason = format!(
        "{} is {} ({}), and {} is {}: neither could go back to the other; give it a service name of its own",
        lane.id,
        kind(was),
        before.version,
        release.version,
        kind(is)
    );
    refuse("other_kind", reason)
}

/// The strategy that counts: where either version must be alone, one ends before the other starts, whatever is declared.
pub(super) fn in_effect(lane: &Lane, release: &Release, strategy: &Strategy) -> Strategy {
    let exclusive = lane.stable.iter().chain([release]).any(|release| release.spec.is_exclusive());
    match exclusive {
        true => Strategy { kind: StrategyKind::Replace, ..strategy.clone() },
        false => strategy.clone(),
    }
}

/// Whether `rollout` stops one version before it starts the other, there and back.
pub(super) fn replaces(rollout: &Rollout) -> bool {
    rollout.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Replace { .. }))
}

/// Whether no instance may start beside one of another version, nor beside as many as are declared.
fn is_alone(lane: &Lane) -> bool {
    let releases = lane.stable.iter().chain(lane.open.as_ref().map(|open| &open.release));
    releases.into_iter().any(|release| release.spec.is_exclusive()) || lane.open.as_ref().is_some_and(replaces)
}

/// How many instances of `release` may be started now if `count` of them are wanted. Whatever has not been seen to end
/// still runs.
pub(super) fn room(lane: &Lane, release: &Release, count: u32) -> u32 {
    if !is_alone(lane) {
        return count;
    }
    let others = lane.slots.iter().any(|slot| slot.version != release.version);
    let own = lane.slots.len() as u32;
    if others { 0 } else { count.saturating_sub(own) }
}

/// Whether an instance that is to be replaced goes before the one that takes its place comes.
pub(super) fn leaves_first(lane: &Lane) -> bool {
    lane.is_worker() && is_alone(lane)
}

/// Stable instances to keep while `open` replaces them as a whole.
pub(super) fn stable_wanted(lane: &Lane, open: &Rollout) -> u32 {
    let declared = lane.stable.as_ref().map_or(0, |stable| stable.instances(&lane.id));
    let begun = open.plan.steps.iter().take(open.step + 1).any(|step| matches!(step.kind, StepKind::Replace { .. }));
    match &open.state {
        State::Undoing(_) => declared,
        _ if begun => 0,
        _ => declared,
    }
}

/// How long the instances of `release` may take to end once they are asked to.
pub(super) fn patience(release: &Release) -> Millis {
    Millis(release.spec.run.stop_grace.0 + STOP_MARGIN.0)
}

/// The share that a pass of step `index` has to vouch for. After a worker's last judged step nothing is held back once
/// it succeeds, so what is verified beside stable counts as everything.
pub(super) fn next_weight(open: &Rollout) -> Weight {
    let kinds: Vec<StepKind> = open.plan.steps.iter().map(|step| step.kind).collect();
    vouched(open.release.spec.is_worker(), &kinds, open.step)
}

/// The same of the steps of a plan, of a worker or not.
pub(super) fn vouched(worker: bool, steps: &[StepKind], index: usize) -> Weight {
    match steps.get(index + 1) {
        Some(StepKind::Verify { .. }) if worker => Weight::ALL,
        _ => super::plan::next_weight(steps, index),
    }
}
