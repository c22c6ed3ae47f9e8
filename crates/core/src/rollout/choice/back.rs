//! How long going back takes under a strategy, as figures: from the first step that users meet, and from the last.
//!
//! Where stable keeps its instances it is one routing change, as it was measured the last time; where it gave them up,
//! they are started again in batches. What was never measured is estimated as the plan's own times are.

use serde::{Deserialize, Serialize};

use super::super::estimate::{SHIFT, START_GUESS, Today};
use super::super::lane::{Lane, Release};
use super::super::plan::{Plan, StepKind};
use super::super::workers;
use crate::spec::{Strategy, StrategyKind};
use crate::units::Millis;

/// How long going back takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// From the first step that users meet.
    pub first: Millis,
    /// From the last step.
    pub last: Millis,
    /// What these two rest on.
    pub basis: Basis,
    /// How long it took the last time that this service went back in this way, a drill's time included.
    pub measured: Option<Millis>,
}

/// What a time to go back rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The last rollback or drill that went back in this way.
    Measured,
    /// The plan, and how long starting an instance took, or takes as a rule.
    Estimated,
    /// A limit that is declared: it is over sooner as a rule.
    AtMost,
}

impl Basis {
    /// As it is written in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Basis::Measured => "measured",
            Basis::Estimated => "estimated",
            Basis::AtMost => "at_most",
        }
    }
}

/// The way back from `plan`; `None` where there is none.
pub(super) fn of(lane: &Lane, release: &Release, strategy: &Strategy, today: &Today, plan: &Plan) -> Option<Back> {
    let stable = lane.stable.as_ref()?;
    if release.spec.is_worker() {
        return Some(of_worker(lane, release, strategy, today));
    }
    let StrategyKind::Rolling { batch, .. } = &strategy.kind else {
        let measured = today.lately.kept;
        let (took, basis) = measured.map_or((SHIFT, Basis::Estimated), |took| (took, Basis::Measured));
        return Some(Back { first: took, last: took, basis, measured });
    };
    let whole = release.instances(&lane.id);
    let batch = batch.of(whole).max(1);
    let start = today.lately.start.unwrap_or(START_GUESS);
    // As many of stable's as were replaced come back, a batch at a time, and each batch takes its share with it.
    let after = |updated: u32| {
        let missing = (stable.instances(&lane.id) * updated).div_ceil(whole.max(1));
        Millis((start.0 + SHIFT.0) * u64::from(missing.div_ceil(batch)))
    };
    let first = plan.steps.iter().find_map(|step| match step.kind {
        StepKind::Batch { updated, .. } => Some(updated),
        _ => None,
    });
    let measured = today.lately.replaced;
    Some(Back { first: after(first.unwrap_or(whole)), last: after(whole), basis: Basis::Estimated, measured })
}

/// A worker is back when the jobs at hand of those that go are done, and as many of stable's run as are declared.
fn of_worker(lane: &Lane, release: &Release, strategy: &Strategy, today: &Today) -> Back {
    let grace = release.spec.run.stop_grace;
    let start = today.lately.start.unwrap_or(START_GUESS);
    let (took, basis, measured) = match workers::in_effect(lane, release, strategy).kind {
        StrategyKind::Canary { .. } | StrategyKind::BlueGreen => (grace, Basis::AtMost, today.lately.kept),
        StrategyKind::Rolling { .. } => (grace.max(start), Basis::Estimated, today.lately.replaced),
        StrategyKind::Replace => (Millis(grace.0 + start.0), Basis::Estimated, today.lately.replaced),
    };
    Back { first: took, last: took, basis, measured }
}
