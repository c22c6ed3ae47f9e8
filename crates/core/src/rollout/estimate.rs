//! What a plan says beforehand: durations, requests needed, exposure, extra instances, the way back.

use std::collections::BTreeMap;

use super::bounds;
use super::lane::{Lane, Release};
use super::lately::Lately;
use super::model::RolloutKind;
use super::observed::Evidence;
use super::plan::{HOLD_BACK, Plan, Step, StepKind, judged_steps};
use super::probing;
use super::rolling;
use super::wording;
use super::workers;
use crate::judge::{self, Budget, Forecast, LatencyBound};
use crate::spec::{Objective, Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// What is known of the service on the day of the plan.
#[derive(Debug, Clone, Default)]
pub struct Today {
    /// Requests per second, where there is traffic to go by.
    pub rate: Option<f64>,
    /// Stable's share of bad events lately, 0 to 1, by objective.
    pub bad_shares: BTreeMap<String, f64>,
    /// Users who can be told apart, where they are few enough to have been counted.
    pub users: Option<u64>,
    /// How long things took the last time.
    pub lately: Lately,
    /// Stable's latency over the last ten minutes: counts by upper bound in microseconds.
    pub latency: BTreeMap<u64, u64>,
    /// What each of stable's objectives counted over the up to ten minutes before, a second.
    pub counted: BTreeMap<String, f64>,
    /// How long that was; absent where nothing was ever counted.
    pub looked: Option<Millis>,
}

impl Today {
    /// As the lane and what its gateways counted tell.
    pub fn of(lane: &Lane, evidence: &Evidence) -> Today {
        let epoch = lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
        let seconds = evidence.looked.unwrap_or_default().0.max(1_000) as f64 / 1_000.0;
        Today {
            rate: evidence.rate,
            bad_shares: evidence.stable_ten_minutes.iter().map(|(name, c)| (name.clone(), c.rate())).collect(),
            users: evidence.users(epoch),
            lately: lane.lately,
            latency: lane.stable_version().and_then(|v| evidence.latency.get(v)).cloned().unwrap_or_default(),
            counted: evidence.stable_ten_minutes.iter().map(|(name, c)| (name.clone(), c.n as f64 / seconds)).collect(),
            looked: evidence.looked,
        }
    }

    /// Stable's share of bad events by `objective`; 0 where none was counted.
    pub(super) fn bad_share(&self, objective: &Objective) -> f64 {
        self.bad_shares.get(&objective.name).copied().unwrap_or_default()
    }
}

/// Starting and testing instances, where it was never measured.
pub(super) const START_GUESS: Millis = Millis::from_secs(2);
/// Beyond what its health check and smoke tests may take, how long an instance may need to be ready.
const START_SLACK: Millis = Millis::from_secs(60);
/// A routing change, confirmed.
pub(super) const SHIFT: Millis = Millis(50);

/// Completes bare steps to a plan.
pub(super) fn complete(
    lane: &Lane,
    kind: RolloutKind,
    release: &Release,
    strategy: &Strategy,
    today: &Today,
    bare: Vec<(StepKind, String)>,
) -> Plan {
    let stable = lane.stable_version();
    let bounds = bounds::take(lane, kind, release, &today.latency);
    let worker = release.spec.is_worker() && kind != RolloutKind::Contract;
    let kinds: Vec<StepKind> = bare.iter().map(|(k, _)| *k).collect();
    let judged = judged_steps(kinds.iter().copied());
    let strata = if stable.is_some() { probing::strata(kind, &release.spec) } else { 1 };
    let mut have = 0;
    let mut steps = Vec::with_capacity(bare.len());
    for (index, (step, name)) in bare.into_iter().enumerate() {
        let starts = step.instances() > have;
        have = have.max(step.instances());
        let next = workers::vouched(worker, &kinds, index);
        let requests = match step {
            StepKind::Shift { weight, .. } => requests(release, strategy, judged, (weight, next), today),
            StepKind::Probe { .. } => requests(release, strategy, judged, (probing::HALF, next), today),
            // However many of a cohort come: that many requests of it.
            StepKind::Cohort { .. } => requests(release, strategy, judged, (HOLD_BACK, next), today)
                .into_iter()
                .filter(|(name, _)| release.spec.objectives.iter().any(|o| o.name == *name && !o.bad.is_reported()))
                .collect(),
            _ => Vec::new(),
        };
        // Where users are few, probes pass a step: as many as users' requests would be needed at half of the traffic.
        let probes = match (step, strata) {
            (StepKind::Shift { .. } | StepKind::Cohort { .. } | StepKind::Probe { .. }, 2) => {
                let needed = self::requests(release, strategy, judged, (probing::HALF, next), today);
                let most = needed.iter().map(|(_, n)| *n).max();
                let mirrored = matches!(step, StepKind::Probe { mirrored: true, .. });
                let copies = release.spec.mirror.as_ref().zip(today.rate).filter(|(_, rate)| *rate > 0.0);
                let rate = match mirrored {
                    true => copies.map(|(mirror, rate)| rate * mirror.share.share()),
                    false => release.spec.probe.as_ref().map(|probe| probe.rate),
                };
                rate.zip(most).map(|(rate, most)| most as f64 / rate)
            }
            _ => None,
        };
        let (best, mut worst, now) = lengths(step, starts, release, strategy, today, &requests, probes);
        if let (StepKind::Replace { .. }, Some(stable)) = (step, &lane.stable) {
            worst.0 += workers::patience(stable).0;
        }
        steps.push(Step {
            name,
            kind: step,
            what: worker
                .then(|| workers::what(step, release, lane.stable.as_ref()))
                .flatten()
                .unwrap_or_else(|| wording::what(step, &release.version, stable)),
            undo: worker
                .then(|| workers::undo(step, &release.version, stable))
                .flatten()
                .unwrap_or_else(|| wording::undo(step, kind, &release.version, stable)),
            exposed: step.weight().unwrap_or(Weight::ZERO),
            requests,
            best,
            worst,
            today: now,
        });
    }
    let points = steps.iter().filter(|s| s.kind.is_point_of_no_return()).map(|s| s.name.clone()).collect();
    let sum = |f: &dyn Fn(&Step) -> Millis| Millis(steps.iter().map(|s| f(s).0).sum());
    Plan {
        strategy: name(kind, strategy).to_string(),
        version: release.version.clone(),
        from: stable.cloned(),
        way_back: match worker {
            true => workers::way_back(lane, kind, strategy),
            false => wording::way_back(lane, kind, strategy),
        },
        extra_instances: match worker {
            true => workers::extra(lane, release, strategy, kind),
            false => extra(lane, release, strategy, kind),
        },
        points_of_no_return: points,
        worker,
        best: sum(&|s| s.best),
        worst: sum(&|s| s.worst),
        today: steps.iter().map(|s| s.today).sum::<Option<Millis>>(),
        rollback: match worker {
            true => workers::rollback(lane, kind, strategy, today),
            false => wording::rollback(lane, kind, strategy, today),
        },
        remarks: wording::remarks(lane, kind, release, strategy, today, &steps)
            .into_iter()
            .chain(bounds.iter().map(LatencyBound::sentence))
            .collect(),
        steps,
        bounds,
    }
}

impl std::iter::Sum for Millis {
    fn sum<I: Iterator<Item = Millis>>(iter: I) -> Millis {
        Millis(iter.map(|m| m.0).sum())
    }
}

/// The strategy's name as it is shown: a rollback has none of the declared ones.
pub(super) fn name(kind: RolloutKind, strategy: &Strategy) -> &'static str {
    match kind {
        RolloutKind::Rollback => "rollback",
        RolloutKind::Drill { .. } => "drill",
        RolloutKind::Contract => "contract",
        RolloutKind::Release => strategy.kind.name(),
    }
}

