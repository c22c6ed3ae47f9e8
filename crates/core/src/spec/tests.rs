//! The declared file, mistake by mistake.

use super::*;
use crate::units::{Millis, Weight};

const EXAMPLE: &str = r#"service: checkout
owner: payments-team
run:
  command: ["./checkout", "--port", "{port}"]
  env: { LOG_LEVEL: info, RATIO: 1.10, FLAG: no }
health: { http: /healthz, interval: 2s, timeout: 1s, healthy_after: 2 }
smoke:
  - name: a user can log in
    http: { method: POST, path: /login, json: { user: smoke }, expect: { status: 200, json: { ok: true } } }
  - name: the database answers
    http: { path: /ready, expect: { status: 200 } }
  - name: checkout works end to end
    command: ["./smoke.sh", "{url}"]
traffic: { host: checkout.local, path: /, sticky: { cookie: session } }
objectives:
  - { name: errors,  bad: failed,            at_most: 1%, tolerate: 0.5% }
  - { name: latency, bad: slower_than 300ms, at_most: 5% }
environments:
  development: { instances: 1, strategy: { blue-green: { verify: 10s, standby: 10m } } }
  staging:     { instances: 2, strategy: { rolling: { batch: 1, verify: 30s } } }
  production:
    instances: 4
    strategy:
      canary: { steps: [1%, 5%, 25%, 50%, 100%], step_limit: 10m, verify: 1m, standby: 1h }
"#;

#[test]
fn the_example_means_what_it_says() {
    let declared = parse(EXAMPLE).expect("no mistakes");
    assert_eq!(declared.warnings, []);
    let spec = declared.spec;
    assert_eq!(spec.service.as_str(), "checkout");
    assert_eq!(spec.run.env["RATIO"], "1.10");
    assert_eq!(spec.run.env["FLAG"], "no");
    assert_eq!(spec.health.probe, HealthProbe::Http("/healthz".into()));
    assert_eq!(spec.smoke.len(), 3);
    let SmokeAction::Http { method, json, expect, .. } = &spec.smoke[0].action else { panic!("an HTTP test") };
    assert_eq!((method.as_str(), json.clone()), ("POST", Some(serde_json::json!({ "user": "smoke" }))));
    assert_eq!(expect.json, Some(serde_json::json!({ "ok": true })));
    assert_eq!(spec.traffic.sticky_cookie.as_deref(), Some("session"));
    assert_eq!(spec.objectives[1].bad, Bad::SlowerThan(Millis(300)));
    assert_eq!(spec.objectives[1].tolerate, Tolerate::Share(0.025));
    let names: Vec<&str> = spec.environments.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["development", "staging", "production"]);
    let StrategyKind::Canary { steps, .. } = &spec.environments[2].strategy.kind else { panic!("a canary") };
    assert_eq!(steps.iter().map(|w| w.bp()).collect::<Vec<_>>(), [100, 500, 2500, 5000, 10_000]);
    assert_eq!(steps.last(), Some(&Weight::ALL));
    assert_eq!(spec.environments[0].strategy.standby, Millis::from_secs(600));
}

