//! What the judge is shown of a rollout, and what it says.

use super::book::NOW;
use super::bounds;
use super::cohorts;
use super::lane::{Lane, Release};
use super::mirroring;
use super::model::Rollout;
use super::observed::Observed;
use super::plan::StepKind;
use super::probing;
use super::rolling;
use super::workers;
use crate::judge::{self, Budget, Comparison, Counts, Evidence, Judgement, Rule, Stability, Verdict};
use crate::spec::Objective;
use crate::units::{Timestamp, Weight};

/// The judgements of the step at hand, one for each objective. None while the candidate has no traffic.
pub fn judge_all(lane: &Lane, seen: &Observed, now: Timestamp) -> Vec<Judgement> {
    let Some(open) = &lane.open else { return Vec::new() };
    let users = lane.is_exposed();
    let own = cohorts::at_hand(&lane.id, open).map(|cohort| cohort.name.as_str());
    let one = |objective: &Objective| {
        // Whoever reports does not say whether a user was one of a cohort.
        let told = users && !(own.is_some() && objective.bad.is_reported());
        let real = told.then(|| judge_one(lane, open, objective, own, seen, now));
        let beside = judge_beside(lane, open, objective, seen, now);
        real.into_iter().chain(beside).chain(judge_probes(lane, open, objective, seen, now))
    };
    open.release.spec.objectives.iter().flat_map(one).collect()
}

/// The same objective by each cohort that went first and is still on the candidate: what begins to fail for them after
/// their step fails the candidate too.
fn judge_beside(lane: &Lane, open: &Rollout, objective: &Objective, seen: &Observed, now: Timestamp) -> Vec<Judgement> {
    let known =
        bounds::quantile(objective).is_none() || bounds::of(lane, objective).is_some_and(|b| b.bound_us.is_some());
    if objective.bad.is_reported() || !known {
        return Vec::new();
    }
    cohorts::beside(lane)
        .into_iter()
        .map(|name| Judgement {
            cohort: Some(name.to_string()),
            ..judge_one(lane, open, objective, Some(name), seen, now)
        })
        .collect()
}

/// The same objective by probes, where the step at hand is judged by them: a stratum of its own.
fn judge_probes(
    lane: &Lane,
    open: &Rollout,
    objective: &Objective,
    seen: &Observed,
    now: Timestamp,
) -> Option<Judgement> {
    let stable = lane.stable_version().filter(|_| probing::by_probes(open) && !objective.bad.is_reported())?;
    let bound = bounds::of(lane, objective);
    if bounds::quantile(objective).is_some() && bound.is_none_or(|b| b.bound_us.is_none()) {
        return None;
    }
    let epoch = lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    let of = |version| seen.probes.counts(epoch, version, &objective.name);
    let stable = of(stable);
    let name = format!("{} (synthetic)", objective.name);
    let evidence = Evidence {
        candidate: of(&open.release.version),
        stable: Comparison::Concurrent(stable),
        stable_ten_minutes: stable,
        stable_ten_seconds: seen.probes.stable_ten_seconds.get(&objective.name).copied().unwrap_or_default(),
        candidate_weight: probing::HALF,
        next_weight: open.plan.next_weight(open.step),
        rule: match open.plan.steps.get(open.step).map(|s| s.kind) {
            Some(StepKind::Verify { .. }) => Rule::FailOnly,
            _ => Rule::PassOrFail,
        },
        waiting_since: open.progress.waiting_for_stable.get(&name).copied(),
        since: open.progress.confirmed.unwrap_or(open.progress.entered),
        min_requests: open.strategy.min_requests,
        // Nobody stands behind a probe.
        keys_known: false,
    };
    let judged = judge::judge(&bounds::filled(objective, bound), &budget(lane, open), &evidence, now);
    Some(Judgement {
        synthetic: true,
        sentence: format!(
            "by {}, {}",
            if mirroring::at_hand(lane) { "mirrored requests" } else { "probes" },
            judged.sentence
        ),
        ..judged
    })
}

/// Whether every objective is passed. Where users sent enough, their requests have to pass; where they sent fewer than
/// `min_requests`, probes may vouch for an objective instead, unless what these few saw already speaks against it.
/// Cohorts that are watched beside it have no say.
pub(super) fn passed(judgements: &[Judgement], min_requests: u64) -> bool {
    let pass = |j: &Judgement| j.verdict == Verdict::Pass;
    let vouched = |j: &Judgement| judgements.iter().any(|s| s.synthetic && s.objective == j.objective && pass(s));
    let beside = |j: &&Judgement| j.cohort.is_none();
    let users = judgements.iter().filter(beside).any(|j| !j.synthetic);
    let good = |j: &Judgement| match (j.synthetic, users) {
        (false, _) => pass(j) || (j.n < min_requests && !j.suspected && vouched(j)),
        (true, true) => true,
        (true, false) => pass(j),
    };
    judgements.iter().any(|j| j.cohort.is_none()) && judgements.iter().filter(beside).all(good)
}

