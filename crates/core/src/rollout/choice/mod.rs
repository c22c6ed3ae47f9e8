//! Choosing a strategy: each one's plan, harm and misfits side by side for one release, and one piece of advice.
//!
//! Everything is computed from the plans, the judge's own arithmetic and what is known of the lane: no table of
//! opinions. Pure; called by the control plane for `slipway plan --compare`.

mod advice;
mod back;
mod fit;
mod harm;
mod steps;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::estimate::Today;
use super::lane::{Lane, Release};
use super::model::RolloutKind;
use super::plan::{StepKind, plan};
use crate::spec::{Strategy, StrategyKind};
use crate::units::{Millis, Weight};

pub use back::{Back, Basis};
pub use harm::{BAD_SHARE, Harm};
pub(super) use steps::{limit_that_fits, steps_that_fit};

/// The strategies side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The one that is declared.
    pub declared: String,
    /// Each of them.
    pub ways: Vec<Way>,
    /// The one that fits best; absent where none does.
    pub advice: Option<String>,
    /// Why, in a sentence or two.
    pub why: String,
}

/// One strategy for one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// Its name.
    pub strategy: String,
    /// Why it does not fit, a sentence each; empty where it does.
    pub misfits: Vec<String>,
    /// What should be known before it is taken.
    pub cautions: Vec<String>,
    /// How long it takes if every verdict comes as early as it can.
    pub best: Millis,
    /// How long before every limit has run out.
    pub worst: Millis,
    /// How long at today's traffic, where there is any to go by.
    pub today: Option<Millis>,
    /// The share of the users that meets the version before the judge can have spoken once.
    pub exposed: Weight,
    /// Instances beyond the declared number, at the most.
    pub extra_instances: u32,
    /// How long going back takes, in words.
    pub rollback: String,
    /// The same as figures; absent where there is no way back.
    pub back: Option<Back>,
    /// What a bad version does until it is taken back; absent where there is no traffic to go by.
    pub harm: Option<Harm>,
}

impl Way {
    /// Whether nothing stands against it.
    pub fn fits(&self) -> bool {
        self.misfits.is_empty()
    }
}

/// Puts the strategies side by side for `release`; `declared` lends each what they all share.
pub fn compare(lane: &Lane, release: &Release, declared: &Strategy, today: &Today) -> Comparison {
    let ways: Vec<Way> = StrategyKind::NAMES
        .iter()
        .filter_map(|name| declared.with_kind(name).ok())
        .filter(|strategy| fit::applies(release, strategy))
        .map(|strategy| way(lane, release, &strategy, today))
        .collect();
    let (advice, why) = advice::advise(lane, release, &ways, declared.verify, today);
    Comparison { declared: declared.kind.name().to_string(), ways, advice, why }
}

fn way(lane: &Lane, release: &Release, strategy: &Strategy, today: &Today) -> Way {
    let plan = plan(lane, RolloutKind::Release, release, strategy, today);
    let met = plan.steps.iter().map(|step| step.exposed).find(|weight| *weight > Weight::ZERO);
    let exposed = match plan.steps.iter().find_map(|step| match step.kind {
        StepKind::Batch { updated, of } => Some(Weight::ratio(updated, of)),
        _ => None,
    }) {
        Some(first) => first,
        None => met.unwrap_or(Weight::ALL),
    };
    let (misfits, cautions) = fit::of(lane, release, strategy, today, &plan);
    let back = back::of(lane, release, strategy, today, &plan);
    Way {
        strategy: strategy.kind.name().to_string(),
        misfits,
        cautions,
        best: plan.best,
        worst: plan.worst,
        today: plan.today,
        exposed,
        extra_instances: plan.extra_instances,
        rollback: plan.rollback.clone(),
        harm: harm::of(release, strategy, today, &plan, back),
        back,
    }
}
