//! `strategy`: how a release goes into an environment.

use super::super::mistake::{Wrong, quoted};
use super::super::model::{Amount, OnInconclusive, Strategy, StrategyKind};
use super::super::reader::{Fields, Keys, Reader};
use super::super::scalar;
use super::{duration, time};
use crate::units::{Millis, Weight};

const KINDS: Keys = Keys { known: &StrategyKind::NAMES, later: &["flag"] };
const LATER: &[&str] = &["probe", "mirror", "cohorts", "gates", "drill", "hooks", "watch"];
const CANARY_KEYS: Keys = Keys {
    known: &["steps", "step_limit", "verify", "standby", "on_inconclusive", "alpha", "beta", "min_requests"],
    later: LATER,
};
const BLUE_GREEN_KEYS: Keys =
    Keys { known: &["verify", "standby", "on_inconclusive", "alpha", "beta", "min_requests"], later: LATER };
const ROLLING_KEYS: Keys = Keys {
    known: &["batch", "min_ready", "verify", "standby", "on_inconclusive", "alpha", "beta", "min_requests"],
    later: LATER,
};
const REPLACE_KEYS: Keys =
    Keys { known: &["verify", "on_inconclusive", "alpha", "beta", "min_requests"], later: LATER };
const EXAMPLE: &str = "write strategy: { canary: { steps: [1%, 10%, 100%] } }, or strategy: blue-green";

/// The declared strategy of an environment with so many instances.
pub(super) fn strategy(reader: &Reader, instances: u32, worker: bool) -> Option<Strategy> {
    let strategy = any(reader, instances, worker)?;
    // A predecessor of a worker that stood by would take jobs.
    Some(Strategy { standby: if worker { Millis(0) } else { strategy.standby }, ..strategy })
}

fn any(reader: &Reader, instances: u32, worker: bool) -> Option<Strategy> {
    if let Some((text, _)) = reader.scalar().filter(|_| !reader.is_null()) {
        return reader.checked(bare(text));
    }
    let kinds = reader.fields(&KINDS, EXAMPLE)?;
    let declared = kinds.one_of(&StrategyKind::NAMES);
    let Some((name, settings)) = declared.first() else {
        // An unknown kind was noted already; what is left is a strategy without one.
        if kinds.is_empty() {
            reader.mistake(Wrong::new("names no strategy").hint(EXAMPLE));
        }
        return None;
    };
    let default = Strategy::default_for(name).ok()?;
    if settings.is_null() {
        return Some(default);
    }
    let keys = match &default.kind {
        StrategyKind::Canary { .. } => &CANARY_KEYS,
        StrategyKind::BlueGreen => &BLUE_GREEN_KEYS,
        StrategyKind::Rolling { .. } => &ROLLING_KEYS,
        StrategyKind::Replace => &REPLACE_KEYS,
    };
    let fields = settings.fields(keys, &format!("write {name}: {{ verify: 1m }}"))?;
    if let Some(standby) = fields.get("standby").filter(|_| worker) {
        let wrong = Wrong::new("a worker keeps no standby: it would go on taking jobs");
        standby.mistake(wrong.hint("leave it out; going back starts the predecessor again"));
    }
    let kind = kind(&fields, default.kind.clone(), instances, worker);
    Some(shared(&fields, Strategy { kind, ..default }))
}

fn bare(name: &str) -> Result<Strategy, Wrong> {
    if KINDS.later.contains(&name) {
        return Err(Wrong::new(format!("{name:?} is not supported yet by this version of Slipway")).hint(EXAMPLE));
    }
    Strategy::default_for(name)
        .map_err(|unknown| Wrong::new(format!("there is no strategy {}", unknown.name)).hint(unknown.hint))
}

fn kind(fields: &Fields, default: StrategyKind, instances: u32, worker: bool) -> StrategyKind {
    match default {
        same @ (StrategyKind::BlueGreen | StrategyKind::Replace) => same,
        StrategyKind::Canary { steps, step_limit } => StrategyKind::Canary {
            steps: fields.or("steps", steps, |r| self::steps(r, worker.then_some(instances))),
            step_limit: fields.or("step_limit", step_limit, time),
        },
        StrategyKind::Rolling { batch, min_ready } => StrategyKind::Rolling {
            batch: fields.or("batch", batch, |r| amount(r, instances)),
            min_ready: fields.or("min_ready", min_ready, |r| amount(r, instances)),
        },
    }
}