/// Requests that each objective's verdict needs if the candidate is as good as stable was lately.
pub(super) fn requests(
    release: &Release,
    strategy: &Strategy,
    judged: usize,
    weights: (Weight, Weight),
    today: &Today,
) -> Vec<(String, u64)> {
    let budget = Budget::divided(strategy.alpha, strategy.beta, judged, release.spec.objectives.len())
        .among(probing::strata(RolloutKind::Release, &release.spec));
    let of = |objective: &Objective| {
        let rate = match bounds::one(objective, &today.latency) {
            None => today.bad_share(objective).min(objective.at_most / 2.0),
            Some(bound) if bound.bound_us.is_some() => bound.before().rate(),
            // Without a bound no number of requests would do.
            Some(_) => return None,
        };
        let forecast = Forecast {
            weight: weights.0,
            next_weight: weights.1,
            stable_rate: rate,
            candidate_rate: rate,
            min_requests: strategy.min_requests,
        };
        Some((objective.name.clone(), judge::requests_needed(objective, &budget, &forecast)?))
    };
    release.spec.objectives.iter().filter_map(of).collect()
}

fn lengths(
    step: StepKind,
    starts: bool,
    release: &Release,
    strategy: &Strategy,
    today: &Today,
    requests: &[(String, u64)],
    probes: Option<f64>,
) -> (Millis, Millis, Option<Millis>) {
    let smoke: u64 = release.spec.smoke.iter().map(|t| t.timeout.0).sum();
    let (mut best, mut worst) = match starts {
        true => (today.lately.start.unwrap_or(START_GUESS), start_limit(release)),
        false => (Millis(0), Millis(0)),
    };
    if step.weight().is_some() {
        best.0 += SHIFT.0;
        worst.0 += 30_000;
    }
    let mut now = Some(best);
    match step {
        StepKind::Expand { .. } | StepKind::Contract { .. } => {
            worst.0 += release.spec.migrate.as_ref().map_or(0, |migrate| migrate.timeout.0);
        }
        StepKind::Shift { weight, .. } => {
            let limit = step_limit(strategy);
            let needed = requests.iter().map(|(_, n)| *n).max().unwrap_or(0);
            let users = today.rate.filter(|r| *r > 0.0).map(|rate| needed as f64 / (rate * weight.share()));
            let secs = users.into_iter().chain(probes).reduce(f64::min);
            now = secs.map(|secs| Millis(best.0 + ((secs * 1000.0) as u64).min(limit.0)));
            best.0 += 1000;
            worst.0 += limit.0;
        }
        StepKind::Probe { .. } | StepKind::Cohort { .. } => {
            let limit = step_limit(strategy);
            now = probes.map(|secs| Millis(best.0 + ((secs * 1000.0) as u64).min(limit.0)));
            best.0 += 1000;
            worst.0 += limit.0;
        }
        StepKind::Batch { .. } => {
            let settle = rolling::settle(&release.spec.health);
            best.0 += settle.0;
            worst.0 += settle.0;
            now = Some(best);
        }
        StepKind::Verify { length, .. } => {
            best.0 += length.0;
            worst.0 += length.0 + smoke;
            now = Some(best);
        }
        _ => {}
    }
    (best, worst, now)
}

