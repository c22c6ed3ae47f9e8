//! `environments`: where the service is released, and by what policy.

use std::collections::BTreeMap;

use super::super::mistake::{Wrong, quoted};
use super::super::model::{EnvironmentSpec, Strategy};
use super::super::reader::{Keys, Reader};
use super::run::env;
use super::strategy::strategy;
use super::traffic::overlay;
use crate::names::EnvironmentName;

const KEYS: Keys = Keys {
    known: &["instances", "strategy", "env", "traffic"],
    later: &[
        "cohorts",
        "gates",
        "require_drill",
        "drill",
        "config",
        "migrate",
        "hooks",
        "watch",
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

pub(super) fn environments(reader: &Reader) -> Option<Vec<EnvironmentSpec>> {
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
            environment(name, value)
        })
        .collect();
    all.into_iter().collect()
}

fn environment(name: Option<EnvironmentName>, reader: &Reader) -> Option<EnvironmentSpec> {
    if reader.is_null() {
        // `development:` with nothing below it declares an environment that is all defaults.
        return Some(defaults(name?));
    }
    let fields = reader.fields(&KEYS, "write { instances: 2, strategy: canary }")?;
    let instances = fields.or("instances", 1, |r| r.count(1..=1000).and_then(|n| u32::try_from(n).ok()));
    let strategy = fields.or("strategy", Strategy::default(), |r| strategy(r, instances));
    let env = fields.or("env", BTreeMap::new(), env);
    let traffic = fields.get("traffic").and_then(overlay);
    Some(EnvironmentSpec { name: name?, instances, strategy, env, traffic })
}

fn defaults(name: EnvironmentName) -> EnvironmentSpec {
    EnvironmentSpec { name, instances: 1, strategy: Strategy::default(), env: BTreeMap::new(), traffic: None }
}
