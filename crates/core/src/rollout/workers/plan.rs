//! The bare steps by which a worker's versions follow each other.

use crate::rollout::lane::{Lane, Release};
use crate::rollout::model::RolloutKind;
use crate::rollout::plan::{StepKind, share_of, verification};
use crate::rollout::schema;
use crate::spec::{Strategy, StrategyKind};
use crate::units::Weight;

/// The steps for `release` by `strategy`, which is the one in effect. Every start and every verification is the same as
/// elsewhere; what is missing is the switch.
pub(in super::super) fn steps(
    lane: &Lane,
    kind: RolloutKind,
    release: &Release,
    strategy: &Strategy,
) -> Vec<(StepKind, String)> {
    let wanted = release.instances(&lane.id);
    let mut steps = vec![(StepKind::Prepare, "prepare".to_string())];
    if let (RolloutKind::Release, Some((schema, migrate))) = (kind, schema::expands(lane, release)) {
        steps.push((StepKind::Expand { schema, revertible: migrate.revert.is_some() }, "expand".to_string()));
    }
    let Some(stable) = &lane.stable else {
        steps.push((StepKind::Scale { instances: wanted }, "start".to_string()));
        steps.push(verification(Weight::ALL, wanted, strategy));
        return steps;
    };
    match (&strategy.kind, kind) {
        (StrategyKind::Replace, _) => steps.push((StepKind::Replace { instances: wanted }, "replace".to_string())),
        (_, RolloutKind::Drill { .. }) => {
            steps.push((StepKind::Scale { instances: wanted }, "start".to_string()));
            steps.push((StepKind::Switch { instances: wanted }, "back".to_string()));
            let (stay, _) = verification(Weight::ALL, wanted, strategy);
            steps.push((stay, "stay".to_string()));
            steps.push((StepKind::Return, "return".to_string()));
        }
        (_, RolloutKind::Rollback | RolloutKind::Contract) => {
            steps.push((StepKind::Scale { instances: wanted }, "start".to_string()));
            steps.push((StepKind::Switch { instances: wanted }, "take over".to_string()));
        }
        (StrategyKind::Rolling { batch, .. }, RolloutKind::Release) => {
            let batch = batch.of(wanted).max(1);
            let batches = wanted.div_ceil(batch);
            for i in 1..=batches {
                let updated = (i * batch).min(wanted);
                steps.push((StepKind::Batch { updated, of: wanted }, format!("batch {i} of {batches}")));
            }
        }
        (StrategyKind::Canary { .. } | StrategyKind::BlueGreen, RolloutKind::Release) => {
            let beside = stable.instances(&lane.id);
            let share = |instances: u32| Weight::ratio(instances, instances + beside);
            for instances in counts(strategy, wanted) {
                let weight = share(instances);
                steps.push((StepKind::Shift { weight, instances }, format!("{instances} of {wanted}")));
            }
            steps.push(verification(share(wanted), wanted, strategy));
            return steps;
        }
    }
    if kind == RolloutKind::Release {
        steps.push(verification(Weight::ALL, wanted, strategy));
    }
    steps
}

/// The numbers of instances that are judged one after the other; what rounds to the same number is one step.
fn counts(strategy: &Strategy, wanted: u32) -> Vec<u32> {
    let StrategyKind::Canary { steps, .. } = &strategy.kind else { return Vec::new() };
    let below = steps.iter().filter(|weight| **weight < Weight::ALL);
    let mut counts: Vec<u32> = below.map(|weight| share_of(*weight, wanted)).collect();
    counts.dedup();
    counts
}
