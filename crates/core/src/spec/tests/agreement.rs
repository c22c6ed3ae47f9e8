//! The schema and the reader say the same: the same keys, the same defaults, examples that can be used, and whatever
//! is read is also valid.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::validator::errors;
use super::{EXAMPLE, Findings, Reader, json_schema, parse_naming, read, schema, tree};
use crate::spec::{Declared, Mistake, ServiceSpec};

/// Reads as whoever looks up the files that are named.
fn parse(text: &str) -> Result<Declared, Vec<Mistake>> {
    parse_naming(text).map(|(declared, _)| declared)
}

/// A file in which every section stands, as JSON, which is YAML too.
fn full() -> Value {
    json!({
        "service": "checkout",
        "owner": "payments-team",
        "run": { "command": ["./checkout", "{port}"], "env": { "A": "b" }, "stop_grace": "5s", "stop_signal": "SIGHUP" },
        "config": { "values": { "B": "c" }, "files": { "conf/d": "e", "f": { "from": "g" } }, "env_file": "/etc/a.env" },
        "stateful": true,
        "one_version": true,
        "needs_schema": 12,
        "migrate": { "expand": ["./migrate", "up"], "revert": ["./migrate", "down"], "contract": ["./migrate", "end"], "timeout": "5m" },
        "health": { "http": "/healthz", "interval": "5s", "timeout": "2s", "healthy_after": 4, "unhealthy_after": 5, "start_limit": "30s" },
        "smoke": [
            {
                "name": "http", "timeout": "1s", "capture": { "session": "/s" },
                "http": {
                    "method": "PUT", "path": "/", "headers": { "a": "b" }, "json": { "c": 1 },
                    "expect": { "status": 201, "headers": { "d": "e" }, "json": [], "body": "f" }
                }
            },
            { "name": "command", "command": ["./smoke"] },
            { "name": "tcp", "tcp": true }
        ],
        "probe": {
            "rate": "2.5/s", "timeout": "2s",
            "request": { "method": "POST", "path": "/g?h=i", "headers": { "j": "k" }, "body": "l" }
        },
        "mirror": { "share": "3%", "methods": ["POST"], "body": "1kB", "timeout": "2s", "at_once": 4 },
        "traffic": {
            "host": "a.b", "path": "/c", "sticky": { "cookie": "d", "header": "e" },
            "timeout": "1s", "drain": "2s", "drain_long": "3s", "max_body": "4kB", "protocol": "h2c"
        },
        "objectives": [{ "name": "slow", "bad": "slower_than 1s", "at_most": "7%", "tolerate": "1%" }],
        "hooks": [hook()],
        "environments": {
            "one": {
                "hooks": [hook()],
                "instances": 4, "env": { "A": "c" }, "config": { "values": { "B": "f" }, "files": { "h": { "from": "g" } }, "env_file": "/etc/b.env" }, "traffic": { "host": "d.e", "path": "/f" },
                "cohorts": [{ "name": "a", "header": "B: c" }, { "name": "d", "cookie": "e=f" }],
                "drill": { "every": "7d", "window": "daily 10:00-16:00 UTC", "cold": true }, "require_drill": "30d", "watch": "2h", "on_breach": "rollback",
                "gates": {
                    "approvals": { "count": 2, "from": ["a", "b", "c"], "expire": "8h" },
                    "freeze": [{ "window": "Fri 15:00 to Mon 08:00 UTC", "reason": "weekend" }],
                    "after": ["payments >= 2.1 in one"], "readiness": ["drill"]
                },
                "strategy": { "canary": {
                    "steps": ["50%", "100%"], "step_limit": "1s", "verify": "2s", "standby": "3s",
                    "on_inconclusive": "rollback", "alpha": "3%", "beta": "4%", "min_requests": 9
                } }
            },
            "two": { "instances": 5, "strategy": { "blue-green": {
                "verify": "2s", "standby": "3s", "on_inconclusive": "rollback", "alpha": "3%", "beta": "4%", "min_requests": 9
            } } },
            "three": { "instances": 6, "strategy": { "rolling": {
                "batch": "50%", "min_ready": "50%", "verify": "2s", "standby": "3s",
                "on_inconclusive": "rollback", "alpha": "3%", "beta": "4%", "min_requests": 9
            } } }
        }
    })
}

/// A worker's file, for what only workers may say.
fn worker() -> Value {
    json!({
        "service": "mailer",
        "kind": "worker",
        "exclusive": true,
        "run": { "command": ["./mailer"] },
        "health": { "running_for": "4s" },
        "objectives": [{ "name": "jobs", "bad": "outcome lost", "of": "taken", "at_most": "7%" }],
        "environments": { "one": { "strategy": { "replace": {
            "verify": "2s", "on_inconclusive": "rollback", "alpha": "3%", "beta": "4%", "min_requests": 9
        } } } }
    })
}

