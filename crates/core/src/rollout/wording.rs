//! What a plan says in words: what a step does, what undoes it, the way back, and what somebody should know beforehand.

use super::choice::{limit_that_fits, steps_that_fit};
use super::estimate::Today;
use super::lane::{Lane, Release};
use super::mirroring;
use super::model::RolloutKind;
use super::plan::{HOLD_BACK, Step, StepKind, counted};
use super::probing;
use super::schema;
use crate::judge::FAIL_KEYS;
use crate::names::VersionName;
use crate::spec::{Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// What a step does.
pub(super) fn what(step: StepKind, version: &VersionName, stable: Option<&VersionName>) -> String {
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

/// What undoes a step.
pub(super) fn undo(step: StepKind, kind: RolloutKind, version: &VersionName, stable: Option<&VersionName>) -> String {
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

/// The way back of all of it.
pub(super) fn way_back(lane: &Lane, kind: RolloutKind, strategy: &Strategy) -> String {
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

/// How long the way back takes.
pub(super) fn rollback(lane: &Lane, kind: RolloutKind, strategy: &Strategy, today: &Today) -> String {
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

/// What somebody should know before this is begun.
pub(super) fn remarks(
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
