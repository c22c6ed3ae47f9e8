//! Latency bounds that are stable's own: taken when a plan is made, fixed in it, and in force until the next one's.
//! Nothing is measured here; what the gateways counted is handed in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::lane::{Lane, Release};
use super::model::RolloutKind;
use crate::judge::{Judgement, LatencyBound, Quantile, Verdict};
use crate::spec::{Bad, Objective};

/// How the sentence of a judgement without a bound begins.
pub(super) const NONE: &str = "no bound: ";

/// Takes the bounds that `release` asks for from the latency of what serves.
pub(super) fn take(
    lane: &Lane,
    kind: RolloutKind,
    release: &Release,
    latency: &BTreeMap<u64, u64>,
) -> Vec<LatencyBound> {
    if lane.stable.is_none() || matches!(kind, RolloutKind::Rollback | RolloutKind::Contract) {
        return Vec::new();
    }
    release.spec.objectives.iter().filter_map(|o| one(o, latency)).collect()
}

/// The bound that an objective asks for, if it asks for one.
pub(super) fn one(objective: &Objective, latency: &BTreeMap<u64, u64>) -> Option<LatencyBound> {
    Some(LatencyBound::take(&objective.name, quantile(objective)?, latency.iter()))
}

/// Which quantile of stable's latency an objective asks for, if it does.
pub(super) fn quantile(objective: &Objective) -> Option<Quantile> {
    match objective.bad {
        Bad::SlowerThanStable { quantile, .. } => Some(quantile),
        _ => None,
    }
}

/// What is in force for an objective: the open rollout's own while it counts by them, otherwise that of the one that brought stable.
pub(super) fn of<'a>(lane: &'a Lane, objective: &Objective) -> Option<&'a LatencyBound> {
    let asked = quantile(objective)?;
    let own = lane.counts_by().map(|open| &open.plan.bounds).filter(|bounds| !bounds.is_empty());
    own.unwrap_or(&lane.bounds).iter().find(|b| b.objective == objective.name && b.quantile == asked)
}

/// The objective with its bound filled in, for the judge.
pub(super) fn filled<'a>(objective: &'a Objective, bound: Option<&LatencyBound>) -> Cow<'a, Objective> {
    match (&objective.bad, bound) {
        (Bad::SlowerThanStable { quantile, .. }, Some(LatencyBound { bound_us: Some(us), .. })) => {
            Cow::Owned(Objective {
                bad: Bad::SlowerThanStable { quantile: *quantile, bound_us: Some(*us) },
                ..objective.clone()
            })
        }
        _ => Cow::Borrowed(objective),
    }
}

/// What is said of an objective whose bound is missing: nothing is counted by it, so nothing is known.
pub(super) fn unknown(objective: &Objective, quantile: Quantile, bound: Option<&LatencyBound>) -> Judgement {
    let why = bound
        .map_or_else(|| format!("there is no stable version whose {quantile} could be taken"), LatencyBound::why_none);
    Judgement {
        objective: objective.name.clone(),
        verdict: Verdict::Inconclusive,
        n: 0,
        bad: 0,
        lower: 0.0,
        upper: 1.0,
        stable: None,
        excess: None,
        pass_at: None,
        fail_at: None,
        times: None,
        synthetic: false,
        cohort: None,
        suspected: false,
        sentence: format!("{NONE}{why}"),
        waiting_for_stable: false,
        more_requests: None,
    }
}