/// The file in which `key` of the section at `place` makes sense.
fn file_with(place: &str, key: &str) -> Value {
    let workers = place.ends_with(".replace") || ["exclusive", "running_for", "replace"].contains(&key);
    if workers { worker() } else { full() }
}

/// A hook in which every key stands.
fn hook() -> Value {
    json!({
        "name": "chat", "on": ["rollout.*"], "before": "step", "on_silence": "stop", "timeout": "1m",
        "webhook": { "url": "https://chat.local/", "secret_env": "CHAT", "ca_file": "/ca.pem" }
    })
}

/// The section of `value` at a place such as `environments.<name>.strategy.canary`, as a JSON pointer.
fn find(value: &Value, place: &str) -> Option<String> {
    let steps: Vec<&str> =
        place.split('.').flat_map(|s| s.strip_suffix("[]").map_or(vec![s], |s| vec![s, "[]"])).collect();
    fn walk(value: &Value, steps: &[&str]) -> Option<String> {
        let Some((step, rest)) = steps.split_first() else { return value.is_object().then(String::new) };
        let below = |key: String, value: &Value| walk(value, rest).map(|tail| format!("/{key}{tail}"));
        match (*step, value) {
            ("", _) => walk(value, rest),
            ("<name>", Value::Object(map)) => map.iter().find_map(|(key, value)| below(key.clone(), value)),
            ("[]", Value::Array(items)) => items.iter().enumerate().find_map(|(i, value)| below(i.to_string(), value)),
            (key, Value::Object(map)) => below(key.to_string(), map.get(key)?),
            _ => None,
        }
    }
    walk(value, &steps)
}

/// A JSON pointer as the reader names the place.
fn field(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, step| match step.parse() {
        Ok(index) => tree::item_path(&path, index),
        Err(_) => tree::key_path(&path, step),
    })
}

/// The full file with `key` of the section at `place` set, or taken out.
fn changed(place: &str, key: &str, value: Option<Value>) -> Value {
    let pointer = find(&file_with(place, key), place);
    with(place, &pointer.unwrap_or_else(|| panic!("{place} is not in the full file")), key, value)
}

/// Keys of which only one may stand in a section.
const ALTERNATIVES: [&str; 7] = ["http", "tcp", "command", "running_for", "webhook", "secret_env", "secret_file"];

/// The full file with `key` of the section at `pointer` set, or taken out.
fn with(place: &str, pointer: &str, key: &str, value: Option<Value>) -> Value {
    let mut file = file_with(place, key);
    let section = file.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    if ALTERNATIVES.contains(&key) && !pointer.ends_with("/run") {
        section.retain(|key, _| !ALTERNATIVES.contains(&key.as_str()) && key != "capture");
    }
    if pointer.contains("/cohorts/") && ["header", "cookie"].contains(&key) {
        section.retain(|key, _| key == "name");
    }
    // What goes with it only.
    let is_missing = value.as_ref().and_then(Value::as_str).is_some_and(|v| key == "bad" && v.starts_with("missing"));
    let beside = match key {
        _ if !pointer.contains("/objectives/") => None,
        "of" => Some(("bad", "outcome lost")),
        "after" => Some(("bad", "missing end within 1s")),
        "bad" if is_missing => Some(("after", "beginning")),
        _ => None,
    };
    if let Some((other, text)) = beside.filter(|_| value.is_some()) {
        section.insert(other.to_string(), text.into());
    }
    match value {
        Some(value) => section.insert(key.to_string(), value),
        None => section.remove(key),
    };
    file
}

/// Every section that has keys: its place, its pointer into the full file, and its keys.
fn sections() -> Vec<(String, String, Vec<String>)> {
    schema::keys()
        .into_iter()
        .map(|(place, keys)| {
            let pointer =
                find(&file_with(&place, ""), &place).unwrap_or_else(|| panic!("{place} is not in the full file"));
            (place, pointer, keys)
        })
        .collect()
}

/// The schema of every key, with its section's place.
pub fn properties() -> Vec<(String, String, Value)> {
    fn walk(schema: &Value, place: &str, into: &mut Vec<(String, String, Value)>) {
        let within = |key: &str| if place.is_empty() { key.to_string() } else { format!("{place}.{key}") };
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            into.push((place.to_string(), key.clone(), property.clone()));
            walk(property, &within(key), into);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            walk(choice, place, into);
        }
        for (rule, step) in [("additionalProperties", ".<name>"), ("items", "[]")] {
            if !schema[rule].is_object() {
                continue;
            }
            walk(&schema[rule], format!("{place}{step}").trim_start_matches('.'), into);
        }
    }
    let mut all = Vec::new();
    walk(&json_schema(), "", &mut all);
    all
}

#[test]
fn the_full_file_is_read_and_valid() {
    assert_eq!(parse(&full().to_string()).unwrap().warnings, []);
    assert_eq!(errors(&json_schema(), &full(), ""), Vec::<String>::new());
}

