//! What is read from files that are right.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::names::{EnvironmentName, ServiceName};
use crate::units::{Millis, Weight};

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn strategy(kind: StrategyKind, verify: u64, standby: u64) -> Strategy {
    Strategy {
        kind,
        verify: Millis::from_secs(verify),
        standby: Millis::from_secs(standby),
        on_inconclusive: OnInconclusive::Hold,
        alpha: 0.01,
        beta: 0.05,
        min_requests: 50,
    }
}

fn environment(name: &str, instances: u32, strategy: Strategy) -> EnvironmentSpec {
    let name = EnvironmentName::new(name).unwrap();
    EnvironmentSpec {
        hooks: Vec::new(),
        name,
        instances,
        strategy,
        env: BTreeMap::new(),
        config: Config::default(),
        traffic: None,
        drill: None,
        require_drill: None,
        gates: Gates::default(),
        watch: Millis::from_secs(86_400),
        cohorts: Vec::new(),
        on_breach: OnBreach::Tell,
    }
}

fn request(name: &str, method: &str, path: &str, body: Option<serde_json::Value>, expect: Expect) -> SmokeTest {
    SmokeTest {
        name: name.to_string(),
        action: SmokeAction::Http {
            method: method.to_string(),
            path: path.to_string(),
            headers: BTreeMap::new(),
            json: body,
            expect,
        },
        timeout: Millis::from_secs(10),
        capture: BTreeMap::new(),
    }
}

fn smoke_of_the_example() -> Vec<SmokeTest> {
    vec![
        request(
            "a user can log in",
            "POST",
            "/login",
            Some(json!({ "user": "smoke" })),
            Expect { status: Some(200), json: Some(json!({ "ok": true })), ..Expect::default() },
        ),
        request("the database answers", "GET", "/ready", None, Expect { status: Some(200), ..Expect::default() }),
        SmokeTest {
            name: "checkout works end to end".to_string(),
            action: SmokeAction::Command(vec!["./smoke.sh".to_string(), "{url}".to_string()]),
            timeout: Millis::from_secs(10),
            capture: BTreeMap::new(),
        },
    ]
}

#[test]
fn the_example_of_the_design_is_read_to_the_letter() {
    let declared = parse(EXAMPLE).unwrap();
    let weights = [100, 500, 2_500, 5_000, 10_000].map(|bp| Weight::from_bp(bp).unwrap());
    let rolling = StrategyKind::Rolling { batch: Amount::Count(1), min_ready: Amount::Percent(Weight::ALL) };
    let canary = StrategyKind::Canary { steps: weights.to_vec(), step_limit: Millis::from_secs(600) };
    let expected = ServiceSpec {
        hooks: Vec::new(),
        assumed: false,
        needs_schema: None,
        migrate: None,
        stateful: false,
        one_version: false,
        service: ServiceName::new("checkout").unwrap(),
        owner: Some("payments-team".to_string()),
        worker: None,
        run: Run {
            command: ["./checkout", "--port", "{port}"].map(String::from).to_vec(),
            env: texts(&[("LOG_LEVEL", "info")]),
            stop_grace: Millis::from_secs(10),
            stop_signal: Default::default(),
        },
        config: Config::default(),
        health: HealthCheck {
            probe: HealthProbe::Http("/healthz".to_string()),
            interval: Millis::from_secs(2),
            timeout: Millis::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
            start_limit: Millis::from_secs(60),
        },
        smoke: smoke_of_the_example(),
        probe: None,
        mirror: None,
        traffic: Traffic {
            host: Some("checkout.local".to_string()),
            path: "/".to_string(),
            sticky_cookie: Some("session".to_string()),
            sticky_header: None,
            timeout: Millis::from_secs(60),
            drain: Millis::from_secs(30),
            drain_long: Millis::from_secs(300),
            max_body: 1 << 30,
            protocol: crate::traffic::Protocol::Http1,
        },
        objectives: vec![
            Objective { name: "errors".to_string(), bad: Bad::Failed, at_most: 0.01, tolerate: Tolerate::Share(0.005) },
            Objective {
                name: "latency".to_string(),
                bad: Bad::SlowerThan(Millis(300)),
                at_most: 0.05,
                tolerate: Tolerate::Share(0.025),
            },
        ],
        environments: vec![
            environment("development", 1, strategy(StrategyKind::BlueGreen, 10, 600)),
            environment("staging", 2, strategy(rolling, 30, 3600)),
            environment("production", 4, strategy(canary, 60, 3600)),
        ],
    };
    assert_eq!(declared.spec, expected);
    assert_eq!(declared.warnings, []);
}

