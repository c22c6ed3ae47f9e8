//! The file of an environment: what is wrong with it and where, that it is written as it is read, and that schema,
//! reader and page say the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::environment_file::{Declared, json_schema, parse};
use super::super::schema;
use super::validator::errors;

const PAGE: &str = include_str!("../../../../../docs/reference/environment-yaml.md");

/// A file in which every section stands, as JSON, which is YAML too.
fn full() -> Value {
    let digest = format!("sha256:{}", "a".repeat(64));
    json!({
        "environment": "production", "cluster": "5d1f0c2a9e8b7f64", "heal": true, "require_drill": "30d",
        "gates": {
            "approvals": { "count": 2, "from": ["a", "b", "c"], "expire": "8h" },
            "freeze": [{ "window": "Fri 15:00 to Mon 08:00 UTC", "reason": "weekend: \"off\"" }],
            "after": ["payments >= 2.1 in production", "ledger"], "readiness": ["owner", "drill"]
        },
        "drill": { "every": "7d", "window": "Tue-Thu 10:00-16:00 Europe/Berlin", "cold": true },
        "cohorts": [{ "name": "staff", "header": "X-Staff: 1" }, { "name": "early", "cookie": "early=1" }],
        "hooks": [
            { "name": "audit", "on": ["*"], "before": "step", "webhook": { "url": "https://127.0.0.1:9000/", "secret_env": "AUDIT" } },
            { "name": "file", "on": ["rollout.*"], "webhook": { "url": "https://127.0.0.1:9000/", "secret_file": "/s", "ca_file": "/ca.pem" } },
            { "name": "board", "before": "promotion", "on_silence": "stop", "timeout": "30s", "command": ["/bin/board"] }
        ],
        "services": {
            "shop": { "version": "1.10", "instances": 4, "after": ["payments >= 2.1"], "artifact": digest, "config": digest },
            "payments": { "version": "2.1.0" }
        }
    })
}

fn declared(text: &str) -> Declared {
    parse(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{text}"))
}

fn said(text: &str) -> String {
    let mistakes = parse(text).expect_err(text);
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let file = declared(&full().to_string()).file;
    let text = file.to_yaml();
    assert_eq!(declared(&text).file, file, "{text}");
    assert_eq!(declared(&text).file.to_yaml(), text);
    let least = declared("environment: null-and-void\n").file;
    assert_eq!(declared(&least.to_yaml()).file, least, "{}", least.to_yaml());
    let odd = declared("environment: \"null\"\nservices: { \"null\": { version: \"null\" } }\n").file;
    assert_eq!(declared(&odd.to_yaml()).file, odd, "{}", odd.to_yaml());
}

#[test]
fn mistakes_are_told_at_once_with_their_places() {
    let text = "enviroment: production\nheal: false\nservices:\n  shop:\n    verison: 1.0.0\n    instances: 0\n  \
                \"a b\": { version: 1 }\n  ledger: { version: 1, after: [ledger] }\n";
    let told = said(text);
    for what in [
        "1:1: enviroment: unknown key \"enviroment\" (did you mean environment?)",
        "2:7: heal: expected true",
        "5:5: services.shop.verison: unknown key \"verison\" (did you mean version?)",
        "the service does not say which version serves",
        "6:16: services.shop.instances: expected a number from 1 to 1000",
        "7:3: services[\"a b\"]: the service \"a b\" may hold only letters",
        "which is the service itself",
    ] {
        assert!(told.contains(what), "{what} is not in\n{told}");
    }
    assert!(said("").contains("declares nothing"));
    assert!(said("environment: p\nstrategy: {}\n").contains("not supported yet"));
    assert!(
        said("environment: p\nhooks: [{ name: audit }]\n").contains("2:9: hooks[0]: "),
        "hooks are read as in slipway.yaml"
    );
    assert!(
        said("environment: p\ncount: 1\n").contains("it belongs in gates.approvals"),
        "keys of this file are named"
    );
    assert!(said("environment: p\nservices: { a: { version: 1, artifact: abc } }\n").contains("is no digest"));
    assert!(
        said("environment: p\ngates: { approvals: { count: 2, from: [alice] } }\n").contains("only 1 may give one")
    );
}

#[test]
fn hooks_of_an_environment_are_told_of_what_belongs_to_no_service() {
    let warned = |on: &str| {
        let text = format!("environment: p\nhooks: [{{ name: a, on: [{on}], command: [tell] }}]\n");
        declared(&text).warnings.iter().map(|m| m.to_string()).collect::<String>()
    };
    for known in ["token.created", "\"group.*\"", "environment.applied", "rollout.ended", "\"*\""] {
        assert_eq!(warned(known), "", "{known}");
    }
    assert!(warned("token.createt").contains("did you mean token.created?"), "{}", warned("token.createt"));
}

#[test]
fn places_are_kept_for_what_is_found_wrong_later() {
    let places = declared("environment: production\nservices:\n  shop:\n    version: 1\n").places;
    let at = |path: &[&str]| {
        let mistake = places.mistake(path, "no", None);
        (mistake.line, mistake.column, mistake.field)
    };
    assert_eq!(at(&["services", "shop", "version"]), (4, 5, "services.shop.version".to_string()));
    assert_eq!(at(&["services", "shop", "artifact"]), (3, 3, "services.shop.artifact".to_string()));
    assert_eq!(at(&["gates"]), (1, 1, "gates".to_string()));
}

/// The section of the full file at a place, as a JSON pointer.
fn pointer(place: &str) -> String {
    let steps = place.split('.').filter(|step| !step.is_empty());
    steps.map(|step| format!("/{}", step.replace("<name>", "shop").replace("[]", "/0"))).collect()
}

fn with(pointer: &str, key: &str, value: Option<Value>) -> Value {
    let mut file = full();
    let section = file.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")).as_object_mut().unwrap();
    // One of the two only.
    let other = [("webhook", "command"), ("secret_env", "secret_file"), ("header", "cookie")];
    if let Some((_, other)) = other.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).find(|(one, _)| *one == key) {
        section.remove(other);
    }
    match value {
        Some(value) => section.insert(key.to_string(), value),
        None => section.remove(key),
    };
    file
}

