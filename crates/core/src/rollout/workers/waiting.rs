//! What a worker's rollout waits for, where others wait for gateways.

use crate::names::VersionName;
use crate::rollout::lane::Lane;
use crate::rollout::model::{Rollout, State};
use crate::rollout::plan::StepKind;

/// What is waited for, as a sentence; absent where it is what everybody waits for.
pub(in super::super) fn waiting(lane: &Lane, open: &Rollout) -> Option<String> {
    if !lane.is_worker() {
        return None;
    }
    let (candidate, stable) = (&open.release.version, lane.stable.as_ref());
    let left = |version: &VersionName| lane.slots.iter().filter(|slot| slot.version == *version).count();
    let whole = || {
        let stable = stable?;
        let (ready, declared) = (lane.ready(&stable.version), stable.instances(&lane.id));
        (ready < declared).then(|| format!("{} to have all of its instances: {ready} of {declared}", stable.version))
    };
    let gone = |version: &VersionName| {
        (left(version) > 0).then(|| format!("the last of {version} to end: {} left", left(version)))
    };
    match &open.state {
        State::Undoing(undo) => {
            let both: Vec<String> = gone(candidate).into_iter().chain(whole()).collect();
            (!both.is_empty()).then(|| format!("{} ({})", both.join(", and "), undo.cause))
        }
        State::Running if super::drills(lane, open) && open.progress.confirmed.is_none() => {
            match open.plan.steps.get(open.step)?.kind {
                StepKind::Verify { .. } => gone(&stable?.version),
                StepKind::Return => whole(),
                _ => None,
            }
        }
        State::Running => match open.plan.steps.get(open.step)?.kind {
            StepKind::Replace { .. } => gone(&stable?.version),
            _ => None,
        },
        State::Paused { .. } | State::Held { .. } | State::Ended { .. } => None,
    }
}
