//! Environments and strategies in the declared file.

use std::collections::BTreeMap;

use super::model::{Amount, EnvironmentSpec, OnInconclusive, Strategy, StrategyKind, TrafficOverlay};
use super::node::Value;
use super::parse::{env_of, host_of, path_of};
use super::reader::{Field, Keys, Notes};
use super::scalars;
use crate::units::{Millis, Weight};

pub(super) const ENVIRONMENT: &[&str] = &["instances", "strategy", "env", "traffic"];
const LATER: &[&str] =
    &["cohorts", "gates", "require_drill", "drill", "config", "freeze", "approvals", "after", "watch", "heal", "hooks"];
pub(super) const OVERLAY: &[&str] = &["host", "path"];
pub(super) const SHARED: &[&str] = &["verify", "standby", "on_inconclusive", "alpha", "beta", "min_requests"];
/// The strategies by name, with the keys that only they have.
pub(super) const KINDS: &[(&str, &[&str])] =
    &[("blue-green", &[]), ("canary", &["steps", "step_limit"]), ("rolling", &["batch", "min_ready"])];
/// Most instances of one service in one environment.
const MOST_INSTANCES: u32 = 1_000;

/// There is no strategy of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no strategy {0:?}; there are blue-green, canary and rolling")]
pub struct UnknownStrategy(pub String);

impl Strategy {
    /// The strategy with all defaults.
    pub fn default_for(name: &str) -> Result<Strategy, UnknownStrategy> {
        let kind = match name {
            "blue-green" => StrategyKind::BlueGreen,
            "canary" => StrategyKind::Canary { steps: default_steps(), step_limit: Millis::from_secs(600) },
            "rolling" => StrategyKind::Rolling { batch: Amount::Count(1), min_ready: Amount::Percent(Weight::ALL) },
            other => return Err(UnknownStrategy(other.to_string())),
        };
        Ok(Strategy {
            kind,
            verify: Millis::from_secs(60),
            standby: Millis::from_secs(3600),
            on_inconclusive: OnInconclusive::Hold,
            alpha: 0.01,
            beta: 0.05,
            min_requests: 50,
        })
    }

    /// Another kind with the settings that all kinds share; unchanged where it is this kind already.
    pub fn with_kind(&self, name: &str) -> Result<Strategy, UnknownStrategy> {
        if self.kind.name() == name {
            return Ok(self.clone());
        }
        Ok(Strategy { kind: Strategy::default_for(name)?.kind, ..self.clone() })
    }
}

fn default_steps() -> Vec<Weight> {
    [100, 500, 2_500, 5_000, 10_000].into_iter().filter_map(Weight::from_bp).collect()
}

