//! What is wrong with drills and gates, and where.

use super::super::Cohort;
use super::{Mistake, parse};
use crate::traffic::CohortRule;

fn production(policy: &str) -> String {
    format!(
        "service: checkout\nrun: {{ command: [\"./checkout\", \"{{port}}\"] }}\nhealth: {{ http: /healthz }}\n\
         objectives: [{{ name: errors, bad: failed, at_most: 1% }}]\nenvironments:\n  production:\n    {policy}\n"
    )
}

fn said(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|m| m.to_string()).collect::<Vec<_>>().join("\n")
}

fn refused(policy: &str) -> String {
    said(&parse(&production(policy)).expect_err(policy))
}

#[test]
fn a_drill_says_when() {
    assert!(refused("drill: {}").contains("does not say how often"), "{}", refused("drill: {}"));
    assert!(refused("drill: { every: 5s }").contains("more often than every 1m"));
    let zone = refused("drill: { every: 7d, window: \"Tue 10:00-16:00 Europe/Atlantis\" }");
    assert!(zone.starts_with("7:") && zone.contains("Europe/Atlantis"), "{zone}");
    assert!(
        refused("drill: { every: 7d, window: \"2026-12-20 18:00 to 2026-12-21 18:00 UTC\" }").contains("only once")
    );
    assert!(refused("require_drill: 0s").contains("never so young"));
}

#[test]
fn a_gate_that_can_never_hold_is_refused() {
    let few = refused("gates: { approvals: { count: 3, from: [alice, bob] } }");
    assert!(few.contains("3 approvals are asked for, and only 2 may give one"), "{few}");
    let always = refused(
        "gates: { freeze: [{ window: \"Mon 00:00 to Fri 12:00 UTC\" }, { window: \"Fri 10:00 to Mon 01:00 Europe/Berlin\" }] }",
    );
    assert!(always.contains("no time of the week"), "{always}");
    let owner = refused("gates: { readiness: [owner] }");
    assert!(owner.contains("asks for owner, and none is declared"), "{owner}");
    assert!(refused("gates: { readiness: [onwer] }").contains("did you mean owner?"));
    assert!(refused("gates: { after: [\"payments >= latest\"] }").contains("no number to compare by"));
    for unreadable in ["2.x", "v", "2..1", "99999999999999999999"] {
        let told = refused(&format!("gates: {{ after: [\"payments >= {unreadable}\"] }}"));
        assert!(told.contains("no number to compare by"), "{unreadable}: {told}");
    }
    let assumed = production("gates: { readiness: [objectives] }");
    let line = assumed.lines().find(|line| line.starts_with("objectives:")).unwrap();
    let none = parse(&assumed.replace(line, "objectives: []")).map(|_| String::new()).unwrap_or_else(|m| said(&m));
    assert!(none.contains("asks for objectives, and none is declared"), "{none}");
    assert!(refused("gates: { after: [checkout] }").contains("the service itself"));
    assert!(refused("gates: { approvals: { from: [alice, alice] } }").contains("twice"));
}

#[test]
fn a_gate_that_shuts_its_own_people_out_is_doubtful() {
    let declared = parse(&production("gates: { approvals: { count: 2, from: [alice, bob] } }")).unwrap();
    assert!(said(&declared.warnings).contains("none of them can release here"));
    let nobody = parse(&production("gates: { approvals: { from: [] } }")).unwrap();
    assert!(said(&nobody.warnings).contains("anybody with the right may approve"));
}

#[test]
fn what_is_declared_is_what_is_meant() {
    let policy = "gates: { after: [\"payments >= 2.1 in staging\", ledger], readiness: [objectives] }";
    let spec = parse(&production(policy)).unwrap().spec;
    let gates = &spec.environments[0].gates;
    assert_eq!(gates.after.iter().map(|a| a.to_string()).collect::<Vec<_>>(), ["payments >= 2.1 in staging", "ledger"]);
    assert_eq!(gates.readiness.len(), 1);
}

