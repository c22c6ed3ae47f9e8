//! One of everything: each kind of rollout in each phase, and each state of a service in which none is open.

use serde_json::{Value, json};

use super::fixtures::*;
use crate::console::rollout;
use crate::wire::{LaneStatus, WireRollout};

/// How a step stands, the waiting one with what it waits for.
fn walked(names: &[(&str, &str)]) -> Value {
    Value::Array(names.iter().map(|(name, state)| step(name, state)).collect())
}

/// A rollout in one phase, and its service in its environment at that moment.
pub struct Phase {
    /// Its name in the snapshots.
    pub name: &'static str,
    /// The rollout.
    pub rollout: WireRollout,
    /// The service meanwhile.
    pub lane: LaneStatus,
    /// What its page is made from.
    pub told: rollout::Told,
}

fn phase(name: &'static str, rollout: Value, mut plan_of: Value, lane: LaneStatus) -> Phase {
    let rollout = wire(rollout);
    let (queued, ended) = (rollout.state == "queued", rollout.state == "ended");
    let decided = match rollout.outcome.as_deref() {
        Some("rolled_back" | "failed") => decision("undo", rollout.cause.as_deref().unwrap_or_default()),
        _ => json!([]),
    };
    let base = plan();
    plan_of = merged(base, plan_of);
    let mut told = told(rollout.clone(), decided, ended, lane.clone());
    if let Some(explanation) = &mut told.explanation {
        explanation.plan = read(plan_of);
    }
    if queued {
        told = rollout::Told { explanation: None, samples: vec![], smokes: vec![], ..told };
    }
    if rollout.exposed_requests == 0 {
        told = rollout::Told { samples: vec![], smokes: vec![], ..told };
    }
    Phase { name, rollout, lane, told }
}

