//! What the judge is shown of a rollout, and what it says.

use super::lane::Lane;
use super::model::Rollout;
use super::observed::Observed;
use super::plan::StepKind;
use super::rolling;
use crate::judge::{self, Budget, Comparison, Counts, Evidence, Judgement, Rule, Verdict};
use crate::spec::Objective;
use crate::units::{Timestamp, Weight};

/// The judgements of the step at hand, one for each objective. None while the candidate has no traffic.
pub fn judge_all(lane: &Lane, seen: &Observed, now: Timestamp) -> Vec<Judgement> {
    let Some(open) = &lane.open else { return Vec::new() };
    if lane.candidate_weight() == Weight::ZERO {
        return Vec::new();
    }
    open.release.spec.objectives.iter().map(|o| judge_one(lane, open, o, seen, now)).collect()
}

fn judge_one(lane: &Lane, open: &Rollout, objective: &Objective, seen: &Observed, now: Timestamp) -> Judgement {
    let epoch = lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    let weight = lane.candidate_weight();
    let candidate = seen.evidence.counts(epoch, &open.release.version, &objective.name);
    let step = open.plan.steps.get(open.step).map(|s| s.kind);
    let recent =
        |all: &std::collections::BTreeMap<String, Counts>| all.get(&objective.name).copied().unwrap_or_default();
    let stable = match &lane.stable {
        None => Comparison::None,
        Some(_) if weight == Weight::ALL || rolling::applies(open) => Comparison::Before(recent(&open.before)),
        Some(stable) => Comparison::Concurrent(seen.evidence.counts(epoch, &stable.version, &objective.name)),
    };
    let evidence = Evidence {
        candidate,
        stable,
        stable_ten_minutes: match weight == Weight::ALL {
            true => recent(&open.before),
            false => recent(&seen.evidence.stable_ten_minutes),
        },
        stable_ten_seconds: match weight == Weight::ALL {
            true => Counts::default(),
            false => recent(&seen.evidence.stable_ten_seconds),
        },
        candidate_weight: weight,
        next_weight: open.plan.next_weight(open.step),
        rule: match step {
            Some(StepKind::Shift { .. }) => Rule::PassOrFail,
            _ => Rule::FailOnly,
        },
        since: open.progress.confirmed.or(open.progress.shifted).unwrap_or(open.progress.entered),
        min_requests: open.strategy.min_requests,
        keys_known: true,
    };
    judge::judge(objective, &budget(open), &evidence, now)
}

/// The error rates of one objective in one attempt of one step.
fn budget(open: &Rollout) -> Budget {
    Budget::of_step(&open.strategy, open.plan.judged_steps(), open.release.spec.objectives.len() as u32)
}

/// What shows that stable itself is above one of its objectives now.
pub(super) fn stable_outage(lane: &Lane, seen: &Observed) -> Option<String> {
    let open = lane.open.as_ref()?;
    if lane.stable.is_none() || lane.candidate_weight() == Weight::ALL {
        return None;
    }
    open.release.spec.objectives.iter().find_map(|objective| {
        let counts = seen.evidence.stable_ten_seconds.get(&objective.name).copied().unwrap_or_default();
        judge::stable_outage(objective, counts)
    })
}

/// Judgements in one sentence.
pub fn sentence(judgements: &[Judgement]) -> String {
    if judgements.is_empty() {
        return "nothing to judge".to_string();
    }
    let short = |j: &Judgement| match j.verdict {
        Verdict::Inconclusive if j.n == 0 => format!("{}: no request seen", j.objective),
        _ => format!("{}: {}", j.objective, j.sentence),
    };
    judgements.iter().map(short).collect::<Vec<_>>().join("; ")
}
