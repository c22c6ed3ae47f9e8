//! A worker's plan in sentences: what each step does, how it is undone, and what it costs.

use crate::names::VersionName;
use crate::rollout::estimate::Today;
use crate::rollout::lane::{Lane, Release};
use crate::rollout::model::RolloutKind;
use crate::rollout::plan::{StepKind, counted};
use crate::spec::{Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// What a step does; absent where it is what it is everywhere.
pub(in super::super) fn what(step: StepKind, release: &Release, stable: Option<&Release>) -> Option<String> {
    let version = &release.version;
    let sentence = match (step, stable) {
        (StepKind::Prepare, _) => "check that there is a way back".to_string(),
        (StepKind::Shift { weight, instances }, Some(stable)) => format!(
            "{} of {version} beside {}, healthy and tested, so {weight} of those that take jobs; judged until passed",
            counted(instances),
            stable.version
        ),
        (StepKind::Switch { .. }, Some(stable)) => format!(
            "{version} has taken over; {} is asked to stop and has {} to finish its jobs",
            stable.version, stable.spec.run.stop_grace
        ),
        (StepKind::Batch { updated, of }, _) => {
            format!("{updated} of {of} instances on {version}, healthy and tested; those replaced finish their jobs")
        }
        (StepKind::Replace { instances }, Some(stable)) => format!(
            "stop {} and wait until the last of it has ended, up to {} for its jobs; only then start {} of {version}",
            stable.version,
            stable.spec.run.stop_grace,
            counted(instances)
        ),
        (StepKind::Verify { weight, length, .. }, Some(stable)) if weight < Weight::ALL => format!(
            "{version} beside {} for {length}, {weight} of those that take jobs; then test again, and stop {}, which \
             has {} to finish its jobs",
            stable.version, stable.version, stable.spec.run.stop_grace
        ),
        (StepKind::Return, Some(stable)) => format!(
            "start {} again, wait until all of it is healthy and tested; {version} is asked to stop and finishes its jobs",
            stable.version
        ),
        _ => return None,
    };
    Some(sentence)
}

/// How a step is undone; absent where it is as everywhere.
pub(in super::super) fn undo(step: StepKind, version: &VersionName, stable: Option<&VersionName>) -> Option<String> {
    let sentence = match (step, stable) {
        (StepKind::Expand { .. } | StepKind::Contract { .. }, _) => return None,
        (StepKind::Prepare | StepKind::Return, _) => "nothing to undo".to_string(),
        (_, None) => format!("stop {version}: there is no version to go back to"),
        (StepKind::Replace { .. }, Some(stable)) => {
            format!("the same way back: stop {version} whole, and only then start {stable}")
        }
        (StepKind::Verify { weight: Weight::ALL, .. } | StepKind::Batch { .. }, Some(stable)) => {
            format!("stop all of {version}, which takes no more jobs, and start {stable} again in its place")
        }
        (_, Some(stable)) => format!("stop {version}, which takes no more jobs; {stable} goes on as it is"),
    };
    Some(sentence)
}

/// The way back of the whole plan.
pub(in super::super) fn way_back(lane: &Lane, kind: RolloutKind, strategy: &Strategy) -> String {
    match (&lane.stable, kind, &strategy.kind) {
        (None, _, _) => "first release: there is nothing to go back to; its undo is to stop".to_string(),
        (Some(s), _, StrategyKind::Replace) => {
            format!("the same way back: stop the new version whole, then start {} again", s.version)
        }
        (Some(s), RolloutKind::Release, StrategyKind::Rolling { .. }) => {
            format!("stop the updated instances at once, and start {} again in their place", s.version)
        }
        (Some(s), RolloutKind::Drill { .. }, _) => {
            format!("stop what the drill has started, and start {} again where it was stopped", s.version)
        }
        (Some(s), _, _) => format!("{} goes on with all of its instances; stop the new ones", s.version),
    }
}

/// Instances beyond those that are declared, at the most.
pub(in super::super) fn extra(lane: &Lane, release: &Release, strategy: &Strategy, kind: RolloutKind) -> u32 {
    let wanted = release.instances(&lane.id);
    match (&lane.stable, kind, &strategy.kind) {
        (None, _, _) | (_, _, StrategyKind::Replace) => 0,
        (_, RolloutKind::Release, StrategyKind::Rolling { batch, min_ready }) => {
            batch.of(wanted).max(1).saturating_sub(wanted - min_ready.of(wanted))
        }
        _ => wanted,
    }
}

/// How long going back takes.
pub(in super::super) fn rollback(lane: &Lane, kind: RolloutKind, strategy: &Strategy, today: &Today) -> String {
    let measured = |took: Option<Millis>| took.map(|took| format!(", {took} the last time")).unwrap_or_default();
    match (&lane.stable, kind, &strategy.kind) {
        (None, _, _) => "no way back on a first release".to_string(),
        (_, RolloutKind::Release, StrategyKind::Rolling { .. })
        | (_, RolloutKind::Drill { .. }, _)
        | (_, _, StrategyKind::Replace) => {
            format!(
                "as long as finishing the jobs at hand and starting instances takes{}",
                measured(today.lately.replaced)
            )
        }
        _ => format!("no new job at once; as long as finishing the jobs at hand takes{}", measured(today.lately.kept)),
    }
}

/// What a person should know before agreeing.
pub(in super::super) fn remarks(
    lane: &Lane,
    kind: RolloutKind,
    release: &Release,
    strategy: &Strategy,
    declared: &Strategy,
) -> Vec<String> {
    let Some(stable) = &lane.stable else {
        return vec!["first release: there is no stable version to compare with".to_string()];
    };
    let mut remarks = Vec::new();
    if let Some(scaled) = lane.scaled.filter(|n| *n != release.instances(&lane.id)) {
        let declared = counted(release.instances(&lane.id));
        remarks.push(format!("somebody scaled it to {scaled}; this release declares {declared}, and that will count"));
    }
    if strategy.kind != declared.kind {
        let (named, one) = (declared.kind.name(), if stable.spec.is_exclusive() { stable } else { release });
        remarks.push(format!("{} must run alone, so it is replaced as a whole and not by {named}", one.version));
    }
    match &strategy.kind {
        StrategyKind::Replace => remarks.push(format!(
            "there is a gap: from the stop of {} until {} is up nobody takes jobs; they wait in their queue",
            stable.version, release.version
        )),
        _ if matches!(kind, RolloutKind::Drill { .. }) => remarks.push(format!(
            "{} is really stopped for {} and started again: what only it can do is missing meanwhile, and should this \
             control plane die, {} goes on with the jobs until it is back",
            stable.version, strategy.verify, release.version
        )),
        StrategyKind::Rolling { .. } if kind == RolloutKind::Release => {
            remarks.push("both versions take jobs meanwhile; going back means starting instances".into());
        }
        _ => remarks.push("both versions take jobs meanwhile, and stable keeps all of its instances".into()),
    }
    if kind == RolloutKind::Release && release.spec.objectives.is_empty() {
        remarks.push("no objective is declared: a version that runs and does its jobs badly is not noticed".into());
    }
    remarks
}