/// Phases and kinds beside the canary that goes on, is paused, held or taken back.
pub fn phases() -> Vec<Phase> {
    let version =
        |name: &str| json!({ "version": name, "digest": "sha256:00", "ready": 2, "desired": 2, "instances": [] });
    let over = |outcome: &str, cause: &str| json!({ "state": "ended", "outcome": outcome, "cause": cause, "waiting": null, "split": [] });
    let none = || json!({ "exposed_requests": 0, "exposed_users": 0, "failed_requests": 0 });
    let all = merged;
    let two = |one: &str, other: &str| {
        let step = |name: &str, exposed: u16| {
            json!({ "name": name, "what": format!("what {name} does"), "undo": "", "exposed_bp": exposed, "judged": exposed > 0,
                "requests": {}, "best_ms": 1000, "worst_ms": 600000, "today_ms": null })
        };
        json!([step(one, 0), step(other, if other == "contract" { 0 } else { 10000 })])
    };
    let first = || {
        json!({ "from": null, "way_back": "first release: there is nothing to go back to; its undo is to stop",
        "rollback": "the instances are stopped", "extra_instances": 0, "remarks": [], "steps": two("prepare", "verification") })
    };
    let nothing = json!({ "stable": null, "candidate": version("1.1.0"), "back_to": null, "times": {},
        "no_way_back": "nothing serves shop in production", "deployed_at": null });
    let back_times = json!({ "stable": version("1.1.0"), "candidate": version("1.0.0"), "back_to": null, "no_way_back": null,
        "split": [{ "version": "1.0.0", "weight_bp": 10000, "measured_bp": null }] });
    let backward = json!({ "version": "1.0.0", "from": "1.1.0", "strategy": "blue-green",
        "steps": walked(&[("switch", "done"), ("verification", "waiting")]),
        "waiting": { "on": "12s of verification under the fail rule", "remaining_ms": 12000 },
        "split": [{ "version": "1.0.0", "weight_bp": 10000, "measured_bp": 9990 }] });
    let back_plan = || {
        json!({ "strategy": "blue-green", "steps": two("switch", "verification"), "remarks": [],
        "way_back": "1.1.0 keeps all of its 2 instances warm; one routing change" })
    };
    let contract = || {
        json!({ "kind": "contract", "strategy": "contract", "version": "1.1.0", "from": null, "split": [],
        "steps": walked(&[("prepare", "done"), ("contract", "acting")]), "waiting": { "on": "contract of schema 2: end", "remaining_ms": 590000 } })
    };
    let contract_plan = || {
        json!({ "strategy": "contract", "from": null, "steps": two("prepare", "contract"), "remarks": [],
        "way_back": "none: what is removed does not come back", "rollback": "", "points_of_no_return": ["contract"] })
    };
    let worker = || {
        json!({ "worker": true, "split": [{ "version": "1.0.0", "weight_bp": 8000, "measured_bp": null },
        { "version": "1.1.0", "weight_bp": 2000, "measured_bp": null }], "exposed_users": 0,
        "waiting": { "on": "parcels: 0 parcel_lost of 40 parcel_taken (0%); about 100 more are needed", "remaining_ms": 400000 } })
    };
    let worker_plan =
        || json!({ "worker": true, "way_back": "1.0.0 goes on with all of its instances; stop the new ones" });
    let queued = |on: &str| {
        json!({ "state": "queued", "steps": [], "split": [], "from": null,
        "waiting": { "on": on, "remaining_ms": null } })
    };
    let gone_back = json!({ "went_back": { "rollout": "ro-12", "from": "1.1.0", "to": "1.0.0", "at": BEGAN, "ago_ms": 60000,
        "cause": "errors: 31 of 402 requests failed" } });
    vec![
        phase(
            "queued without a gate",
            all(queued("ro-11 to end"), none()),
            json!({}),
            lane(json!({ "rollout": "ro-11", "queue": ["ro-12"] })),
        ),
        phase("running", json!({}), json!({}), lane(json!({}))),
        phase(
            "running, with probes",
            json!({ "probes": { "synthetic": true, "candidate": 1200, "candidate_failed": 1, "stable": 1200, "stable_failed": 0 } }),
            json!({}),
            lane(json!({})),
        ),
        phase("paused", json!({ "state": "paused", "cause": "paused by user:ada" }), json!({}), lane(json!({}))),
        phase(
            "held",
            json!({ "state": "held", "outcome": "held", "cause": "5% is inconclusive after 10m: 12 requests seen" }),
            json!({}),
            lane(json!({})),
        ),
        phase(
            "held by an unclear migration",
            json!({ "state": "held", "outcome": "held", "unsettled": true, "cause": "nobody knows what expand of schema 2 has done" }),
            json!({}),
            lane(json!({})),
        ),
        phase(
            "going back",
            json!({ "state": "undoing", "cause": "errors: 31 of 402 requests failed" }),
            json!({}),
            lane(json!({})),
        ),
        phase(
            "succeeded",
            all(over("succeeded", "1.1.0 passed every step and was verified"), json!({ "steps": steps(["done"; 4]) })),
            json!({}),
            calm(
                json!({ "stable": version("1.1.0"), "standby": version("1.0.0"), "standby_until": BEGAN + 3_600_000 }),
            ),
        ),
        phase(
            "rolled back",
            all(
                over("rolled_back", "errors: 31 of 402 requests failed"),
                json!({ "rollback_ms": 14, "steps": steps(["done", "failed", "skipped", "skipped"]) }),
            ),
            json!({}),
            calm(gone_back),
        ),
        phase(
            "blocked",
            all(
                all(
                    over(
                        "blocked",
                        "after payments: nothing of it serves in production; release payments to production first",
                    ),
                    none(),
                ),
                json!({ "steps": steps(["pending"; 4]) }),
            ),
            json!({}),
            calm(json!({})),
        ),
        phase(
            "withdrawn",
            all(all(over("blocked", "withdrawn by user:ada"), none()), json!({ "steps": steps(["skipped"; 4]) })),
            json!({}),
            calm(json!({})),
        ),
        phase(
            "superseded",
            all(
                over("superseded", "superseded by ro-13, which is newer"),
                json!({ "rollback_ms": 9, "steps": steps(["done", "failed", "skipped", "skipped"]) }),
            ),
            json!({}),
            calm(json!({})),
        ),
        phase(
            "first release",
            json!({ "from": null, "steps": walked(&[("prepare", "done"), ("verification", "waiting")]), "split": [{ "version": "1.1.0", "weight_bp": 10000, "measured_bp": 10000 }] }),
            first(),
            lane(nothing.clone()),
        ),
        phase(
            "first release failed",
            all(
                over("failed", "errors: 31 of 402 requests failed"),
                json!({ "from": null, "rollback_ms": 20, "steps": walked(&[("prepare", "done"), ("verification", "failed")]) }),
            ),
            first(),
            calm(nothing),
        ),
        phase("drill", all(backward.clone(), json!({ "kind": "drill" })), back_plan(), lane(back_times.clone())),
        phase(
            "drill passed",
            all(
                all(
                    over("succeeded", "there in 7ms and back in 9ms"),
                    json!({ "kind": "drill", "version": "1.0.0", "from": "1.1.0" }),
                ),
                json!({ "steps": walked(&[("switch", "done"), ("verification", "done")]) }),
            ),
            back_plan(),
            calm(json!({ "stable": version("1.1.0"), "standby": version("1.0.0") })),
        ),
        phase("rollback", all(backward, json!({ "kind": "rollback" })), back_plan(), lane(back_times)),
        phase(
            "contract",
            all(contract(), none()),
            contract_plan(),
            lane(json!({ "candidate": null, "split": [], "stable": version("1.1.0") })),
        ),
        phase(
            "contract held",
            all(
                all(contract(), none()),
                json!({ "state": "held", "outcome": "held", "unsettled": true, "cause": "nobody knows what contract of schema 2 has done: end ended with exit status: 1" }),
            ),
            contract_plan(),
            lane(json!({ "candidate": null, "split": [], "stable": version("1.1.0") })),
        ),
        phase("worker", worker(), worker_plan(), lane(json!({ "worker": true }))),
        phase(
            "worker rolled back",
            all(
                all(worker(), over("rolled_back", "parcels: 9 parcel_lost of 40 parcel_taken")),
                json!({ "rollback_ms": 210, "steps": steps(["done", "failed", "skipped", "skipped"]) }),
            ),
            worker_plan(),
            calm(json!({ "worker": true })),
        ),
    ]
}

