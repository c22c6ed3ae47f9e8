//! The JSON Schema of the declared file as it is written: durations and percentages are texts with patterns.
//!
//! For editors and other tools; [`super::parse`] does not use it, and checks more than a schema can say. The tests
//! hold the two together: the same keys, the same defaults, and nothing that is read here is refused there.

mod environment_file;
mod hooks;
mod policy;
mod sections;
mod values;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

pub(super) use environment_file::environment_file;

/// The JSON Schema (draft 2020-12) of `slipway.yaml`, printed by `slipway schema`.
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "slipway.yaml",
        "description": "A service: what is run, how its health is asked for, what counts as good enough, and how releases go in.",
        "type": "object",
        "additionalProperties": false,
        "required": ["service", "run", "health", "environments"],
        "properties": {
            "service": values::name("The service's name: letters, digits, - and _, starting with a letter or a digit.", "checkout"),
            "kind": {
                "description": "http: a service that answers requests. worker: one that takes jobs by itself and has no traffic.",
                "enum": ["http", "worker"], "examples": ["http"]
            },
            "exclusive": {
                "description": "Workers only. true: never two versions at once and never more copies than declared; the old version ends whole before the new one starts.",
                "type": "boolean", "default": false, "examples": [true]
            },
            "owner": {
                "description": "Who answers for the service.",
                "type": ["string", "number", "boolean"], "examples": ["payments-team"]
            },
            "run": sections::run(),
            "config": sections::config("Values and files that belong to a version beside its artifact. Part of the configuration digest."),
            "needs_schema": values::count("The schema of its database that the version needs; rolling back onto a version whose schema is gone is refused. Part of the configuration digest.", 1, (1 << 53) - 1, 12),
            "migrate": sections::migrate(),
            "stateful": values::only_true("Its instances keep what others do not have: files, sessions, a lock. Strategies that run two sets side by side do not fit."),
            "one_version": values::only_true("Users must not meet two versions at the same time, since what one writes or answers the other does not understand. Canary and rolling do not fit."),
            "health": sections::health(),
            "smoke": sections::smoke(),
            "probe": sections::probe(),
            "mirror": sections::mirror(),
            "traffic": sections::traffic(),
            "objectives": sections::objectives(),
            "hooks": hooks::hooks("Who is told of what happens in any environment, and who is asked before it does."),
            "environments": {
                "description": "Where the service is released, by name, and by what policy.",
                "type": "object",
                "minProperties": 1,
                "maxProperties": 100,
                "propertyNames": { "pattern": values::NAME_PATTERN, "maxLength": 63 },
                "additionalProperties": sections::environment(),
                "examples": [{ "production": { "instances": 2, "strategy": "canary" } }]
            }
        }
    })
}

/// Every key of the file by its place: `environments.<name>.strategy.canary`, items written `[]`.
pub(super) fn keys() -> BTreeMap<String, Vec<String>> {
    keys_of(&json_schema())
}

/// Every key of the file that `schema` describes, by its place.
pub(super) fn keys_of(schema: &Value) -> BTreeMap<String, Vec<String>> {
    let mut keys = BTreeMap::new();
    collect(schema, "", &mut keys);
    keys
}

fn collect(schema: &Value, place: &str, into: &mut BTreeMap<String, Vec<String>>) {
    let within = |key: &str| if place.is_empty() { key.to_string() } else { format!("{place}.{key}") };
    if let Some(properties) = schema["properties"].as_object() {
        into.entry(place.to_string()).or_default().extend(properties.keys().cloned());
        for (key, value) in properties {
            collect(value, &within(key), into);
        }
    }
    if schema["additionalProperties"].is_object() {
        collect(&schema["additionalProperties"], &within("<name>"), into);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{place}[]"), into);
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        collect(choice, place, into);
    }
}

/// The sections in which `key` is known, as people write them.
pub(super) fn places(key: &str) -> Vec<String> {
    static SECTIONS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(keys);
    places_in(&SECTIONS, key)
}

/// The same for the file of an environment.
pub(super) fn environment_file_places(key: &str) -> Vec<String> {
    static SECTIONS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| keys_of(&environment_file()));
    places_in(&SECTIONS, key)
}

fn places_in(sections: &BTreeMap<String, Vec<String>>, key: &str) -> Vec<String> {
    let knows = |place: &str| sections.get(place).is_some_and(|known| known.iter().any(|k| k == key));
    // What an environment may say as well as the file is named once.
    let again = |place: &str| place.strip_prefix("environments.<name>.").is_some_and(knows);
    sections
        .iter()
        .filter(|(place, _)| !place.is_empty() && knows(place) && !again(place))
        .map(|(place, _)| place.clone())
        .take(3)
        .collect()
}
