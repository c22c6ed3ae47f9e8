//! How many instances of which version a rolling rollout keeps at any moment, there and back. Capacity is counted in
//! instances that are ready; the shares of the traffic follow it. The two versions may declare different numbers: a
//! share of the traffic is then that share of each version's own number.

use super::lane::Lane;
use super::model::{Rollout, RolloutKind, State};
use super::plan::StepKind;
use crate::spec::{HealthCheck, StrategyKind};
use crate::units::{Millis, Weight};

/// Whether `rollout` replaces stable's instances batch by batch.
pub(super) fn applies(rollout: &Rollout) -> bool {
    rollout.kind == RolloutKind::Release
        && rollout.from.is_some()
        && matches!(rollout.strategy.kind, StrategyKind::Rolling { .. })
}

/// How long a batch must stay healthy under its traffic before the next one: its health is asked for twice meanwhile.
/// Without it a version that dies of its first hundred requests would have replaced everything before the first died.
pub(super) fn settle(health: &HealthCheck) -> Millis {
    Millis(health.interval.0 * 2)
}

struct Shape {
    /// The candidate's declared number.
    whole: u32,
    /// Stable's declared number.
    stable: u32,
    /// Instances replaced at a time.
    batch: u32,
    /// How far below the declared number ready capacity may fall.
    slack: u32,
}

fn shape(lane: &Lane, rollout: &Rollout) -> Shape {
    let whole = rollout.release.instances(&lane.id);
    let stable = lane.stable.as_ref().map_or(0, |s| s.instances(&lane.id));
    let StrategyKind::Rolling { batch, min_ready } = &rollout.strategy.kind else {
        return Shape { whole, stable, batch: whole, slack: 0 };
    };
    Shape { whole, stable, batch: batch.of(whole).max(1), slack: whole - min_ready.of(whole) }
}

/// Stable instances to keep.
pub(super) fn stable_wanted(lane: &Lane, rollout: &Rollout) -> u32 {
    let shape = shape(lane, rollout);
    let declared = shape.stable;
    if let State::Undoing(_) = rollout.state {
        if lane.is_worker() {
            return declared;
        }
        let kept = candidate_kept(lane, rollout);
        return declared.min((shape.whole.max(declared) + shape.batch).saturating_sub(kept).max(1));
    }
    let Some(step) = rollout.plan.steps.get(rollout.step) else { return declared };
    let earlier = rollout.plan.steps[..rollout.step].iter().filter_map(|s| updated(s.kind)).max().unwrap_or(0);
    match step.kind {
        // Those that a batch replaces go only when it has settled: if it dies of its first requests, nothing is missing.
        StepKind::Batch { updated, .. } => {
            let replaced = (earlier + shape.slack.min(updated - earlier)).min(shape.whole);
            (declared * (shape.whole - replaced)).div_ceil(shape.whole)
        }
        StepKind::Verify { .. } => 0,
        _ => declared,
    }
}

fn updated(kind: StepKind) -> Option<u32> {
    match kind {
        StepKind::Batch { updated, .. } => Some(updated),
        _ => None,
    }
}

/// On the way back: updated instances that must still carry what stable, as far as it is back, cannot.
pub(super) fn candidate_kept(lane: &Lane, rollout: &Rollout) -> u32 {
    let shape = shape(lane, rollout);
    let missing = shape.stable.saturating_sub(stable_ready(lane));
    lane.ready(&rollout.release.version).min((shape.whole * missing).div_ceil(shape.stable.max(1)))
}

/// On the way back: the candidate's share, by the instances that carry it. It never grows.
pub(super) fn weight_back(lane: &Lane, rollout: &Rollout) -> Weight {
    let shape = shape(lane, rollout);
    let kept = candidate_kept(lane, rollout) * shape.stable;
    let back = stable_ready(lane).min(shape.stable) * shape.whole;
    Weight::ratio(kept, kept + back).min(lane.candidate_weight())
}

fn stable_ready(lane: &Lane) -> u32 {
    lane.stable_version().map_or(0, |v| lane.ready(v))
}