#[test]
fn schema_and_reader_know_the_same_keys() {
    let keys = schema::keys_of(&json_schema());
    assert!(keys.len() >= 5, "{keys:?}");
    for (place, keys) in keys {
        let pointer = pointer(&place);
        let told = said(&with(&pointer, "zzzzzzzz", Some(json!(1))).to_string());
        let known = told.split("known keys here: ").nth(1).unwrap_or_else(|| panic!("{place} takes any key: {told}"));
        let known: BTreeSet<&str> = known.split(')').next().unwrap_or_default().split(", ").collect();
        assert_eq!(known, keys.iter().map(String::as_str).collect(), "{place}");
        for key in &keys {
            let told = said(&with(&pointer, key, Some(json!([[["?"]]]))).to_string());
            assert!(told.contains(key.as_str()) && !told.contains("unknown key"), "{place}.{key} is read: {told}");
        }
    }
    assert_eq!(errors(&json_schema(), &full(), ""), Vec::<String>::new());
}

#[test]
fn examples_can_be_used_and_defaults_are_those_of_the_reader() {
    let mut seen = 0;
    fn walk(schema: &Value, place: &str, visit: &mut dyn FnMut(&str, &str, &Value)) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(place, key, property);
            let within = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            walk(property, &within, visit);
            walk(&property["additionalProperties"], &format!("{within}.<name>"), visit);
            walk(&property["items"], &format!("{within}[]"), visit);
        }
    }
    walk(&json_schema(), "", &mut |place, key, property| {
        assert!(property["description"].as_str().is_some_and(|d| d.ends_with('.')), "{place}.{key}");
        for example in property["examples"].as_array().into_iter().flatten() {
            let file = with(&pointer(place), key, Some(example.clone()));
            assert_eq!(errors(&json_schema(), &file, ""), Vec::<String>::new());
            declared(&file.to_string());
        }
        if let Some(default) = property.get("default") {
            let given = declared(&with(&pointer(place), key, Some(default.clone())).to_string()).file;
            let absent = declared(&with(&pointer(place), key, None).to_string()).file;
            assert_eq!(given, absent, "{place}.{key}");
            seen += 1;
        }
    });
    assert!(seen > 5, "{seen}");
}

#[test]
fn the_page_tells_of_every_key_and_its_file_can_be_used() {
    for (place, mut keys) in schema::keys_of(&json_schema()) {
        let name = format!("`{}`", if place.is_empty() { "environment.yaml" } else { &place });
        let mut inside = false;
        let mut told: Vec<&str> = Vec::new();
        for line in PAGE.lines() {
            if line.starts_with('#') {
                inside = line.contains(&name) && (!line.contains("as in slipway.yaml"));
            }
            told.extend(line.strip_prefix("| `").filter(|_| inside).and_then(|row| row.split('`').next()));
        }
        told.sort_unstable();
        keys.sort_unstable();
        assert_eq!(told, keys, "{place}");
    }
    let files: Vec<&str> = PAGE.split("```").filter_map(|block| block.strip_prefix("yaml\n")).collect();
    assert!(!files.is_empty());
    files.iter().for_each(|file| assert!(declared(file).warnings.is_empty(), "{file}"));
}
