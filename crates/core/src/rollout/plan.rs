//! The plan of a rollout: its steps with the undo of each, computed, shown and journalled before the first act.
//!
//! A plan says where the rollout is going; [`super::turn()`] decides at every moment what to do next from what is
//! observed. Nothing here acts.

use serde::{Deserialize, Serialize};

use super::cohorts;
use super::estimate::{self, Today};
use super::lane::{Lane, Release};
use super::mirroring;
use super::model::RolloutKind;
use super::probing;
use super::schema;
use super::workers;
use crate::judge::LatencyBound;
use crate::names::VersionName;
use crate::spec::{Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// Share of the traffic that a canary leaves on stable while it is being verified.
pub const HOLD_BACK: Weight = match Weight::from_bp(100) {
    Some(weight) => weight,
    None => Weight::ZERO,
};

/// The steps of a rollout, before the first act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The strategy's name.
    pub strategy: String,
    /// What is coming.
    pub version: VersionName,
    /// What serves now.
    pub from: Option<VersionName>,
    /// The way back as a sentence, checked before the first act.
    pub way_back: String,
    /// In order.
    pub steps: Vec<Step>,
    /// Instances beyond the declared number, at the most.
    pub extra_instances: u32,
    /// Names of the steps that cannot be undone.
    pub points_of_no_return: Vec<String>,
    /// How long it takes if every verdict comes as early as it can.
    pub best: Millis,
    /// How long it takes before every limit has run out.
    pub worst: Millis,
    /// How long it takes at today's traffic; absent where there is none to go by.
    pub today: Option<Millis>,
    /// How long going back takes, by the last time it was measured or by the kind of way back.
    pub rollback: String,
    /// What a person should know before agreeing.
    pub remarks: Vec<String>,
    /// Latency bounds that are stable's own, as they were when the plan was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<LatencyBound>,
    /// Shares are of a worker's instances and not of the traffic. Left out where not, so that a seal stays what it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub worker: bool,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Short: `5%`, `switch`, `batch 2 of 5`.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
    /// The same as a sentence.
    pub what: String,
    /// How it is undone, as a sentence.
    pub undo: String,
    /// The largest share of users that meets the candidate.
    pub exposed: Weight,
    /// Candidate requests that a verdict needs, by objective, if the candidate is as good as stable.
    pub requests: Vec<(String, u64)>,
    /// At best.
    pub best: Millis,
    /// At worst.
    pub worst: Millis,
    /// At today's traffic.
    pub today: Option<Millis>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepKind {
    /// Looks whether there is a way back, and gives up an older standby.
    Prepare,
    /// Brings up candidate instances and smoke-tests them.
    Scale {
        /// How many.
        instances: u32,
    },
    /// Gives the candidate the users of a cohort and waits for the judge to pass it; everybody else stays on stable.
    Cohort {
        /// Which, in the order of the declared file.
        place: usize,
        /// Ready instances that it takes.
        instances: u32,
    },
    /// Sends probes to candidate and stable, or copies of users' requests to the candidate, and waits for the judge to pass
    /// the candidate before any user meets it.
    Probe {
        /// Ready instances that it takes.
        instances: u32,
        /// By copies of users' requests.
        #[serde(default)]
        mirrored: bool,
    },
    /// Gives the candidate a share and waits for the judge to pass it.
    Shift {
        /// The share.
        weight: Weight,
        /// Ready instances that it takes.
        instances: u32,
    },
    /// Gives the candidate everything at once.
    Switch {
        /// Ready instances that it takes.
        instances: u32,
    },
    /// Replaces instances until so many are updated.
    Batch {
        /// Updated instances after this batch.
        updated: u32,
        /// Of how many.
        of: u32,
    },
    /// Stops every instance of stable, waits until the last has ended, and only then starts the candidate's.
    Replace {
        /// How many.
        instances: u32,
    },
    /// Watches for a while under the fail rule, then tests once more and finishes.
    Verify {
        /// The share meanwhile.
        weight: Weight,
        /// Ready instances that it takes.
        instances: u32,
        /// How long.
        length: Millis,
    },
    /// Gives stable everything again, at the end of a drill.
    Return,
    /// Brings the database to the schema that the version needs.
    Expand {
        /// Which.
        schema: u64,
        /// Whether it can be taken back.
        revertible: bool,
    },
    /// Removes what only versions before this schema need.
    Contract {
        /// Which.
        schema: u64,
    },
}

impl StepKind {
    /// Candidate instances that must be ready before the step's traffic moves.
    pub fn instances(self) -> u32 {
        match self {
            StepKind::Prepare | StepKind::Return | StepKind::Expand { .. } | StepKind::Contract { .. } => 0,
            StepKind::Scale { instances }
            | StepKind::Probe { instances, .. }
            | StepKind::Cohort { instances, .. }
            | StepKind::Shift { instances, .. }
            | StepKind::Switch { instances }
            | StepKind::Replace { instances }
            | StepKind::Verify { instances, .. } => instances,
            StepKind::Batch { updated, .. } => updated,
        }
    }

    /// Whether it ends by a verdict, which a person may give instead of the judge.
    pub fn is_judged(self) -> bool {
        matches!(
            self,
            StepKind::Shift { .. } | StepKind::Cohort { .. } | StepKind::Probe { .. } | StepKind::Verify { .. }
        )
    }

    /// Whether nothing brings back what was before.
    pub fn is_point_of_no_return(self) -> bool {
        matches!(self, StepKind::Contract { .. } | StepKind::Expand { revertible: false, .. })
    }

    /// The candidate's share in this step; absent where the step leaves the traffic alone.
    pub fn weight(self) -> Option<Weight> {
        match self {
            StepKind::Prepare
            | StepKind::Scale { .. }
            | StepKind::Probe { .. }
            | StepKind::Replace { .. }
            | StepKind::Expand { .. }
            | StepKind::Contract { .. } => None,
            StepKind::Shift { weight, .. } | StepKind::Verify { weight, .. } => Some(weight),
            StepKind::Switch { .. } => Some(Weight::ALL),
            StepKind::Return | StepKind::Cohort { .. } => Some(Weight::ZERO),
            StepKind::Batch { updated, of } => Some(Weight::ratio(updated, of)),
        }
    }
}

impl Plan {
    /// Stretches of evidence that are judged: alpha is divided over them.
    pub fn judged_steps(&self) -> usize {
        judged_steps(self.steps.iter().map(|s| s.kind))
    }

    /// The share that the candidate gets after step `index`: what *pass* has to vouch for.
    pub fn next_weight(&self, index: usize) -> Weight {
        let kinds: Vec<StepKind> = self.steps.iter().map(|s| s.kind).collect();
        next_weight(&kinds, index)
    }
}

/// The same of steps that are no plan yet.
pub(super) fn next_weight(steps: &[StepKind], index: usize) -> Weight {
    let here = steps.get(index).and_then(|step| step.weight()).unwrap_or(Weight::ZERO);
    let mut follows = steps.iter().skip(index + 1).filter_map(|step| step.weight());
    follows.find(|weight| *weight > Weight::ZERO).unwrap_or(here)
}

/// Stretches of evidence among steps: neighbours that leave the split as it is are one.
pub(super) fn judged_steps(steps: impl Iterator<Item = StepKind>) -> usize {
    let steps: Vec<StepKind> = steps.collect();
    let probed = steps.iter().filter(|s| matches!(s, StepKind::Probe { .. } | StepKind::Cohort { .. })).count();
    let mut weights: Vec<Weight> =
        steps.into_iter().filter_map(StepKind::weight).filter(|w| *w > Weight::ZERO).collect();
    weights.dedup();
    (weights.len() + probed).max(1)
}

/// So many instances, in words.
pub(super) fn counted(instances: u32) -> String {
    if instances == 1 { "1 instance".to_string() } else { format!("{instances} instances") }
}

/// Makes the plan by which `release` would replace what serves in `lane` now.
pub fn plan(lane: &Lane, kind: RolloutKind, release: &Release, strategy: &Strategy, today: &Today) -> Plan {
    let (declared, scaled) = (release.instances(&lane.id), lane.as_scaled(release.clone()));
    let mut plan = of_scaled(lane, kind, &scaled, strategy, today);
    let instances = scaled.instances(&lane.id);
    if instances != declared && kind != RolloutKind::Contract {
        let declares = counted(declared);
        plan.remarks
            .push(format!("somebody scaled it to {instances}, and that stays: this release declares {declares}"));
    }
    plan
}

fn of_scaled(lane: &Lane, kind: RolloutKind, release: &Release, strategy: &Strategy, today: &Today) -> Plan {
    if release.spec.is_worker() && kind != RolloutKind::Contract {
        let declared = strategy;
        let strategy = workers::in_effect(lane, release, declared);
        let steps = workers::steps(lane, kind, release, &strategy);
        let mut plan = estimate::complete(lane, kind, release, &strategy, today, steps);
        plan.remarks = schema::remarks(lane, kind, release);
        plan.remarks.extend(workers::remarks(lane, kind, release, &strategy, declared));
        return plan;
    }
    let wanted = release.instances(&lane.id);
    let mut steps = vec![(StepKind::Prepare, "prepare".to_string())];
    if let (RolloutKind::Release, Some((schema, migrate))) = (kind, schema::expands(lane, release)) {
        steps.push((StepKind::Expand { schema, revertible: migrate.revert.is_some() }, "expand".to_string()));
    }
    let warm = lane.ready(&release.version) >= wanted && is_standby(lane, release);
    match (kind, &lane.stable, &strategy.kind) {
        (RolloutKind::Rollback, _, _) => {
            if !warm {
                steps.push((StepKind::Scale { instances: wanted }, "start".to_string()));
            }
            steps.push((StepKind::Switch { instances: wanted }, "switch".to_string()));
        }
        (RolloutKind::Contract, _, _) => {
            let schema = release.spec.needs_schema.unwrap_or_default();
            steps.push((StepKind::Contract { schema }, "contract".to_string()));
        }
        (RolloutKind::Drill { cold }, _, _) => {
            if cold || !warm {
                steps.push((StepKind::Scale { instances: wanted }, "start".to_string()));
            }
            steps.push((StepKind::Switch { instances: wanted }, "back".to_string()));
            let (stay, _) = verification(Weight::ALL, wanted, strategy);
            steps.push((stay, "stay".to_string()));
            steps.push((StepKind::Return, "return".to_string()));
        }
        (RolloutKind::Release, None, _) => {
            steps.push((StepKind::Scale { instances: wanted }, "start".to_string()));
            steps.push((StepKind::Switch { instances: wanted }, "everyone".to_string()));
            steps.push(verification(Weight::ALL, wanted, strategy));
        }
        (RolloutKind::Release, Some(_), StrategyKind::BlueGreen | StrategyKind::Replace) => {
            steps.push((StepKind::Scale { instances: wanted }, "green".to_string()));
            if mirroring::before_users(release).is_some() {
                steps.push((StepKind::Probe { instances: wanted, mirrored: true }, "mirror".to_string()));
            }
            if probing::before_users(release).is_some() {
                steps.push((StepKind::Probe { instances: wanted, mirrored: false }, "probes".to_string()));
            }
            steps.push((StepKind::Switch { instances: wanted }, "switch".to_string()));
            steps.push(verification(Weight::ALL, wanted, strategy));
        }
        (RolloutKind::Release, Some(_), StrategyKind::Canary { steps: weights, .. }) => {
            let first = share_of(weights.first().copied().unwrap_or(Weight::ALL), wanted);
            if mirroring::before_users(release).is_some() {
                steps.push((StepKind::Probe { instances: first, mirrored: true }, "mirror".to_string()));
            }
            for (place, cohort) in cohorts::declared(release, &lane.id).iter().enumerate() {
                let name = format!("cohort {}", cohort.name);
                steps.push((StepKind::Cohort { place, instances: first }, name));
            }
            for weight in weights.iter().copied().filter(|w| *w < Weight::ALL) {
                let instances = share_of(weight, wanted);
                steps.push((StepKind::Shift { weight, instances }, weight.to_string()));
            }
            steps.push(verification(HOLD_BACK.rest(), wanted, strategy));
        }
        (RolloutKind::Release, Some(_), StrategyKind::Rolling { batch, .. }) => {
            let batch = batch.of(wanted).max(1);
            let batches = wanted.div_ceil(batch);
            for i in 1..=batches {
                let updated = (i * batch).min(wanted);
                steps.push((StepKind::Batch { updated, of: wanted }, format!("batch {i} of {batches}")));
            }
            steps.push(verification(Weight::ALL, wanted, strategy));
        }
    }
    estimate::complete(lane, kind, release, strategy, today, steps)
}

fn is_standby(lane: &Lane, release: &Release) -> bool {
    lane.standby.as_ref().is_some_and(|s| s.release.version == release.version)
}

pub(super) fn verification(weight: Weight, instances: u32, strategy: &Strategy) -> (StepKind, String) {
    (StepKind::Verify { weight, instances, length: strategy.verify }, "verification".to_string())
}

/// Instances that `weight` of the traffic needs: the declared number times the share, rounded up.
pub(super) fn share_of(weight: Weight, instances: u32) -> u32 {
    ((u64::from(instances) * u64::from(weight.bp())).div_ceil(10_000) as u32).max(1)
}
