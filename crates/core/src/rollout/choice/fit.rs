//! Why a strategy does not fit a service, and what should be known before it is taken.

use super::super::estimate::Today;
use super::super::lane::{Lane, Release};
use super::super::plan::{Plan, Step};
use super::super::schema;
use super::steps::{limit_that_fits, steps_that_fit};
use crate::spec::{Strategy, StrategyKind};
use crate::units::Millis;

/// Of what was counted for a shorter time than this, silence says nothing.
const BRIEF: Millis = Millis::from_secs(60);

/// Whether the strategy is one for such a service at all.
pub(super) fn applies(release: &Release, strategy: &Strategy) -> bool {
    match release.spec.is_worker() {
        true => strategy.kind != StrategyKind::BlueGreen,
        false => strategy.kind != StrategyKind::Replace,
    }
}

/// Misfits and cautions of `strategy`, a sentence each.
pub(super) fn of(
    lane: &Lane,
    release: &Release,
    strategy: &Strategy,
    today: &Today,
    plan: &Plan,
) -> (Vec<String>, Vec<String>) {
    let (mut misfits, mut cautions) = (Vec::new(), Vec::new());
    misfits.extend(schema::fits(lane, release).err());
    misfits.extend(release.spec.fits(&strategy.kind).err().map(|unfit| unfit.why.to_string()));
    if lane.stable.is_none() {
        return (misfits, cautions);
    }
    if release.spec.is_worker() {
        if let StrategyKind::Canary { step_limit, .. } = &strategy.kind
            && misfits.is_empty()
        {
            reported(lane, release, today, *step_limit, plan, &mut misfits, &mut cautions);
        }
        // What the strategy costs matters where it could be taken.
        cautions.extend(worker(lane, release, strategy).filter(|_| misfits.is_empty()));
        cautions.extend(database(lane, release));
        return (misfits, cautions);
    }
    match &strategy.kind {
        StrategyKind::Canary { step_limit, .. } => {
            canary(release, strategy, today, *step_limit, plan, &mut misfits, &mut cautions);
        }
        StrategyKind::BlueGreen => blue_green(release, today, &mut misfits, &mut cautions),
        StrategyKind::Rolling { .. } | StrategyKind::Replace => rolling(lane, release, &mut misfits, &mut cautions),
    }
    cautions.extend(database(lane, release));
    (misfits, cautions)
}

/// Whether what is reported of a worker's jobs is enough for a canary's verdicts.
fn reported(
    lane: &Lane,
    release: &Release,
    today: &Today,
    step_limit: Millis,
    plan: &Plan,
    misfits: &mut Vec<String>,
    cautions: &mut Vec<String>,
) {
    for objective in &release.spec.objectives {
        let name = &objective.name;
        let seen = today.counted.get(name).copied().filter(|rate| *rate > 0.0);
        let before = lane.stable.iter().flat_map(|stable| &stable.spec.objectives).any(|o| o.name == *name);
        let Some(rate) = seen else {
            match before {
                true if today.looked.is_some_and(|looked| looked < BRIEF) => cautions.push(format!(
                    "what {name} counts has been counted anew for less than {BRIEF}: whether a step would get a verdict is not known yet"
                )),
                true => misfits.push(format!("nothing that {name} counts was reported in the last ten minutes")),
                false => cautions.push(format!("nobody has reported yet what {name} counts; a step would wait for it")),
            }
            continue;
        };
        let starved = |step: &&Step| {
            let needed = step.requests.iter().find(|(objective, _)| objective == name).map_or(0, |(_, n)| *n);
            let share = step.exposed.share();
            share > 0.0 && needed as f64 / (rate * share) * 1_000.0 >= step_limit.0 as f64
        };
        let starved: Vec<&str> = plan.steps.iter().filter(starved).map(|step| step.name.as_str()).collect();
        if !starved.is_empty() {
            misfits.push(format!(
                "at {} outcomes/s that {name} counts {} would get no verdict within {step_limit}",
                rounded(rate),
                listed("step", &starved)
            ));
        }
    }
}