/// One objective by users' requests: those of a cohort, or of everybody who is in none.
fn judge_one(
    lane: &Lane,
    open: &Rollout,
    objective: &Objective,
    cohort: Option<&str>,
    seen: &Observed,
    now: Timestamp,
) -> Judgement {
    let epoch = lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    let weight = lane.candidate_weight();
    let bound = bounds::of(lane, objective);
    if let Some(quantile) = bounds::quantile(objective)
        && bound.is_none_or(|b| b.bound_us.is_none())
    {
        return bounds::unknown(objective, quantile, bound);
    }
    let is_own = cohort.is_some() && cohort == cohorts::at_hand(&lane.id, open).map(|at_hand| at_hand.name.as_str());
    let ours = match cohort {
        Some(cohort) => seen.cohorts.get(cohort),
        None => Some(&seen.evidence),
    };
    let candidate = ours.map(|e| e.counts(epoch, &open.release.version, &objective.name)).unwrap_or_default();
    let step = open.plan.steps.get(open.step).map(|s| s.kind);
    let recent =
        |all: &std::collections::BTreeMap<String, Counts>| all.get(&objective.name).copied().unwrap_or_default();
    // What was counted under another bound says nothing about this one.
    let same_bound = |s: &Release| s.spec.objectives.iter().all(|o| o.name != objective.name || o.bad == objective.bad);
    let comparable = lane.stable.as_ref().is_none_or(same_bound);
    // By a bound that is stable's own, its minutes before are what the bound was taken from.
    let earlier = |all| match (bound, comparable) {
        (Some(bound), _) => bound.before(),
        (None, true) => recent(all),
        (None, false) => Counts::default(),
    };
    let meanwhile = |stable: &Release| seen.evidence.counts(epoch, &stable.version, &objective.name);
    let stable = match &lane.stable {
        None => Comparison::None,
        // Those who stay on stable are other people: a cohort is compared with everybody before, and they are heard.
        Some(stable) if cohort.is_some() => Comparison::Before {
            before: match bound {
                Some(bound) => bound.before(),
                None => earlier(&seen.evidence.stable_ten_minutes),
            },
            meanwhile: meanwhile(stable),
        },
        Some(stable) if weight == Weight::ALL || rolling::applies(open) => {
            Comparison::Before { before: earlier(&open.before), meanwhile: meanwhile(stable) }
        }
        Some(stable) => Comparison::Concurrent(meanwhile(stable)),
    };
    let evidence = Evidence {
        candidate,
        stable,
        stable_ten_minutes: match weight == Weight::ALL {
            true => earlier(&open.before),
            false => match (bound, &lane.stable) {
                (Some(bound), Some(stable)) => bound.before() + meanwhile(stable),
                _ => earlier(&seen.evidence.stable_ten_minutes),
            },
        },
        stable_ten_seconds: match weight == Weight::ALL {
            true => Counts::default(),
            // What was counted by the bound of an earlier rollout is not known from what is counted by this one's.
            false if bound.is_some() && !settled(open, now) => Counts::default(),
            false => recent(&seen.evidence.stable_ten_seconds),
        },
        candidate_weight: weight,
        next_weight: workers::next_weight(open),
        rule: match step {
            Some(StepKind::Shift { .. } | StepKind::Cohort { .. }) if cohort.is_none() || is_own => Rule::PassOrFail,
            _ => Rule::FailOnly,
        },
        waiting_since: match cohort.filter(|_| !is_own) {
            Some(cohort) => open.progress.waiting_for_stable.get(&Judgement::name_in(&objective.name, cohort)).copied(),
            None => open.progress.waiting_for_stable.get(&objective.name).copied(),
        },
        since: open.progress.confirmed.or(open.progress.shifted).unwrap_or(open.progress.entered),
        min_requests: open.strategy.min_requests,
        keys_known: true,
    };
    judge::judge(&bounds::filled(objective, bound), &budget(lane, open), &evidence, now)
}

/// Whether stable's last ten seconds were all counted by this rollout's own bounds.
fn settled(open: &Rollout, now: Timestamp) -> bool {
    let is_first = |s: &super::plan::Step| s.kind.weight().is_some_and(|w| w > Weight::ZERO);
    let Some(first) = open.plan.steps.iter().position(is_first) else { return false };
    let counted_since = match open.step > first {
        true => open.steps.get(first).and_then(|record| record.ended_at),
        false => open.progress.shifted,
    };
    counted_since.is_some_and(|at| now.since(at) >= NOW)
}

/// Whether everything has passed but what no evidence could ever decide: whose bound was to be stable's own, and there
/// is none.
pub(super) fn is_unknowable(lane: &Lane, judgements: &[Judgement]) -> bool {
    let unknown = |judgement: &Judgement| {
        let mut objectives = lane.open.iter().flat_map(|open| &open.release.spec.objectives);
        let found = objectives.find(|o| o.name == judgement.objective);
        found.is_some_and(|o| bounds::quantile(o).is_some() && bounds::of(lane, o).is_none_or(|b| b.bound_us.is_none()))
    };
    let users = || judgements.iter().filter(|j| !j.synthetic && j.cohort.is_none());
    users().any(unknown) && users().all(|j| j.verdict == Verdict::Pass || unknown(j))
}