/// The mistakes of the example with `old` replaced by `new`, one line each.
fn mistakes(old: &str, new: &str) -> Vec<String> {
    assert!(EXAMPLE.contains(old), "{old:?} is not in the example");
    match parse(&EXAMPLE.replacen(old, new, 1)) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let table = [
        ("owner:", "ownr:", "2:1: ownr: there is no key \"ownr\" here (did you mean \"owner\"?)"),
        (
            "instances: 4",
            "instnces: 4",
            "22:5: environments.production.instnces: there is no key \"instnces\" here (did you mean \"instances\"?)",
        ),
        ("instances: 4", "instances: four", "22:16: environments.production.instances: \"four\" is not a whole number"),
        ("instances: 4", "instances: 0", "22:16: environments.production.instances: must be at least 1"),
        (
            "interval: 2s",
            "interval: 2",
            "6:37: health.interval: \"2\" is not a time; write it like 300ms, 2s, 10m, 1h30m or 7d",
        ),
        ("at_most: 1%", "at_most: 101%", "16:55: objectives[0].at_most: 101% is more than 100%"),
        (
            "at_most: 1%",
            "at_most: 1",
            "16:55: objectives[0].at_most: \"1\" is not a percentage; write it like 1% or 0.5%",
        ),
        (
            "5%, 25%, 50%",
            "25%, 5%, 50%",
            "24:34: environments.production.strategy.canary.steps[2]: 5% does not increase on 25% (steps only go up, like [1%, 5%, 25%, 50%, 100%])",
        ),
        (
            "50%, 100%]",
            "50%]",
            "24:36: environments.production.strategy.canary.steps[3]: the last step is 50%, not 100% (end the list with 100%)",
        ),
        (
            "health: { http: /healthz, interval: 2s, timeout: 1s, healthy_after: 2 }",
            "",
            "1:1: \"health\" is missing (nothing is released without a health check: health: { http: /healthz })",
        ),
        (
            "http: /healthz",
            "http: healthz",
            "6:17: health.http: \"healthz\" is not a path; it begins with / and holds no blanks",
        ),
        (
            "[\"./checkout\", \"--port\", \"{port}\"]",
            "./checkout --port {port}",
            "4:12: run.command: a list of program and arguments is expected (no shell is used; write [\"./checkout\", \"--port\", \"{port}\"])",
        ),
        (
            "bad: failed, ",
            "bad: fialed, ",
            "16:29: objectives[0].bad: \"fialed\" is not known; write failed, or slower_than 300ms",
        ),
        (
            "tolerate: 0.5%",
            "tolerate: 2x",
            "16:69: objectives[0].tolerate: \"2x\": multiples are not supported yet; write a share like 0.5%",
        ),
        (
            "owner: payments-team",
            "migrate: {}",
            "2:1: migrate: is not supported yet by this version of Slipway (leave it out)",
        ),
        ("owner: payments-team", "service: twice", "2:1: service: stands twice, first in line 1"),
        (
            "service: checkout",
            "service: a/b",
            "1:10: service: service \"a/b\" may hold only letters, digits and a few of `-._+`",
        ),
        (
            "rolling: { batch: 1,",
            "rolling: { batch: 0,",
            "20:54: environments.staging.strategy.rolling.batch: no instance would ever be replaced",
        ),
        (
            "host: checkout.local",
            "host: http://x",
            "14:18: traffic.host: \"http://x\" is not a host name (without scheme and port)",
        ),
        (
            "name: the database answers",
            "name: a user can log in",
            "10:5: smoke[1]: there are two tests named \"a user can log in\"",
        ),
        ("LOG_LEVEL: info", "PORT: 80", "5:10: run.env.PORT: PORT is set by Slipway for each instance (leave it out)"),
        (
            "canary: {",
            "canry: {",
            "24:7: environments.production.strategy.canry: there is no key \"canry\" here (did you mean \"canary\"?)",
        ),
    ];
    for (old, new, expected) in table {
        assert_eq!(mistakes(old, new), [expected], "{old} -> {new}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text =
        EXAMPLE.replace("owner:", "ownr:").replace("at_most: 5%", "at_most: 500%").replace("batch: 1", "batch: x");
    let lines: Vec<u32> = parse(&text).expect_err("mistakes").iter().map(|m| m.line).collect();
    assert_eq!(lines, [2, 17, 20]);
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    for (text, line) in
        [("service: [", 1), ("a: 1\n\tb: 2", 2), ("", 1), ("a: 1\n---\nb: 2\n", 2), ("a: &x 1\nb: *x\n", 2)]
    {
        let mistakes = parse(text).expect_err("mistakes");
        assert!(mistakes.iter().any(|m| m.line >= line), "{text:?}: {mistakes:?}");
    }
}

#[test]
fn the_configuration_digest_covers_what_runs_and_nothing_else() {
    let digest = |text: &str| config_digest(&parse(text).expect("no mistakes").spec);
    let original = digest(EXAMPLE);
    assert_eq!(
        original,
        digest(&EXAMPLE.replace("instances: 4", "instances: 5").replace("at_most: 1%", "at_most: 2%"))
    );
    assert_ne!(original, digest(&EXAMPLE.replace("LOG_LEVEL: info", "LOG_LEVEL: debug")));
    assert_ne!(original, digest(&EXAMPLE.replace("instances: 4", "instances: 4\n    env: { REGION: eu }")));
}

/// Every place where an object's keys are listed in the schema.
fn keys_of(schema: &serde_json::Value, found: &mut Vec<Vec<String>>) {
    if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
        found.push(properties.keys().cloned().collect());
    }
    match schema {
        serde_json::Value::Object(map) => map.values().for_each(|v| keys_of(v, found)),
        serde_json::Value::Array(items) => items.iter().for_each(|v| keys_of(v, found)),
        _ => {}
    }
}

#[test]
fn the_schema_knows_exactly_the_keys_that_are_read() {
    let mut found = Vec::new();
    keys_of(&json_schema(), &mut found);
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        keys.sort();
        keys
    };
    let read: Vec<Vec<String>> = [
        parse::TOP,
        parse::RUN,
        parse::HEALTH,
        parse::TRAFFIC,
        parse::STICKY,
        parse::OBJECTIVE,
        smoke::TEST,
        smoke::HTTP,
        smoke::EXPECT,
        environments::ENVIRONMENT,
        environments::OVERLAY,
    ]
    .iter()
    .map(|keys| sorted(keys))
    .chain(environments::KINDS.iter().map(|(_, own)| sorted(&[own, environments::SHARED].concat())))
    .collect();
    for keys in &read {
        assert!(found.contains(keys), "the schema lacks {keys:?}");
    }
    let kinds = sorted(&environments::KINDS.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    for keys in found.iter().filter(|k| **k != kinds) {
        assert!(read.contains(keys), "nothing reads {keys:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,400}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_change_of_the_example_makes_it_panic(at in 0usize..EXAMPLE.len(), with in "[ -~\n\t]{0,3}") {
        let mut text = EXAMPLE.to_string();
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..at + 1, &with);
            let _ = parse(&text);
        }
    }
}
