//! What the API tells in each phase: a canary on its way, and what differs from it.

use serde_json::{Value, json};
use slipway_core::rights::Right;

use crate::console::rollout;
use crate::console::session::Viewer;
use crate::wire::{Explanation, LaneStatus, WireGates, WireRollout, WireSample};

pub const BEGAN: u64 = 1_790_000_000_000;

pub fn viewer(rights: &[Right]) -> Viewer {
    Viewer { name: "ada".into(), rights: rights.iter().copied().collect(), csrf: "proof".into() }
}

pub fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

pub fn merged(mut base: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    base.as_object_mut().unwrap().extend(changes);
    base
}

pub fn step(name: &str, state: &str) -> Value {
    json!({ "name": name, "state": state, "report": if state == "failed" { "errors: 31 of 402 requests failed" } else { "" } })
}

pub fn steps(states: [&str; 4]) -> Value {
    let names = ["prepare", "5%", "50%", "verification"];
    Value::Array(names.into_iter().zip(states).map(|(name, state)| step(name, state)).collect())
}

/// A canary on its way, and what differs from it.
pub fn wire(changes: Value) -> WireRollout {
    let base = json!({
        "rollout": "ro-12", "kind": "release", "service": "shop", "environment": "production", "version": "1.1.0",
        "from": "1.0.0", "strategy": "canary", "state": "running", "outcome": null, "cause": null, "deploy_ms": 1840,
        "rollback_ms": null, "exposed_requests": 1490, "exposed_users": 212, "failed_requests": 4, "failed_by_slipway": 0,
        "steps": steps(["done", "waiting", "pending", "pending"]),
        "waiting": { "on": "errors: 3 of 286 requests failed (1%); about 900 more are needed", "remaining_ms": 461900 },
        "split": [{ "version": "1.0.0", "weight_bp": 9500, "measured_bp": 9522 },
                  { "version": "1.1.0", "weight_bp": 500, "measured_bp": 478 }],
        "judgements": []
    });
    read(merged(base, changes))
}

pub fn plan() -> Value {
    let step = |name: &str, exposed: u16, ms: u64| {
        json!({ "name": name, "what": format!("what {name} does"), "undo": "one routing change",
        "exposed_bp": exposed, "judged": exposed > 0, "requests": {}, "best_ms": ms, "worst_ms": 600000, "today_ms": null })
    };
    json!({ "strategy": "canary", "version": "1.1.0", "from": "1.0.0", "way_back": "1.0.0 keeps all of its 2 instances warm",
        "steps": [step("prepare", 0, 0), step("5%", 500, 22000), step("50%", 5000, 9000), step("verification", 9900, 60000)],
        "extra_instances": 2, "points_of_no_return": [], "best_ms": 91000, "worst_ms": 1800000, "today_ms": null,
        "rollback": "one routing change, well under a second", "remarks": ["step \"prepare\" gives up 0.9.0 as standby"] })
}

pub fn explanation(rollout: &WireRollout, decisions: Value, ended: Option<u64>) -> Explanation {
    let mut value = serde_json::to_value(rollout).unwrap();
    value = merged(
        value,
        json!({ "actor": "user:grace", "began_at": BEGAN, "ended_at": ended, "plan": plan(), "decisions": decisions }),
    );
    read(value)
}

fn sample(second: u64, step: usize, state: &str, n: u64, upper: f64) -> Value {
    json!({ "at": BEGAN + second * 1000, "step": step, "state": state, "weight_bp": 500, "measured_bp": 478, "requests": n,
        "failed": n / 100, "waiting": "about 900 more requests are needed",
        "objectives": [{ "name": "errors", "verdict": "inconclusive", "n": n, "bad": n / 100, "lower": 0.001, "upper": upper,
            "pass_at": 0.02, "fail_at": 0.015, "stable": [0.0, 0.004] }] })
}

pub fn samples(last: &str) -> Vec<WireSample> {
    read(json!([
        sample(1, 0, "running", 0, 1.0),
        sample(2, 1, "running", 50, 0.3),
        sample(3, 1, "running", 286, 0.05),
        sample(4, 1, last, 286, 0.05)
    ]))
}

pub fn lane(changes: Value) -> LaneStatus {
    let version = |name: &str, ready: u32| json!({ "version": name, "digest": "sha256:00", "ready": ready, "desired": 2, "instances": [] });
    let base = json!({ "service": "shop", "environment": "production", "stable": version("1.0.0", 2), "candidate": version("1.1.0", 2),
        "standby": null, "standby_until": null, "deployed_at": BEGAN, "back_to": "1.0.0",
        "split": [{ "version": "1.0.0", "weight_bp": 9500, "measured_bp": null }, { "version": "1.1.0", "weight_bp": 500, "measured_bp": null }],
        "rollout": "ro-12", "queue": [], "requests_per_second": 300.0,
        "times": { "rollback_ms": 7, "deployment_ms": 31000, "drill": { "rollout": "ro-7", "to": "0.9.0", "at": BEGAN, "ago_ms": 259200000u64,
            "cold": false, "passed": true, "cause": "", "back_ms": 7, "forth_ms": 9, "deployment_ms": 31000, "slower": false } } });
    read(merged(base, changes))
}

pub fn calm(changes: Value) -> LaneStatus {
    lane(merged(json!({ "rollout": null, "candidate": null, "split": [] }), changes))
}

pub fn gates(approvals: Value) -> WireGates {
    read(
        json!({ "service": "shop", "environment": "production", "rollout": "ro-12", "version": "1.1.0", "artifact": "sha256:00",
        "config": "sha256:01", "asked_by": "user:grace", "override": null,
        "gates": [{ "name": "approvals", "standing": "waiting", "sentence": "0 of 1 people have approved it", "remedy": "slipway approve ro-12" },
                  { "name": "freeze", "standing": "met", "sentence": "no freeze is on", "remedy": null }],
        "approvals": approvals, "plan": plan(), "shown": "sha256:02", "watchers": ["judged by errors", "nobody is told by hooks"],
        "changes": { "service": "shop", "from": "1.0.0", "to": "1.1.0", "same_artifact": false, "artifact_before": "sha256:00",
            "artifact_after": "sha256:01", "same_config": false, "config_before": "a", "config_after": "b",
            "differences": [{ "place": "config.values.GREETING", "before": "hello", "after": "<b>hi</b>" },
                            { "place": "config.files.\"app.conf\"", "before": "a\n", "after": "b\n" }] } }),
    )
}

pub fn decision(what: &str, sentence: &str) -> Value {
    json!([{ "at": BEGAN + 3500, "step": "5%", "what": what, "actor": "slipway", "sentence": sentence, "judgements": [
        { "objective": "errors", "verdict": "fail", "n": 402, "bad": 31, "lower": 0.03, "upper": 0.12, "pass_at": 0.02, "fail_at": 0.015,
          "stable": null, "sentence": "31 of 402 requests failed" }] }])
}

pub fn told(rollout: WireRollout, decisions: Value, ended: bool, lane: LaneStatus) -> rollout::Told {
    let last = rollout.state.clone();
    rollout::Told {
        explanation: Some(explanation(&rollout, decisions, ended.then_some(BEGAN + 4000))),
        samples: samples(&last),
        lane: Some(lane),
        gates: None,
        group: None,
        unread: false,
        smokes: read(
            json!([{ "at": BEGAN + 500, "kind": "instance.smoked", "actor": "slipway", "sentence": "shop-3 passed 3 smoke tests" }]),
        ),
        now: BEGAN + 5000,
        rollout,
    }
}
