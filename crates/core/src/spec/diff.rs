//! What differs between two declared files once their defaults are filled in.
//!
//! Not a comparison of texts: order, comments and defaults that are written out make no difference. Called by the
//! control plane for two versions of a service; it knows nothing of artifacts and digests.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::model::ServiceSpec;

/// One place in which two declared files differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Keys from the outside in, with dots; things with names by their names: `environments.production.instances`.
    pub place: String,
    /// What the first says; absent where it says nothing.
    pub before: Option<Value>,
    /// What the second says; absent where it says nothing.
    pub after: Option<Value>,
}

/// Every place in which `after` differs from `before`, in the order of the places' names.
pub fn differences(before: &ServiceSpec, after: &ServiceSpec) -> Vec<Difference> {
    let (before, after) = (leaves(before), leaves(after));
    let mut places: Vec<&String> =
        before.keys().chain(after.keys().filter(|place| !before.contains_key(*place))).collect();
    places.sort();
    places
        .into_iter()
        .filter(|place| before.get(*place) != after.get(*place))
        .map(|place| Difference {
            place: place.clone(),
            before: before.get(place).cloned(),
            after: after.get(place).cloned(),
        })
        .collect()
}

fn leaves(spec: &ServiceSpec) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // Keys are texts and numbers are finite: there is nothing here that could fail.
    gather(String::new(), serde_json::to_value(spec).unwrap_or_default(), &mut found);
    found
}

fn gather(place: String, value: Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                gather(below(&place, &key), value, found);
            }
        }
        // A command is one thing; objectives, smoke tests and environments are known by their names.
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| name(item).is_some()) => {
            for mut item in items {
                let Some(key) = name(&item).map(str::to_string) else { continue };
                if let Some(members) = item.as_object_mut() {
                    members.remove("name");
                    // So that one in which nothing else is said is there all the same.
                    if members.values().all(Value::is_null) {
                        found.insert(below(&place, &key), Value::Bool(true));
                    }
                }
                gather(below(&place, &key), item, found);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        leaf => {
            found.insert(place, leaf);
        }
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn below(place: &str, key: &str) -> String {
    match place {
        "" => key.to_string(),
        _ => format!("{place}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::parse;

    const FILE: &str = "service: shop\nrun:\n  command: [\"./shop\"]\n  env: { LOG: info, OLD: \"1\" }\n\
                        health: { http: /healthz }\nobjectives: [{ name: errors, bad: failed, at_most: 1% }]\n\
                        environments:\n  staging: { instances: 1 }\n  production: { instances: 4, env: { LOG: warn } }\n";

    fn between(from: &str, to: &str) -> Vec<(String, Option<Value>, Option<Value>)> {
        let changed = FILE.replace(from, to);
        assert_ne!(changed, FILE, "{from}");
        let read = |text: &str| parse(text).unwrap().spec;
        differences(&read(FILE), &read(&changed)).into_iter().map(|d| (d.place, d.before, d.after)).collect()
    }

    #[test]
    fn each_place_is_named_with_both_values() {
        let place = |text: &str| text.to_string();
        assert_eq!(
            between("LOG: info, OLD: \"1\"", "LOG: debug, NEW: x"),
            [
                (place("run.env.LOG"), Some(json!("info")), Some(json!("debug"))),
                (place("run.env.NEW"), None, Some(json!("x"))),
                (place("run.env.OLD"), Some(json!("1")), None),
            ]
        );
        assert_eq!(
            between("[\"./shop\"]", "[\"./shop\", \"-v\"]"),
            [(place("run.command"), Some(json!(["./shop"])), Some(json!(["./shop", "-v"])))]
        );
        assert_eq!(
            between("LOG: warn", "LOG: error"),
            [(place("environments.production.env.LOG"), Some(json!("warn")), Some(json!("error")))]
        );
        assert_eq!(
            between("instances: 4", "instances: 6"),
            [(place("environments.production.instances"), Some(json!(4)), Some(json!(6)))]
        );
        assert!(between("at_most: 1%", "at_most: 2%").iter().any(|d| d.0 == "objectives.errors.at_most"));
    }

    #[test]
    fn what_means_the_same_does_not_differ() {
        for (from, to) in [
            ("instances: 1 }", "instances: 1 } # a comment"),
            ("LOG: info, OLD: \"1\"", "OLD: \"1\", LOG: info"),
            ("health: { http: /healthz }", "health: { http: /healthz, interval: 2s }"),
        ] {
            assert_eq!(between(from, to), [], "{to}");
        }
    }
}
