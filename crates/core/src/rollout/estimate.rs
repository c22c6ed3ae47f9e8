//! What a plan says beforehand: durations, requests needed, exposure, extra instances, the way back.

use std::collections::BTreeMap;

use super::bounds;
use super::choice::{limit_that_fits, steps_that_fit};
use super::lane::{Lane, Lately, Release};
use super::mirroring;
use super::model::RolloutKind;
use super::observed::Evidence;
use super::plan::{HOLD_BACK, Plan, Step, StepKind, counted, judged_steps};
use super::probing;
use super::rolling;
use super::schema;
use super::workers;
use crate::judge::{self, Budget, FAIL_KEYS, Forecast, LatencyBound};
use crate::names::VersionName;
use crate::spec::{Objective, Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// What is known of the service on the day of the plan.
#[derive(Debug, Clone, Default)]
pub struct Today {
    /// Requests per second, where there is traffic to go by.
    pub rate: Option<f64>,
    /// Stable's share of failed requests lately, 0 to 1.
    pub bad_share: f64,
    /// Users who can be told apart, where they are few enough to have been counted.
    pub users: Option<u64>,
    /// How long things took the last time.
    pub lately: Lately,
    /// Stable's latency over the last ten minutes: counts by upper bound in microseconds.
    pub latency: BTreeMap<u64, u64>,
}

impl Today {
    /// As the lane and what its gateways counted tell.
    pub fn of(lane: &Lane, evidence: &Evidence) -> Today {
        let epoch = lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
        Today {
            rate: evidence.rate,
            bad_share: evidence.stable_ten_minutes.values().map(|c| c.rate()).fold(0.0, f64::max),
            users: evidence.users(epoch),
            lately: lane.lately,
            latency: lane.stable_version().and_then(|v| evidence.latency.get(v)).cloned().unwrap_or_default(),
        }
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
        let next = kinds[index + 1..].iter().find_map(|k| k.weight()).unwrap_or(Weight::ALL);
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
                .unwrap_or_else(|| what(step, &release.version, stable)),
            undo: worker
                .then(|| workers::undo(step, &release.version, stable))
                .flatten()
                .unwrap_or_else(|| undo(step, kind, &release.version, stable)),
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
            false => way_back(lane, kind, strategy),
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
            false => rollback(lane, kind, strategy, today),
        },
        remarks: remarks(lane, kind, release, strategy, today, &steps)
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
            None => today.bad_share.min(objective.at_most / 2.0),
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

fn what(step: StepKind, version: &VersionName, stable: Option<&VersionName>) -> String {
    match step {
        StepKind::Prepare => "check that there is a way back; give up an older standby".to_string(),
        StepKind::Expand { schema, .. } => {
            format!("bring the database to schema {schema}, once, before the first instance of {version}")
        }
        StepKind::Contract { schema } => {
            format!("remove what only versions before schema {schema} need of the database, once")
        }
        StepKind::Scale { instances } => {
            format!("start {} of {version}, wait until healthy, smoke-test", counted(instances))
        }
        StepKind::Shift { weight, instances } => {
            format!(
                "{} of {version} ready and tested, then {weight} of the users; judged until passed",
                counted(instances)
            )
        }
        StepKind::Cohort { instances, .. } => format!(
            "{} of {version} ready and tested, then everybody in the cohort and nobody else; judged until passed",
            counted(instances)
        ),
        StepKind::Probe { mirrored: true, .. } => format!(
            "copies of users' requests to {version}, whose answers are thrown away; judged until passed, and no user meets \
             {version} yet"
        ),
        StepKind::Probe { .. } => {
            format!("probes to {version} and to what serves alike, judged until passed; no user meets {version} yet")
        }
        StepKind::Switch { .. } => match stable {
            Some(stable) => format!("all of the traffic from {stable} to {version} at once"),
            None => format!("all of the traffic to {version}"),
        },
        StepKind::Batch { updated, of: whole } => {
            format!("{updated} of {whole} instances on {version}, healthy and tested, then their share of the users")
        }
        StepKind::Replace { .. } => format!("stop what serves, then start {version}"),
        StepKind::Return => match stable {
            Some(stable) => format!("all of the traffic to {stable} again; {version} stands by as before"),
            None => "nothing to return to".to_string(),
        },
        StepKind::Verify { weight, length, .. } if weight < Weight::ALL => format!(
            "{weight} of the users for {length}, {} held back on stable to compare with; then test again and finish",
            HOLD_BACK
        ),
        StepKind::Verify { length, .. } => {
            format!("watch for {length} under the fail rule, then test again and finish")
        }
    }
}

fn undo(step: StepKind, kind: RolloutKind, version: &VersionName, stable: Option<&VersionName>) -> String {
    match (step, stable) {
        (StepKind::Prepare | StepKind::Return, _) => "nothing to undo".to_string(),
        (StepKind::Expand { revertible: true, .. }, _) => {
            format!("take it back once no instance of {version} is left")
        }
        (StepKind::Expand { .. }, _) => {
            "none: no revert is declared, so the database keeps it; what serves can live with that".to_string()
        }
        (StepKind::Contract { schema }, _) => {
            format!("none: versions that need less than schema {schema} can never serve again")
        }
        (StepKind::Scale { .. } | StepKind::Probe { .. }, _) => format!("stop {version}; no user has met it"),
        (_, None) => format!("stop {version}: there is no version to go back to"),
        (StepKind::Batch { .. }, Some(stable)) => {
            format!("put {stable} back in the place of the updated instances, newest first")
        }
        (_, Some(stable)) if kind == RolloutKind::Rollback => format!("leave the traffic on {stable}"),
        (_, Some(stable)) => format!("all of the traffic to {stable}, confirmed by the gateways; then stop {version}"),
    }
}

fn way_back(lane: &Lane, kind: RolloutKind, strategy: &Strategy) -> String {
    match (&lane.stable, kind, &strategy.kind) {
        (_, RolloutKind::Contract, _) => "none: what is removed does not come back".to_string(),
        (None, _, _) => "first release: there is nothing to go back to; its undo is to stop".to_string(),
        (Some(s), RolloutKind::Rollback, _) => format!("until the switch {} serves on", s.version),
        (Some(s), RolloutKind::Release, StrategyKind::Rolling { .. }) => {
            format!("start {} again, batch by batch, newest first, and give it its share back", s.version)
        }
        (Some(s), _, _) => {
            let kept = match s.instances(&lane.id) {
                1 => "its only instance".to_string(),
                n => format!("all of its {n} instances"),
            };
            format!("{} keeps {kept} warm; one routing change", s.version)
        }
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

fn rollback(lane: &Lane, kind: RolloutKind, strategy: &Strategy, today: &Today) -> String {
    let measured = |took: Option<Millis>| took.map(|took| format!(", {took} the last time"));
    if kind == RolloutKind::Contract {
        return "no way back".to_string();
    }
    match (&lane.stable, &strategy.kind) {
        (None, _) => "no way back on a first release".to_string(),
        (Some(_), StrategyKind::Rolling { .. }) if kind == RolloutKind::Release => {
            format!(
                "as long as starting the replaced instances takes{}",
                measured(today.lately.replaced).unwrap_or_default()
            )
        }
        (Some(_), _) => {
            format!(
                "one routing change{}",
                measured(today.lately.kept).unwrap_or_else(|| ", well under a second".to_string())
            )
        }
    }
}

fn remarks(
    lane: &Lane,
    kind: RolloutKind,
    release: &Release,
    strategy: &Strategy,
    today: &Today,
    steps: &[Step],
) -> Vec<String> {
    let mut remarks = schema::remarks(lane, kind, release);
    if lane.stable.is_none() {
        remarks
            .push("first release: there is no stable version to compare with, only the objectives' own bounds".into());
        return remarks;
    }
    match (kind, &lane.stable) {
        (RolloutKind::Rollback | RolloutKind::Contract, _) => return remarks,
        (RolloutKind::Drill { .. }, Some(stable)) => {
            remarks.push(format!(
                "all users are on {} for {}: what only {} can do is missing meanwhile",
                release.version, strategy.verify, stable.version
            ));
            return remarks;
        }
        _ => {}
    }
    if let Some(scaled) = lane.scaled.filter(|n| *n != release.instances(&lane.id)) {
        let declared = counted(release.instances(&lane.id));
        remarks.push(format!("somebody scaled it to {scaled}; this release declares {declared}, and that will count"));
    }
    if let Some(standby) = &lane.standby
        && standby.release.version != release.version
    {
        remarks.push(format!("step \"prepare\" gives up {} as standby", standby.release.version));
    }
    match &strategy.kind {
        StrategyKind::BlueGreen | StrategyKind::Replace => {
            let before = match (mirroring::before_users(release), probing::before_users(release)) {
                (Some(_), Some(_)) => "only smoke tests, mirrored requests and probes stand",
                (Some(_), None) => "only smoke tests and mirrored requests stand",
                (None, Some(_)) => "only smoke tests and probes stand",
                (None, None) => "only smoke tests stand",
            };
            remarks.push(format!(
                "100% of the users are exposed at once by the switch; {before} before it, \
                 and afterwards the comparison is with stable's minutes before"
            ));
        }
        StrategyKind::Rolling { .. } => remarks.push("no standby is kept: going back means starting instances".into()),
        StrategyKind::Canary { step_limit, .. } => {
            let mut starved = Vec::new();
            for step in steps {
                if step.today.is_some_and(|t| t.0 >= step_limit.0) {
                    starved.push(step.name.as_str());
                }
            }
            if !starved.is_empty() {
                remarks.push(starved_steps(&starved, release, strategy, *step_limit, today));
            }
            remarks.extend(today.users.and_then(|users| too_few_users(users, steps)));
        }
    }
    if let (Some(probe), true) = (&release.spec.probe, steps.iter().any(|s| probes_in(s.kind))) {
        remarks.push(format!(
            "{} synthetic probes a second go to each version while a step is judged; they are kept apart from users' \
             requests, and pass a step only where users send fewer than {}",
            probe.rate, strategy.min_requests
        ));
    }
    remarks
}

/// What to declare where steps do not get enough requests for a verdict.
fn starved_steps(names: &[&str], release: &Release, strategy: &Strategy, step_limit: Millis, today: &Today) -> String {
    let what = format!(
        "at today's traffic {} will not have enough requests within {step_limit} and will ask a person",
        match names {
            [one] => format!("step {one}"),
            many => format!("steps {}", many.join(", ")),
        }
    );
    let longer = limit_that_fits(release, strategy, today).map(|limit| format!("step_limit: {limit}"));
    let fitting = steps_that_fit(release, strategy, today).map(|(steps, takes)| {
        let steps = steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("steps: [{steps}] (verdicts in about {takes})")
    });
    let instead: Vec<String> = fitting.into_iter().chain(longer).collect();
    match instead.is_empty() {
        true => format!("{what}; no steps fit such little traffic: see slipway plan --compare"),
        false => format!("{what}; what fits: {}", instead.join(", or ")),
    }
}

/// Objectives of a release that requests decide.
pub(super) fn counted_objectives(release: &Release) -> usize {
    release.spec.objectives.len()
}

fn probes_in(step: StepKind) -> bool {
    matches!(step, StepKind::Shift { .. } | StepKind::Cohort { .. } | StepKind::Probe { .. })
}

/// The first step that so few users meet that the judge could not tell a broken version from one unhappy user.
fn too_few_users(users: u64, steps: &[Step]) -> Option<String> {
    let met = |step: &&Step| step.exposed > Weight::ZERO && (users as f64 * step.exposed.share()) < FAIL_KEYS as f64;
    let step = steps.iter().find(met)?;
    Some(format!(
        "only about {users} users can be told apart, so fewer than {FAIL_KEYS} meet step {}: whatever happens to them, \
         the step is held for a person and not taken back; a larger first step fits better",
        step.name
    ))
}
