//! `environments`: where the service is released, and by what policy.

use std::collections::BTreeMap;

use super::super::config::Config;
use super::super::mistake::{Wrong, quoted};
use super::super::model::{EnvironmentSpec, Strategy, StrategyKind};
use super::super::policy::{After, Gates, OnBreach, Readiness, default_watch};
use super::super::reader::{Keys, Reader};
use super::super::worker::Worker;
use super::cohort::cohorts;
use super::config::config;
use super::duration;
use super::hooks::hooks;
use super::policy;
use super::run::env;
use super::strategy::strategy;
use super::traffic::overlay;
use super::worker;
use crate::names::{EnvironmentName, ServiceName};

const KEYS: Keys = Keys {
    known: &[
        "instances",
        "strategy",
        "env",
        "config",
        "traffic",
        "cohorts",
        "drill",
        "require_drill",
        "gates",
        "watch",
        "on_breach",
        "hooks",
    ],
    later: &[
        "migrate",
        "secrets",
        "flags",
        "target",
        "freeze",
        "run",
        "objectives",
        "smoke",
        "health",
        "approvals",
        "after",
        "heal",
    ],
};
pub(super) const EXAMPLE: &str = "environments: { production: { instances: 2, strategy: canary } }";
/// How many environments one service may have.
const MOST: usize = 100;

pub(super) fn environments(reader: &Reader, worker: Option<Worker>) -> Option<Vec<EnvironmentSpec>> {
    let entries = reader.entries(EXAMPLE)?;
    if entries.is_empty() || entries.len() > MOST {
        let wrong = Wrong::new(format!("a service needs 1 to {MOST} environments to be released into"));
        reader.mistake(wrong.hint(EXAMPLE));
        return None;
    }
    let all: Vec<Option<EnvironmentSpec>> = entries
        .iter()
        .map(|(key, value)| {
            let name = EnvironmentName::new(key.text)
                .map_err(|invalid| {
                    key.mistake(Wrong::new(format!("the environment {} {}", quoted(key.text), invalid.why)));
                })
                .ok();
            environment(name, value, worker)
        })
        .collect();
    all.into_iter().collect()
}

fn environment(name: Option<EnvironmentName>, reader: &Reader, worker: Option<Worker>) -> Option<EnvironmentSpec> {
    if reader.is_null() {
        // `development:` with nothing below it declares an environment that is all defaults.
        return Some(defaults(name?, worker));
    }
    let fields = reader.fields(&KEYS, "write { instances: 2, strategy: canary }")?;
    let instances = fields.or("instances", 1, |r| r.count(1..=1000).and_then(|n| u32::try_from(n).ok()));
    let default = worker.map_or_else(Strategy::default, Strategy::default_for_worker);
    let strategy = fields.or("strategy", default, |r| strategy(r, instances, worker.is_some()));
    if let Some(worker) = worker {
        let replaced = strategy.kind == StrategyKind::Replace;
        worker::without_traffic(&fields, worker.exclusive || replaced);
    }
    let env = fields.or("env", BTreeMap::new(), env);
    let traffic = fields.get("traffic").and_then(overlay);
    let config = fields.or("config", Config::default(), |r| config(r, &env));
    let cohorts = fields.or("cohorts", Vec::new(), cohorts);
    let drill = fields.get("drill").and_then(policy::drill);
    let require_drill = fields.get("require_drill").and_then(policy::require_drill);
    let gates = fields.or("gates", Gates::default(), policy::gates);
    let watch = fields.or("watch", default_watch(), duration);
    let on_breach = fields.or("on_breach", OnBreach::Tell, policy::on_breach);
    let hooks = fields.or("hooks", Vec::new(), hooks);
    Some(EnvironmentSpec {
        config,
        hooks,
        watch,
        on_breach,
        instances,
        strategy,
        env,
        traffic,
        cohorts,
        drill,
        require_drill,
        gates,
        ..defaults(name?, worker)
    })
}

/// Notes gates that could never hold: they ask for the service itself, or for what the file does not declare.
pub(super) fn can_hold(
    reader: &Reader,
    service: Option<&ServiceName>,
    environments: &[EnvironmentSpec],
    declared: impl Fn(Readiness) -> bool,
) {
    for environment in environments {
        let same = |after: &&After| after.environment.as_ref().is_none_or(|e| *e == environment.name);
        for after in environment.gates.after.iter().filter(|a| service == Some(&a.service)).filter(same) {
            let message = format!("gates.after of {} asks for {after}, which is the service itself", environment.name);
            reader.mistake(Wrong::new(message).hint("name another service, or another environment"));
        }
        for what in environment.gates.readiness.iter().filter(|what| !declared(**what)) {
            let name = what.name();
            let message = format!("gates.readiness of {} asks for {name}, and none is declared", environment.name);
            reader.mistake(Wrong::new(message).hint(format!("declare {name} in this file, or do not ask for it")));
        }
    }
}

fn defaults(name: EnvironmentName, worker: Option<Worker>) -> EnvironmentSpec {
    EnvironmentSpec {
        name,
        instances: 1,
        strategy: worker.map_or_else(Strategy::default, Strategy::default_for_worker),
        env: BTreeMap::new(),
        config: Config::default(),
        traffic: None,
        cohorts: Vec::new(),
        drill: None,
        require_drill: None,
        gates: Gates::default(),
        watch: default_watch(),
        on_breach: OnBreach::Tell,
        hooks: Vec::new(),
    }
}