/// The environments, in the order of the file.
pub(super) fn environments(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<EnvironmentSpec>> {
    let mut environments = Vec::new();
    for (key, value) in field.open_map(notes)? {
        let name = key.parsed(notes, |t| t.parse().map_err(|e: crate::names::InvalidName| e.to_string()));
        let Some(mut environment) = environment(&value, notes) else { continue };
        if let Some(name) = name {
            environment.name = name;
            environments.push(environment);
        }
    }
    match environments.is_empty() {
        true if notes.mistakes.is_empty() => {
            field.wrong(notes, "declares no environment", Some("production: { instances: 2 }"))
        }
        _ => Some(environments),
    }
}

fn environment(field: &Field<'_>, notes: &mut Notes) -> Option<EnvironmentSpec> {
    let bare = super::node::Node { at: field.node.at, value: Value::Map(Vec::new()) };
    let field = match field.node.value {
        Value::Null => Field::new(&bare, field.name.clone()),
        _ => field.clone(),
    };
    let keys = field.map(notes, ENVIRONMENT, LATER)?;
    let instances = keys.or(notes, "instances", 1, |f, n| f.parsed(n, instances));
    let strategy = match keys.get("strategy").cloned() {
        None => Strategy::default_for("canary").ok(),
        Some(field) => strategy(&field, instances, notes),
    };
    let env = keys.or(notes, "env", BTreeMap::new(), env_of);
    let traffic = keys.get("traffic").cloned().and_then(|f| overlay(&f, notes));
    // The name is filled in by the caller, which knows the key.
    let name = "unnamed".parse().ok()?;
    Some(EnvironmentSpec { name, instances, strategy: strategy?, env, traffic })
}

fn instances(text: &str) -> Result<u32, String> {
    match scalars::at_least_one(text)? {
        n if n > MOST_INSTANCES => Err(format!("{n} is more than {MOST_INSTANCES}")),
        n => Ok(n),
    }
}

fn overlay(field: &Field<'_>, notes: &mut Notes) -> Option<TrafficOverlay> {
    let keys = field.map(notes, OVERLAY, &[])?;
    Some(TrafficOverlay {
        host: keys.get("host").and_then(|f| f.parsed(notes, host_of)),
        path: keys.get("path").and_then(|f| f.parsed(notes, path_of)),
    })
}

fn strategy(field: &Field<'_>, instances: u32, notes: &mut Notes) -> Option<Strategy> {
    if let Value::Scalar(name, _) = &field.node.value {
        return match Strategy::default_for(name) {
            Ok(strategy) => Some(strategy),
            Err(unknown) => field.wrong(notes, unknown.to_string(), None),
        };
    }
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    let keys = field.map(notes, &names, &["flag"])?;
    let given: Vec<&str> = names.into_iter().filter(|n| keys.get(n).is_some()).collect();
    let [name] = given.as_slice() else {
        let hint = Some("strategy: { canary: { steps: [5%, 50%, 100%] } }");
        return match given.len() {
            0 if notes.mistakes.is_empty() => field.wrong(notes, "names no strategy", hint),
            0 => None,
            _ => field.wrong(notes, format!("{} are given", given.join(" and ")), Some("choose one")),
        };
    };
    settings(keys.get(name)?, name, instances, notes)
}

fn settings(field: &Field<'_>, name: &str, instances: u32, notes: &mut Notes) -> Option<Strategy> {
    let own = KINDS.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, own)| own);
    let known: Vec<&str> = own.iter().chain(SHARED).copied().collect();
    let keys = field.map(notes, &known, &[])?;
    let defaults = Strategy::default_for(name).ok()?;
    let time = |f: &Field<'_>, n: &mut Notes| f.parsed(n, scalars::duration);
    let chance = |f: &Field<'_>, n: &mut Notes| f.parsed(n, scalars::chance);
    Some(Strategy {
        kind: kind(defaults.kind, &keys, instances, notes),
        verify: keys.or(notes, "verify", defaults.verify, time),
        standby: keys.or(notes, "standby", defaults.standby, time),
        on_inconclusive: keys.or(notes, "on_inconclusive", OnInconclusive::Hold, |f, n| f.parsed(n, on_inconclusive)),
        alpha: keys.or(notes, "alpha", defaults.alpha, chance),
        beta: keys.or(notes, "beta", defaults.beta, chance),
        min_requests: keys
            .or(notes, "min_requests", defaults.min_requests, |f, n| f.parsed(n, scalars::at_least_one).map(u64::from)),
    })
}

fn on_inconclusive(text: &str) -> Result<OnInconclusive, String> {
    match text {
        "hold" => Ok(OnInconclusive::Hold),
        "rollback" => Ok(OnInconclusive::Rollback),
        _ => Err(format!("{text:?} is not known; write hold or rollback")),
    }
}

fn kind(defaults: StrategyKind, keys: &Keys<'_>, instances: u32, notes: &mut Notes) -> StrategyKind {
    match defaults {
        StrategyKind::BlueGreen => StrategyKind::BlueGreen,
        StrategyKind::Canary { steps, step_limit } => StrategyKind::Canary {
            steps: keys.or(notes, "steps", steps, self::steps),
            step_limit: keys.or(notes, "step_limit", step_limit, |f, n| f.parsed(n, scalars::positive)),
        },
        StrategyKind::Rolling { batch, min_ready } => {
            let batch_given = keys.or(notes, "batch", batch, |f, n| f.parsed(n, scalars::amount));
            let min_given = keys.or(notes, "min_ready", min_ready, |f, n| f.parsed(n, scalars::amount));
            if let Some(field) = keys.get("batch").filter(|_| batch_given.of(instances) == 0) {
                field.wrong::<()>(notes, "no instance would ever be replaced", None);
            }
            if let (Some(field), Amount::Count(n)) = (keys.get("min_ready"), min_given)
                && n > instances
            {
                field.wrong::<()>(notes, format!("{n} is more than the {instances} declared instances"), None);
            }
            StrategyKind::Rolling { batch: batch_given, min_ready: min_given }
        }
    }
}

fn steps(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<Weight>> {
    let mut steps: Vec<Weight> = Vec::new();
    let items = field.list(notes)?;
    for item in &items {
        let weight = item.parsed(notes, scalars::weight)?;
        match steps.last() {
            _ if weight == Weight::ZERO => item.wrong::<()>(notes, "a step of 0% tests nothing", None),
            Some(last) if weight <= *last => item.wrong(
                notes,
                format!("{weight} does not increase on {last}"),
                Some("steps only go up, like [1%, 5%, 25%, 50%, 100%]"),
            ),
            _ => None,
        };
        steps.push(weight);
    }
    match steps.last() {
        Some(&Weight::ALL) => Some(steps),
        Some(last) => {
            let at = items.last().unwrap_or(field);
            at.wrong(notes, format!("the last step is {last}, not 100%"), Some("end the list with 100%"))
        }
        None => field.wrong(notes, "names no step", Some("[1%, 5%, 25%, 50%, 100%]")),
    }
}