/// A service where no rollout is open, in each state that somebody has to know of.
pub fn states() -> Vec<(&'static str, LaneStatus)> {
    let version = |ready: u32| json!({ "version": "1.0.0", "digest": "sha256:00", "ready": ready, "desired": 2, "instances": [] });
    let what = "5% of the requests to 1.0.0 are answered with 503 and reach nobody";
    let fault = json!({ "number": 1, "kind": "abort", "what": what, "version": "1.0.0", "cohort": null, "share_bp": 500,
        "left_ms": 60000, "by": "user:ada", "reason": "a <game> day" });
    vec![
        ("calm", calm(json!({}))),
        ("waiting for a word", calm(json!({ "queue": ["ro-12"] }))),
        (
            "incident",
            calm(
                json!({ "incident": { "number": 2, "since": BEGAN, "what": ["errors: 7% of 900 requests failed"], "likely": ["1.0.0 came 3m before"] } }),
            ),
        ),
        (
            "incident during a rollout",
            lane(
                json!({ "incident": { "number": 3, "since": BEGAN, "what": ["errors: 7% of 900 requests failed"], "likely": [] } }),
            ),
        ),
        ("restart", calm(json!({ "stable": version(1), "restart": { "by": "user:ada", "left": 1, "of": 2 } }))),
        ("maintenance", calm(json!({ "maintenance": true }))),
        ("faults", calm(json!({ "faults": [fault] }))),
        ("short", calm(json!({ "stable": version(1) }))),
        ("nothing ready", calm(json!({ "stable": version(0) }))),
        ("drift", calm(json!({ "drift": ["shop: 1.0.0 serves, the file says 1.1.0"] }))),
        ("not recorded", calm(json!({ "unrecorded": { "since": BEGAN, "why": "the disk is full" } }))),
        ("not recorded during a rollout", lane(json!({ "unrecorded": { "since": BEGAN, "why": "the disk is full" } }))),
        (
            "never practised",
            calm(
                json!({ "times": {}, "back_to": null, "no_way_back": "1.0.0 has no predecessor in shop in production" }),
            ),
        ),
        (
            "drilled, and slower",
            calm(
                json!({ "times": { "rollback_ms": 70, "deployment_ms": 50, "drill": { "rollout": "ro-7", "to": "0.9.0", "at": BEGAN,
            "ago_ms": 86_400_000u64, "cold": true, "passed": true, "cause": "", "back_ms": 70, "forth_ms": 9, "deployment_ms": 50, "slower": true } } }),
            ),
        ),
        (
            "drill failed",
            calm(
                json!({ "times": { "rollback_ms": 7, "deployment_ms": 50, "drill": { "rollout": "ro-7", "to": "0.9.0", "at": BEGAN,
            "ago_ms": 86_400_000u64, "cold": false, "passed": false, "cause": "shop-3 failed its smoke test", "back_ms": null, "forth_ms": null, "deployment_ms": 50, "slower": false } } }),
            ),
        ),
    ]
}
