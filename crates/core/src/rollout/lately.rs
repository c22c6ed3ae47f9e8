//! How long things took in a lane the last time, for plans and for drills.

use serde::{Deserialize, Serialize};

use super::model::{Rollout, RolloutKind};
use super::plan::StepKind;
use crate::spec::StrategyKind;
use crate::units::Millis;

/// How long things took in a lane the last time that they were done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lately {
    /// From asking for an instance until it was healthy and tested.
    pub start: Option<Millis>,
    /// From the decision to go back until every gateway had confirmed it.
    pub rollback: Option<Millis>,
    /// The same for the last time that the version which came back had all of its instances up: one routing change, or
    /// for workers the end of the jobs at hand.
    #[serde(default)]
    pub kept: Option<Millis>,
    /// The same for the last time that instances which had been replaced were started again.
    #[serde(default)]
    pub replaced: Option<Millis>,
    /// How long the last deployment that succeeded had acted.
    #[serde(default)]
    pub deploy: Option<Millis>,
}

/// What had to be done for users, or jobs, to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// Everything that was to carry them was up.
    Kept,
    /// Instances that had been replaced were started again.
    Replaced,
    /// A whole set was started first: no measure of either.
    Started,
}

impl Return {
    /// How `rollout` brings them back, or takes them back where it is turned round.
    pub(super) fn of(rollout: &Rollout) -> Return {
        let starts = rollout.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Scale { .. }));
        let worker = rollout.release.spec.is_worker();
        let keeps = matches!(rollout.strategy.kind, StrategyKind::Canary { .. } | StrategyKind::BlueGreen);
        match rollout.kind {
            _ if rollout.from.is_none() => Return::Started,
            RolloutKind::Release if keeps => Return::Kept,
            RolloutKind::Release => Return::Replaced,
            _ if worker => Return::Replaced,
            _ if starts => Return::Started,
            _ => Return::Kept,
        }
    }
}

impl Lately {
    /// Going back took so long.
    pub(super) fn came_back(&mut self, took: Millis, how: Return) {
        self.rollback = Some(took);
        match how {
            Return::Kept => self.kept = Some(took),
            Return::Replaced => self.replaced = Some(took),
            Return::Started => {}
        }
    }
}