#[test]
fn configuration_is_no_second_place_for_a_variable_and_stays_below_its_folder() {
    let with = |config: &str| {
        let text = production("instances: 1").replacen("health:", &format!("config: {config}\nhealth:"), 1);
        parse(&text).map(|declared| declared.spec)
    };
    let refused = |config: &str| said(&with(config).expect_err(config));
    assert!(refused("{ values: { PORT: 1 } }").contains("set by Slipway"));
    for path in ["/etc/passwd", "../up", "a/../../b", "a//b", "a/."] {
        let told = refused(&format!("{{ files: {{ {path}: x }} }}"));
        assert!(told.contains("below the instance's folder"), "{path}: {told}");
    }
    assert!(refused("{ files: { a: [] } }").contains("the text of the file"));
    let twice = production("env: { A: b }\n    config: { values: { A: c } }");
    assert!(said(&parse(&twice).expect_err("twice")).contains("A stands in env as well"));
    let spec = with("{ values: { A: service }, files: { conf/a: one } }").unwrap();
    let production = crate::names::EnvironmentName::new("production").unwrap();
    assert_eq!(spec.env(&production).get("A").map(String::as_str), Some("service"));
    assert_eq!(spec.files(&production).len(), 1);
}

#[test]
fn a_probe_says_how_often_and_what() {
    let with = |probe: &str| {
        let text = production("instances: 1").replace("objectives:", &format!("probe: {probe}\nobjectives:"));
        parse(&text).map(|_| String::new()).unwrap_or_else(|mistakes| said(&mistakes))
    };
    assert_eq!(with("{ rate: 5/s, request: { path: / } }"), "");
    assert_eq!(with("{ rate: 0.5/s, timeout: 1s, request: { method: POST, path: /x, body: y } }"), "");
    for (probe, expected) in [
        ("{}", "says nothing of how often"),
        ("{ rate: 5/s }", "says nothing of what to send"),
        ("{ rate: 5, request: { path: / } }", "is not a rate (for example 5/s or 0.5/s)"),
        ("{ rate: -1/s, request: { path: / } }", "is not a rate"),
        ("{ rate: 1e1/s, request: { path: / } }", "is not a rate"),
        ("{ rate: 5000/s, request: { path: / } }", "is not between 0.1/s and 50/s"),
        ("{ rate: 0/s, request: { path: / } }", "is not between 0.1/s and 50/s"),
        ("{ rate: 5/s, request: { path: x } }", "probe.request.path"),
        ("{ rate: 5/s, request: { path: /, method: get } }", "write GET"),
        ("{ rate: 5/s, request: { path: /, json: {} } }", "not supported yet"),
        ("{ rate: 5/s, timeout: 0s, request: { path: / } }", "above 0s and at most 60s"),
        ("{ rate: 5/s, request: { path: /, headers: { content-length: 3 } } }", "content-length"),
    ] {
        let got = with(probe);
        assert!(got.contains(expected) && got.starts_with("4:"), "{probe}: {got}");
    }
}

#[test]
fn a_cohort_says_who() {
    let good = "cohorts: [{ name: internal, header: \"X-Internal: 1\" }, { name: beta, cookie: beta=1 }]";
    let spec = parse(&production(good)).expect(good).spec;
    let header = CohortRule::Header { name: "x-internal".into(), value: "1".into() };
    assert_eq!(spec.environments[0].cohorts[0], Cohort { name: "internal".into(), rule: header });
    for (cohorts, expected) in [
        ("{}", "expected a list"),
        ("[{ name: a }]", "header or cookie is missing"),
        ("[{ header: \"A: b\" }]", "a cohort needs a name"),
        ("[{ name: a, header: \"A: b\", cookie: c=d }]", "only one of them can be"),
        ("[{ name: a, header: A }]", "is not a header and its value"),
        ("[{ name: a, header: \"A:\" }]", "needs a value"),
        ("[{ name: a, header: \"A b: c\" }]", "A b"),
        ("[{ name: a, cookie: beta }]", "is not a cookie and its value"),
        ("[{ name: a, cookie: \"a=b; c=d\" }]", "is not a cookie and its value"),
        ("[{ name: a, cookie: a=b }, { name: a, cookie: c=d }]", "a second cohort is called \"a\""),
    ] {
        let got = refused(&format!("cohorts: {cohorts}"));
        assert!(got.contains(expected) && got.starts_with("7:"), "{cohorts}: {got}");
    }
}