#[test]
fn both_know_the_same_keys() {
    for (place, pointer, keys) in sections() {
        let file = with(&place, &pointer, "zzzzzzzz", Some(json!(1)));
        assert_ne!(errors(&json_schema(), &file, ""), Vec::<String>::new(), "{place} takes any key in the schema");
        let mistakes = parse(&file.to_string()).unwrap_err();
        let hint = mistakes.iter().find(|m| m.field.ends_with("zzzzzzzz")).and_then(|m| m.hint.clone());
        let hint = hint.unwrap_or_else(|| panic!("{place} takes any key"));
        let known: BTreeSet<&str> = hint.strip_prefix("known keys here: ").unwrap().split(", ").collect();
        assert_eq!(known, keys.iter().map(String::as_str).collect(), "{place}");
    }
}

#[test]
fn every_key_is_read() {
    for (place, pointer, keys) in sections() {
        for key in keys.iter().filter(|key| *key != "json") {
            let pointer = find(&file_with(&place, key), &place).unwrap_or_else(|| pointer.clone());
            let file = with(&place, &pointer, key, Some(json!([[["?"]]])));
            let place_of_key = field(&format!("{pointer}/{key}"));
            let mistakes = parse(&file.to_string()).err().unwrap_or_default();
            let told = mistakes.iter().any(|m| m.field.starts_with(&place_of_key) && !m.message.contains("unknown"));
            assert!(told, "{place}.{key} is known and not read: {mistakes:#?}");
        }
    }
}

#[test]
fn both_have_the_same_defaults() {
    let mut seen = 0;
    for (place, key, property) in properties() {
        let Some(default) = property.get("default") else { continue };
        // That a default was assumed is the one thing that is not the same.
        let spec = |file: Value| ServiceSpec {
            assumed: false,
            ..parse(&file.to_string()).unwrap_or_else(|m| panic!("{place}.{key}: {m:#?}")).spec
        };
        let (declared, absent) = (changed(&place, &key, Some(default.clone())), changed(&place, &key, None));
        assert_eq!(spec(declared), spec(absent.clone()), "{place}.{key}");
        assert_ne!(
            spec(file_with(&place, &key)),
            spec(absent),
            "{place}.{key} says the default in the full file, which shows nothing"
        );
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn every_key_has_a_description_and_examples_that_work() {
    for (place, key, property) in properties() {
        assert!(property["description"].as_str().is_some_and(|d| d.ends_with('.')), "{place}.{key}");
        let examples = property["examples"].as_array().cloned().unwrap_or_default();
        let is_section = property["properties"].is_object();
        assert!(is_section || !examples.is_empty(), "{place}.{key} has no example");
        for example in examples {
            let file = changed(&place, &key, Some(example));
            assert_eq!(errors(&json_schema(), &file, ""), Vec::<String>::new());
            assert_eq!(parse(&file.to_string()).err(), None, "{place}.{key}");
        }
    }
}

#[test]
fn the_example_is_valid() {
    let findings = Findings::default();
    let root = tree::build(EXAMPLE, &findings).unwrap();
    let value = read::json(&Reader::new(&root, &findings)).unwrap();
    assert_eq!(errors(&json_schema(), &value, ""), Vec::<String>::new());
}

fn some_value() -> impl Strategy<Value = Value> {
    let values = json!([
        null, true, false, 0, 1, 2, -1, 1.5, 1e9, "", "a", "A b", "-", "0", "1", "1%", "0.001%", "50%", "100%", "150%", "1 %",
        "5s", "1h30m", "30m1h", "0s", "5", "10MB", "10mb", "/", "/a b", "/a?b#c", "a.b", "a..b", "GET", "get", "failed",
        "slower_than 5s", "slower_than", "hold", "canary", "blue-green", "true", "{port}", "{x}", "$.a", "é", "\u{0}",
        [], ["a"], ["1%", "100%"], ["100%", "1%"], [1, true], [null], {}, { "a": "b" }, { "PORT": "1" }, { "canary": null },
        { "canary": {}, "rolling": {} }, { "a": { "instances": 1 } }, { "http": "/" }, { "path": "/" }, { "cookie": "c" },
        { "name": "a", "tcp": true }, [{ "name": "a", "tcp": true }], [{ "name": "a", "bad": "failed", "at_most": "1%" }]
    ]);
    proptest::sample::select(values.as_array().unwrap().clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_read_is_valid(which in any::<proptest::sample::Index>(), value in some_value()) {
        let properties = properties();
        let (place, key, _) = &properties[which.index(properties.len())];
        let file = changed(place, key, Some(value));
        if parse(&file.to_string()).is_ok() {
            prop_assert_eq!(errors(&json_schema(), &file, ""), Vec::<String>::new());
        }
    }
}