/// The error rates of one objective in one attempt of one step.
fn budget(lane: &Lane, open: &Rollout) -> Budget {
    let objectives = open.release.spec.objectives.len();
    let strata = if open.from.is_some() { probing::strata(open.kind, &open.release.spec) } else { 1 };
    Budget::divided(open.strategy.alpha, open.strategy.beta, open.plan.judged_steps(), objectives)
        .among(strata)
        .beside(cohorts::beside(lane).len())
        .afresh(open.progress.attempt + open.progress.cut_offs)
}

/// Whether stable itself is above one of its objectives now.
pub(super) fn stability(lane: &Lane, seen: &Observed, now: Timestamp) -> Stability {
    let Some(open) = &lane.open else { return Stability::NotAbove };
    if lane.stable.is_none() || lane.candidate_weight() == Weight::ALL {
        return Stability::NotAbove;
    }
    let above = open.release.spec.objectives.iter().any(|objective| {
        if bounds::quantile(objective).is_some() && !settled(open, now) {
            return false;
        }
        let counts = seen.evidence.stable_ten_seconds.get(&objective.name).copied().unwrap_or_default();
        judge::stability(objective, counts) == Stability::Above
    });
    if above { Stability::Above } else { Stability::NotAbove }
}

/// Keeps, for each objective, since when its judgement has been waiting for stable's word.
pub(super) fn note_waiting(open: &mut Rollout, judgements: &[Judgement], now: Timestamp) {
    let waiting = &mut open.progress.waiting_for_stable;
    waiting.retain(|name, _| judgements.iter().any(|j| j.name() == *name && j.waiting_for_stable));
    for judgement in judgements.iter().filter(|j| j.waiting_for_stable) {
        waiting.entry(judgement.name()).or_insert(now);
    }
}

/// Judgements in one sentence.
pub fn sentence(judgements: &[Judgement]) -> String {
    if judgements.is_empty() {
        return "nothing to judge".to_string();
    }
    let short = |j: &Judgement| match j.verdict {
        Verdict::Inconclusive if j.n == 0 && j.sentence.starts_with(judge::NOTHING_REPORTED) => {
            format!("{}: {}", j.name(), judge::NOTHING_REPORTED)
        }
        Verdict::Inconclusive if j.n == 0 && !j.sentence.starts_with(bounds::NONE) => {
            format!("{}: no request seen", j.name())
        }
        _ => format!("{}: {}", j.name(), j.sentence),
    };
    judgements.iter().map(short).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(objective: &str, synthetic: bool, n: u64, verdict: Verdict) -> Judgement {
        Judgement {
            objective: objective.to_string(),
            verdict,
            n,
            bad: 0,
            lower: 0.0,
            upper: 1.0,
            stable: None,
            excess: None,
            pass_at: None,
            fail_at: None,
            times: None,
            synthetic,
            cohort: None,
            suspected: false,
            sentence: String::new(),
            waiting_for_stable: false,
            more_requests: None,
        }
    }

    #[test]
    fn probes_vouch_only_where_users_sent_too_few() {
        use Verdict::{Inconclusive, Pass};
        let users = |n, verdict| judgement("errors", false, n, verdict);
        let probes = |verdict| judgement("errors", true, 500, verdict);
        assert!(passed(&[users(100, Pass), probes(Inconclusive)], 50), "users speak for themselves");
        assert!(passed(&[users(0, Inconclusive), probes(Pass)], 50));
        assert!(passed(&[users(49, Inconclusive), probes(Pass)], 50));
        assert!(!passed(&[users(50, Inconclusive), probes(Pass)], 50), "probes never outvote users");
        assert!(!passed(&[users(0, Inconclusive), probes(Inconclusive)], 50));
        let orders = judgement("orders", false, 0, Inconclusive);
        assert!(!passed(&[users(0, Inconclusive), probes(Pass), orders], 50), "nobody vouches for orders");
        let bad = Judgement { suspected: true, ..users(20, Inconclusive) };
        assert!(!passed(&[bad, probes(Pass)], 50), "what a few users see is not outvoted by a page that answers");
        let staff = |verdict| Judgement { cohort: Some("staff".into()), ..users(90, verdict) };
        assert!(passed(&[users(100, Pass), staff(Inconclusive)], 50), "a cohort beside has no say");
        assert!(!passed(&[users(100, Inconclusive), staff(Pass)], 50), "neither way");
        assert!(!passed(&[staff(Pass)], 50));
        assert!(passed(&[probes(Pass)], 50), "before users meet it");
        assert!(!passed(&[probes(Pass), judgement("slow", true, 9, Inconclusive)], 50));
        assert!(!passed(&[], 50), "nothing passes by nothing");
    }
}