/// What a worker's strategy costs.
fn worker(lane: &Lane, release: &Release, strategy: &Strategy) -> Option<String> {
    let stable = lane.stable.as_ref()?;
    Some(match &strategy.kind {
        StrategyKind::Replace => format!(
            "nobody takes jobs from the stop of {} until the new version is up; what it has at hand may take {}",
            stable.version, stable.spec.run.stop_grace
        ),
        StrategyKind::Canary { .. } | StrategyKind::BlueGreen => format!(
            "{} of both versions take jobs side by side at the end: what they share must bear that",
            release.instances(&lane.id) + stable.instances(&lane.id)
        ),
        StrategyKind::Rolling { .. } => match release.spec.objectives.is_empty() {
            true => "it is judged by health and exits alone: no objective is declared".to_string(),
            false => "going back means starting the replaced instances again".to_string(),
        },
    })
}

fn canary(
    release: &Release,
    strategy: &Strategy,
    today: &Today,
    step_limit: Millis,
    plan: &Plan,
    misfits: &mut Vec<String>,
    cautions: &mut Vec<String>,
) {
    if release.spec.one_version {
        misfits.push("it is declared one_version, and a canary serves two side by side for as long as it lasts".into());
    }
    if release.spec.stateful {
        misfits.push(
            "it is declared stateful: users of the new instances would lose what those keep when they are taken back"
                .into(),
        );
    }
    let starved: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.today.is_some_and(|time| time >= step_limit))
        .map(|step| step.name.as_str())
        .collect();
    match (today.rate.filter(|rate| *rate > 0.0), starved.is_empty()) {
        (None, _) => misfits.push("no traffic has been seen that a verdict could rest on".to_string()),
        (Some(_), true) => {}
        (Some(rate), false) => {
            let sentence = format!(
                "at {} requests/s {} would get no verdict within {step_limit}",
                rounded(rate),
                listed("step", &starved)
            );
            match (steps_that_fit(release, strategy, today), limit_that_fits(release, strategy, today)) {
                (Some((steps, _)), _) => cautions.push(format!(
                    "{sentence}; steps: [{}] would",
                    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                )),
                (None, Some(limit)) => {
                    misfits.push(format!("{sentence}; a step_limit of {limit} would be needed"));
                }
                (None, None) => misfits.push(format!("{sentence}, nor within a day")),
            }
        }
    }
}

fn blue_green(release: &Release, today: &Today, misfits: &mut Vec<String>, cautions: &mut Vec<String>) {
    if release.spec.stateful {
        misfits.push(
            "it is declared stateful: a second set of instances would begin without what the first ones keep".into(),
        );
    }
    if today.rate.is_some_and(|rate| rate > 0.0) {
        cautions.push("everybody meets the version at the switch: only smoke tests stand before it".into());
    }
}

fn rolling(lane: &Lane, release: &Release, misfits: &mut Vec<String>, cautions: &mut Vec<String>) {
    if release.spec.one_version {
        misfits.push(
            "it is declared one_version, and batches serve beside the instances that are not yet replaced".into(),
        );
    }
    let instances = release.instances(&lane.id);
    match (instances, release.spec.stateful) {
        (1, false) => misfits.push(
            "it has one instance: its only batch is everybody at once, and nothing stays warm to go back to".into(),
        ),
        (_, true) => cautions.push(format!(
            "stateful: declare min_ready: {} so that an instance ends before the one that takes its place starts, and \
             hold requests meanwhile (slipway maintenance on --hold)",
            instances - 1
        )),
        (_, false) => cautions.push("going back means starting the replaced instances again".into()),
    }
}

fn database(lane: &Lane, release: &Release) -> Option<String> {
    let (need, migrate) = schema::expands(lane, release)?;
    Some(match migrate.revert {
        Some(_) => format!("old and new version share the database while it is expanded to schema {need}"),
        None => format!("expanding to schema {need} cannot be undone, so it waits for an approval"),
    })
}

fn listed(word: &str, names: &[&str]) -> String {
    match names {
        [one] => format!("{word} {one}"),
        many => format!("{word}s {}", many.join(", ")),
    }
}

/// A rate as people say it.
pub(super) fn rounded(rate: f64) -> String {
    match rate {
        r if r >= 10.0 => format!("{r:.0}"),
        r if r >= 1.0 => format!("{r:.1}"),
        r => format!("{r:.2}"),
    }
}