/// How long the instances of a step may take to be ready: a first try, a second one, and slack for unpacking.
pub(super) fn start_limit(release: &Release) -> Millis {
    let smoke: u64 = release.spec.smoke.iter().map(|t| t.timeout.0).sum();
    Millis(release.spec.health.start_limit.0 * 2 + smoke + START_SLACK.0)
}

/// How long one step may wait for a verdict.
pub(super) fn step_limit(strategy: &Strategy) -> Millis {
    match strategy.kind {
        StrategyKind::Canary { step_limit, .. } => step_limit,
        _ => Millis::from_secs(600),
    }
}

fn extra(lane: &Lane, release: &Release, strategy: &Strategy, kind: RolloutKind) -> u32 {
    let wanted = release.instances(&lane.id);
    match (&lane.stable, kind, &strategy.kind) {
        (None, _, _) | (_, RolloutKind::Contract, _) => 0,
        (Some(_), RolloutKind::Release, StrategyKind::Rolling { batch, min_ready }) => {
            batch.of(wanted).max(1).saturating_sub(wanted - min_ready.of(wanted))
        }
        _ => wanted,
    }
}

/// Objectives of a release that requests decide.
pub(super) fn counted_objectives(release: &Release) -> usize {
    release.spec.objectives.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;

    const SHOP: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
objectives:
  - { name: errors, bad: failed, at_most: 1% }
  - { name: latency, bad: slower_than 300ms, at_most: 10% }
environments:
  production:
    instances: 4
    strategy: { canary: { steps: [5%, 50%, 100%] } }
    cohorts: [{ name: staff, cookie: staff=1 }, { name: beta, cookie: beta=1 }]
";
    const COURIER: &str = "
service: courier
kind: worker
run: { command: [./courier] }
health: { running_for: 5s }
objectives: [{ name: jobs, bad: outcome job_failed, of: job_taken, at_most: 1% }]
environments:
  production: { instances: 4, strategy: { canary: { steps: [25%, 50%, 100%] } } }
";

    #[test]
    fn the_plan_asks_for_what_the_judge_will_ask_for() {
        for (file, name) in [(SHOP, "5%"), (COURIER, "1 of 4")] {
            let lane = fixture::at_step(file, name);
            let mut open = lane.open.clone().unwrap();
            let judged = judged_steps(open.plan.steps.iter().map(|step| step.kind));
            let steps = open.plan.steps.clone();
            for (index, step) in steps.iter().enumerate().filter(|(_, step)| !step.requests.is_empty()) {
                open.step = index;
                let next = workers::next_weight(&open);
                assert!(next > Weight::ZERO, "{}", step.name);
                let here = if step.exposed == Weight::ZERO { HOLD_BACK } else { step.exposed };
                let asks = requests(&open.release, &open.strategy, judged, (here, next), &Today::default());
                assert_eq!(step.requests, asks, "{file} {}", step.name);
            }
            assert!(steps.iter().filter(|step| !step.requests.is_empty()).count() >= 2);
        }
    }

    #[test]
    fn each_objective_has_a_rate_of_its_own() {
        let asked = fixture::asked(SHOP, 1);
        let half = Weight::from_bp(5_000).unwrap();
        let needed = |latency: f64| {
            let today = Today { bad_shares: BTreeMap::from([("latency".to_string(), latency)]), ..Today::default() };
            requests(&asked.release, &asked.strategy, 3, (half, half), &today)
        };
        let (calm, slow) = (needed(0.0), needed(0.04));
        assert_eq!(calm[0], slow[0], "that requests are slow says nothing of those that fail");
        assert!(slow[1].1 > calm[1].1, "{calm:?} {slow:?}");
    }
}
