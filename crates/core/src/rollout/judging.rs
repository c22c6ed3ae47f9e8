//! What the judge is shown of a rollout, and what it says.

use super::lane::{Lane, Release};
use super::model::Rollout;
use super::observed::Observed;
use super::plan::StepKind;
use super::rolling;
use crate::judge::{self, Budget, Comparison, Counts, Evidence, Judgement, Rule, Stability, Verdict};
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
    // What was counted under another bound says nothing about this one.
    let same_bound = |s: &Release| s.spec.objectives.iter().all(|o| o.name != objective.name || o.bad == objective.bad);
    let comparable = lane.stable.as_ref().is_none_or(same_bound);
    let earlier = |all| if comparable { recent(all) } else { Counts::default() };
    let stable = match &lane.stable {
        None => Comparison::None,
        Some(stable) if weight == Weight::ALL || rolling::applies(open) => Comparison::Before {
            before: earlier(&open.before),
            meanwhile: seen.evidence.counts(epoch, &stable.version, &objective.name),
        },
        Some(stable) => Comparison::Concurrent(seen.evidence.counts(epoch, &stable.version, &objective.name)),
    };
    let evidence = Evidence {
        candidate,
        stable,
        stable_ten_minutes: match weight == Weight::ALL {
            true => earlier(&open.before),
            false => earlier(&seen.evidence.stable_ten_minutes),
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
        waiting_since: open.progress.waiting_for_stable.get(&objective.name).copied(),
        since: open.progress.confirmed.or(open.progress.shifted).unwrap_or(open.progress.entered),
        min_requests: open.strategy.min_requests,
        keys_known: true,
    };
    judge::judge(objective, &budget(open), &evidence, now)
}

/// The error rates of one objective in one attempt of one step.
fn budget(open: &Rollout) -> Budget {
    let objectives = open.release.spec.objectives.len();
    Budget::divided(open.strategy.alpha, open.strategy.beta, open.plan.judged_steps(), objectives)
}

/// Whether stable itself is above one of its objectives now.
pub(super) fn stability(lane: &Lane, seen: &Observed) -> Stability {
    let Some(open) = &lane.open else { return Stability::NotAbove };
    if lane.stable.is_none() || lane.candidate_weight() == Weight::ALL {
        return Stability::NotAbove;
    }
    let above = open.release.spec.objectives.iter().any(|objective| {
        let counts = seen.evidence.stable_ten_seconds.get(&objective.name).copied().unwrap_or_default();
        judge::stability(objective, counts) == Stability::Above
    });
    if above { Stability::Above } else { Stability::NotAbove }
}

/// Keeps, for each objective, since when its judgement has been waiting for stable's word.
pub(super) fn note_waiting(open: &mut Rollout, judgements: &[Judgement], now: Timestamp) {
    let waiting = &mut open.progress.waiting_for_stable;
    waiting.retain(|name, _| judgements.iter().any(|j| j.objective == *name && j.waiting_for_stable));
    for judgement in judgements.iter().filter(|j| j.waiting_for_stable) {
        waiting.entry(judgement.objective.clone()).or_insert(now);
    }
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