/// What every strategy may declare.
fn shared(fields: &Fields, default: Strategy) -> Strategy {
    Strategy {
        kind: default.kind,
        verify: fields.or("verify", default.verify, time),
        standby: fields.or("standby", default.standby, duration),
        on_inconclusive: fields.or("on_inconclusive", default.on_inconclusive, on_inconclusive),
        alpha: fields.or("alpha", default.alpha, risk),
        beta: fields.or("beta", default.beta, risk),
        min_requests: fields.or("min_requests", default.min_requests, |r| r.count(1..=1_000_000_000)),
    }
}

/// Shares of the traffic; of a worker's instances, of which there are so many, or numbers of them.
fn steps(reader: &Reader, instances: Option<u32>) -> Option<Vec<Weight>> {
    const HINT: &str = "for example [1%, 5%, 25%, 50%, 100%]";
    let items = reader.items(100, HINT)?;
    let weights: Vec<Option<Weight>> = items.iter().map(|r| step(r, instances)).collect();
    let mut before = Weight::ZERO;
    for (item, weight) in items.iter().zip(&weights) {
        let Some(weight) = *weight else { continue };
        if weight == Weight::ZERO {
            item.mistake(Wrong::new("a step of 0% shows nothing").hint(HINT));
        } else if weight <= before {
            let message = format!("steps must increase, and {weight} comes after {before}");
            item.mistake(Wrong::new(message).hint("put the smaller one first, or leave it out"));
        }
        before = before.max(weight);
    }
    match (items.last(), weights.last()) {
        (None, _) => reader.mistake(Wrong::new("there are no steps").hint(HINT)),
        (Some(item), Some(Some(last))) if *last != Weight::ALL && *last == before => {
            item.mistake(Wrong::new(format!("the last step must be 100%, not {last}")).hint("add 100%"));
        }
        _ => {}
    }
    weights.into_iter().collect()
}

fn step(reader: &Reader, instances: Option<u32>) -> Option<Weight> {
    let counted =
        instances.filter(|_| reader.scalar().is_some_and(|(text, plain)| plain && text.parse::<u32>().is_ok()));
    match counted {
        // Rounded down: the share is rounded up again where instances are counted.
        Some(of) => {
            let n = reader.count(1..=u64::from(of))?;
            Weight::from_bp(u16::try_from(n * 10_000 / u64::from(of)).ok()?)
        }
        None => reader.typed("a percentage", "write 5%", scalar::weight),
    }
}

/// A number of instances or a share of them: at least one, and not more than there are.
fn amount(reader: &Reader, instances: u32) -> Option<Amount> {
    const HINT: &str = "write 2 or 20%";
    let Some((text, plain)) = reader.scalar().filter(|_| !reader.is_null()) else {
        return reader.expected("a number of instances or a percentage", HINT);
    };
    if text.ends_with('%') {
        let share = reader.checked(scalar::weight(text))?;
        if share == Weight::ZERO {
            reader.mistake(Wrong::new("must be above 0%").hint(HINT));
        }
        return Some(Amount::Percent(share));
    }
    match text.parse::<u32>() {
        Ok(0) => reader.mistake(Wrong::new("must be at least 1").hint(HINT)),
        Ok(n) if n > instances => {
            reader.mistake(Wrong::new(format!("{n} is more than the {instances} declared by instances")).hint(HINT));
        }
        Ok(n) if plain && text == n.to_string() => return Some(Amount::Count(n)),
        _ => return reader.expected("a number of instances or a percentage", HINT),
    }
    None
}

fn on_inconclusive(reader: &Reader) -> Option<OnInconclusive> {
    match reader.scalar() {
        Some(("hold", _)) => Some(OnInconclusive::Hold),
        Some(("rollback", _)) => Some(OnInconclusive::Rollback),
        _ => reader.expected("hold or rollback", "hold asks a person, rollback takes the release back"),
    }
}

/// The chance of a wrong verdict.
fn risk(reader: &Reader) -> Option<f64> {
    reader.typed("a percentage", "write 1%", |text| match scalar::share(text)? {
        share if share > 0.0 && share < 0.5 => Ok(share),
        _ => Err(Wrong::new(format!("{} is not between 0% and 50%", quoted(text))).hint("for example 1%")),
    })
}
