//! A worker's drill: the predecessor really takes over, alone, and stable really comes back.
//!
//! A share of the jobs is a share of the instances, so the way back cannot be practised beside a stable that goes on:
//! it is stopped once the predecessor is up, stays away while the predecessor is watched, and is started again before
//! the predecessor is stopped. Jobs are always taken by somebody. Where one version has to end before the other may
//! start nobody would take any, twice, so there is no drill.

use super::patience;
use crate::rollout::estimate::start_limit;
use crate::rollout::lane::{Lane, Release};
use crate::rollout::model::{Rollout, RolloutKind, State};
use crate::rollout::plan::StepKind;
use crate::rollout::turn::{ENGINE, Turn};
use crate::rollout::undo;
use crate::spec::StrategyKind;
use crate::units::Timestamp;

/// Why the way back from `lane`'s stable to `predecessor` cannot be practised, where it is so.
pub(in super::super) fn undrillable(lane: &Lane, predecessor: &Release) -> Option<String> {
    let whole = |release: &&Release| {
        let replaced = release.environment(&lane.id).is_some_and(|e| e.strategy.kind == StrategyKind::Replace);
        release.spec.is_worker() && (release.spec.is_exclusive() || replaced)
    };
    let one = lane.stable.iter().chain([predecessor]).find(whole)?;
    let why = if one.spec.is_exclusive() { "must run alone" } else { "is replaced as a whole" };
    Some(format!(
        "{} {why}, so a drill would leave its jobs to nobody, twice: going back is the same steps as a release, which has \
         just shown that they work",
        one.version
    ))
}

/// Whether `open` is a drill of a worker, whose stable gives up its instances for it.
pub(in super::super) fn drills(lane: &Lane, open: &Rollout) -> bool {
    lane.is_worker() && matches!(open.kind, RolloutKind::Drill { .. })
}

/// Stable instances to keep while a drill goes on: none while the predecessor shows that it does the work.
pub(in super::super) fn stable_in_drill(lane: &Lane, open: &Rollout) -> u32 {
    let declared = lane.stable.as_ref().map_or(0, |stable| stable.instances(&lane.id));
    let alone = matches!(open.plan.steps.get(open.step).map(|s| s.kind), Some(StepKind::Verify { .. }));
    match &open.state {
        State::Undoing(_) | State::Ended { .. } => declared,
        _ if alone => 0,
        _ => declared,
    }
}

/// Whether stable is as the step at hand of a drill wants it: gone while the predecessor is watched, whole before
/// it returns. If that does not come about in its time, the drill turns round.
pub(in super::super) fn is_set(turn: &mut Turn, step: StepKind, now: Timestamp) -> bool {
    let (Some(open), Some(stable)) = (&turn.lane.open, &turn.lane.stable) else { return true };
    if !drills(&turn.lane, open) {
        return true;
    }
    let (declared, ready) = (stable.instances(&turn.lane.id), turn.lane.ready(&stable.version));
    let left = turn.lane.slots.iter().filter(|slot| slot.version == stable.version).count();
    let (done, limit, missing) = match step {
        StepKind::Verify { .. } => {
            (left == 0, patience(stable), format!("{left} instances of {} have not ended", stable.version))
        }
        StepKind::Return => (
            ready >= declared,
            start_limit(stable),
            format!("only {ready} of {declared} instances of {} are ready again", stable.version),
        ),
        _ => return true,
    };
    let (entered, confirmed) = (open.progress.entered, open.progress.confirmed);
    if done || confirmed.is_some() {
        return true;
    }
    let over = entered.plus(limit);
    match now >= over {
        true => undo::begin(turn, &format!("{missing} within {limit}"), ENGINE, None, Vec::new(), now),
        false => turn.wake(over),
    }
    false
}