#[test]
fn everything_that_can_be_said_is_read() {
    let spec = spec(
        r#"
---
service: api
run: { command: [./api, 8080, true, "{port}"], env: { VERSION_LIKE: 1.10, FLAG: no, N: 0o17, EMPTY: "" }, stop_grace: 1m30s }
health: { tcp: true, interval: 1.5s, timeout: 250ms, healthy_after: 1, unhealthy_after: 5, start_limit: 2m }
smoke:
  - name: log in
    http:
      method: POST
      path: /login?x=1
      headers: { X-Trace: 17 }
      json: { n: 1.5, big: 12345678901234567890, s: "1", none: ~, list: [yes, true, { a: b }] }
      expect: { headers: { Content-Type: text/html }, body: "^ok [0-9]+" }
    capture: { token: /auth/token, id: /items/0 }
    timeout: 3s
  - { name: use it, command: [./use, "{token}", "{id}", "{url}"] }
  - { name: reach it, tcp: true }
traffic: { host: API.Example, path: /v1/, sticky: { cookie: sid, header: X-User }, timeout: 5s, drain: 0s, drain_long: 1h, max_body: 10MB, protocol: h2c }
objectives: [{ name: slow, bad: slower_than 1.5s, at_most: 0.1%, tolerate: 0.03% }]
environments:
  a: { strategy: rolling, env: { LOG: 1.0 }, traffic: { host: A.Example } }
  b: { instances: 10, strategy: { rolling: { batch: 20%, min_ready: 8, on_inconclusive: rollback, alpha: 0.5%, beta: 10%, min_requests: 7 } }, traffic: { path: /b } }
  c: { strategy: { canary: } }
  d:
"#,
    );
    assert_eq!(spec.run.command, ["./api", "8080", "true", "{port}"]);
    assert_eq!(spec.run.env, texts(&[("VERSION_LIKE", "1.10"), ("FLAG", "no"), ("N", "0o17"), ("EMPTY", "")]));
    assert_eq!(spec.run.stop_grace, Millis(90_000));
    assert_eq!(spec.health.probe, HealthProbe::Tcp);
    assert_eq!((spec.health.interval, spec.health.timeout), (Millis(1_500), Millis(250)));
    let SmokeAction::Http { headers, json, expect, .. } = &spec.smoke[0].action else { panic!() };
    assert_eq!(headers, &texts(&[("x-trace", "17")]));
    let body = json!({ "n": 1.5, "big": 12345678901234567890u64, "s": "1", "none": null, "list": ["yes", true, { "a": "b" }] });
    assert_eq!(json, &Some(body));
    assert_eq!(expect.headers, texts(&[("content-type", "text/html")]));
    assert_eq!(spec.smoke[0].capture, texts(&[("token", "/auth/token"), ("id", "/items/0")]));
    assert_eq!(spec.smoke[2].action, SmokeAction::Tcp);
    assert_eq!(spec.traffic.host.as_deref(), Some("api.example"));
    assert_eq!(
        (spec.traffic.sticky_cookie.as_deref(), spec.traffic.sticky_header.as_deref()),
        (Some("sid"), Some("x-user"))
    );
    assert_eq!((spec.traffic.drain, spec.traffic.max_body), (Millis(0), 10_000_000));
    assert_eq!(spec.traffic.protocol, crate::traffic::Protocol::H2c);
    let slow = &spec.objectives[0];
    assert_eq!(
        (slow.bad.clone(), slow.at_most, slow.tolerate),
        (Bad::SlowerThan(Millis(1_500)), 0.001, Tolerate::Share(0.0003))
    );
    let [a, b, c, d] = spec.environments.as_slice() else { panic!() };
    assert_eq!(a.strategy, Strategy::default_for("rolling").unwrap());
    assert_eq!(a.env, texts(&[("LOG", "1.0")]));
    assert_eq!(a.traffic, Some(TrafficOverlay { host: Some("a.example".to_string()), path: None }));
    let kind =
        StrategyKind::Rolling { batch: Amount::Percent(Weight::from_bp(2_000).unwrap()), min_ready: Amount::Count(8) };
    let on_inconclusive = OnInconclusive::Rollback;
    let expected = Strategy { kind, on_inconclusive, alpha: 0.005, beta: 0.1, min_requests: 7, ..Strategy::default() };
    assert_eq!(b.strategy, expected);
    assert_eq!((&c.strategy, c.instances), (&Strategy::default(), 1));
    assert_eq!((&d.strategy, d.instances), (&Strategy::default(), 1));
}

#[test]
fn an_alias_stands_for_its_value() {
    let text = least("").replace(
        "{ production: {} }",
        "\n  staging: &policy { instances: 3, strategy: { blue-green: { verify: 10s } } }\n  production: *policy\n",
    );
    let spec = spec(&text);
    assert_eq!(spec.environments[0].strategy, spec.environments[1].strategy);
    assert_eq!(spec.environments[1].instances, 3);
}

#[test]
fn a_model_survives_being_stored() {
    let spec = spec(EXAMPLE);
    let stored = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<ServiceSpec>(&stored).unwrap(), spec);
}

#[test]
fn doubts_are_warnings() {
    let warnings = |text: &str| parse(text).unwrap().warnings.iter().map(Mistake::to_string).collect::<Vec<_>>();
    assert_eq!(warnings(&least("")), Vec::<String>::new());
    assert_eq!(
        warnings(&least("").replace("objectives: [{ name: errors, bad: failed, at_most: 1% }]\n", "")),
        [concat!(
            "1:1: objectives: no objective is declared, so one is assumed: at most 1% of the requests may fail ",
            "(objectives: [{ name: errors, bad: failed, at_most: 1% }])"
        )]
    );
    assert_eq!(
        warnings(&least("").replace("\"{port}\"", "\"{prot}\"")),
        [
            "2:17: run.command: {prot} is no placeholder and is passed as it stands (did you mean {port}?)",
            "2:17: run.command: no {port} in the command: the program must take its port from the environment variable PORT (pass {port} as an argument if it does not)",
        ]
    );
    assert_eq!(
        warnings(&least(
            "smoke:\n- { name: a, http: { path: /, json: {} }, capture: { token: /t } }\n- { name: b, http: { path: '/{tokn}' } }\n"
        )),
        [
            "7:37: smoke[0].http.json: most services ignore the body of a GET (add method: POST)",
            "8:3: smoke[1]: {tokn} is captured by no test and is sent as it stands (did you mean {token}?)",
        ]
    );
}
