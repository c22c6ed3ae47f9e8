//! Every page in every phase of a rollout, as snapshots: what a page says changes only when somebody looks at the change.

use serde_json::{Value, json};
use slipway_core::journal::Entry;
use slipway_core::rights::Right;

use super::frame::Living;
use super::session::Viewer;
use super::{environment, journal, overview, rollout, service};
use crate::wire::{Explanation, HistoryEntry, LaneStatus, WireComparison, WireGates, WireRollout, WireSample};

const BEGAN: u64 = 1_790_000_000_000;

fn viewer(rights: &[Right]) -> Viewer {
    Viewer { name: "ada".into(), rights: rights.iter().copied().collect(), csrf: "proof".into() }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn merged(mut base: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    base.as_object_mut().unwrap().extend(changes);
    base
}

fn step(name: &str, state: &str) -> Value {
    json!({ "name": name, "state": state, "report": if state == "failed" { "errors: 31 of 402 requests failed" } else { "" } })
}

fn steps(states: [&str; 4]) -> Value {
    let names = ["prepare", "5%", "50%", "verification"];
    Value::Array(names.into_iter().zip(states).map(|(name, state)| step(name, state)).collect())
}

/// A canary on its way, and what differs from it.
fn wire(changes: Value) -> WireRollout {
    let base = json!({
        "rollout": "ro-12", "kind": "release", "service": "shop", "environment": "production", "version": "1.1.0",
        "from": "1.0.0", "strategy": "canary", "state": "running", "outcome": null, "cause": null, "deploy_ms": 1840,
        "rollback_ms": null, "exposed_requests": 1490, "failed_requests": 4, "failed_by_slipway": 0,
        "steps": steps(["done", "waiting", "pending", "pending"]),
        "waiting": { "on": "errors: 3 of 286 requests failed (1%); about 900 more are needed", "remaining_ms": 461900 },
        "split": [{ "version": "1.0.0", "weight_bp": 9500, "measured_bp": 9522 },
                  { "version": "1.1.0", "weight_bp": 500, "measured_bp": 478 }],
        "judgements": []
    });
    read(merged(base, changes))
}

fn plan() -> Value {
    let step = |name: &str, exposed: u16, ms: u64| {
        json!({ "name": name, "what": format!("what {name} does"), "undo": "one routing change",
        "exposed_bp": exposed, "judged": exposed > 0, "requests": {}, "best_ms": ms, "worst_ms": 600000, "today_ms": null })
    };
    json!({ "strategy": "canary", "version": "1.1.0", "from": "1.0.0", "way_back": "1.0.0 keeps all of its 2 instances warm",
        "steps": [step("prepare", 0, 0), step("5%", 500, 22000), step("50%", 5000, 9000), step("verification", 9900, 60000)],
        "extra_instances": 2, "points_of_no_return": [], "best_ms": 91000, "worst_ms": 1800000, "today_ms": null,
        "rollback": "one routing change, well under a second", "remarks": ["step \"prepare\" gives up 0.9.0 as standby"] })
}

fn explanation(rollout: &WireRollout, decisions: Value, ended: Option<u64>) -> Explanation {
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

fn samples(last: &str) -> Vec<WireSample> {
    read(json!([
        sample(1, 0, "running", 0, 1.0),
        sample(2, 1, "running", 50, 0.3),
        sample(3, 1, "running", 286, 0.05),
        sample(4, 1, last, 286, 0.05)
    ]))
}

fn lane(changes: Value) -> LaneStatus {
    let version = |name: &str, ready: u32| json!({ "version": name, "digest": "sha256:00", "ready": ready, "desired": 2, "instances": [] });
    let base = json!({ "service": "shop", "environment": "production", "stable": version("1.0.0", 2), "candidate": version("1.1.0", 2),
        "standby": null, "standby_until": null, "deployed_at": BEGAN, "back_to": "1.0.0",
        "split": [{ "version": "1.0.0", "weight_bp": 9500, "measured_bp": null }, { "version": "1.1.0", "weight_bp": 500, "measured_bp": null }],
        "rollout": "ro-12", "queue": [], "requests_per_second": 300.0,
        "times": { "rollback_ms": 7, "deployment_ms": 31000, "drill": { "rollout": "ro-7", "to": "0.9.0", "at": BEGAN, "ago_ms": 259200000u64,
            "cold": false, "passed": true, "cause": "", "back_ms": 7, "forth_ms": 9, "deployment_ms": 31000, "slower": false } } });
    read(merged(base, changes))
}

fn calm(changes: Value) -> LaneStatus {
    lane(merged(json!({ "rollout": null, "candidate": null, "split": [] }), changes))
}

fn gates(approvals: Value) -> WireGates {
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

fn decision(what: &str, sentence: &str) -> Value {
    json!([{ "at": BEGAN + 3500, "step": "5%", "what": what, "actor": "slipway", "sentence": sentence, "judgements": [
        { "objective": "errors", "verdict": "fail", "n": 402, "bad": 31, "lower": 0.03, "upper": 0.12, "pass_at": 0.02, "fail_at": 0.015,
          "stable": null, "sentence": "31 of 402 requests failed" }] }])
}

fn told(rollout: WireRollout, decisions: Value, ended: bool, lane: LaneStatus) -> rollout::Told {
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

/// Without the blank lines that templates leave.
fn tidy(html: &str) -> String {
    html.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

macro_rules! shows {
    ($name:literal, $html:expr) => {
        insta::assert_snapshot!($name, tidy(&$html))
    };
}

#[test]
fn a_rollout_in_each_phase() {
    let all = viewer(&Right::ALL);
    let page =
        |viewer: &Viewer, told: &rollout::Told, moment| rollout::view::view(viewer, told, moment).living().unwrap();
    let ended = |outcome: &str, cause: &str, back: Option<u64>, states| {
        wire(
            json!({ "state": "ended", "outcome": outcome, "cause": cause, "rollback_ms": back, "waiting": null, "split": [], "steps": steps(states) }),
        )
    };
    let running = told(wire(json!({})), json!([]), false, lane(json!({})));
    shows!("rollout_running", page(&all, &running, None));
    shows!("rollout_running_for_an_onlooker", page(&viewer(&[]), &running, None));
    let member = |service: &str, rollout: Value| {
        json!({ "service": service, "version": "1.1.0", "from": "1.0.0", "after": [], "strategy": "canary",
        "progress": "releasing", "rollout": rollout, "cause": null })
    };
    let group = json!({ "id": "gr-3", "group": "shop", "environment": "production", "actor": "user:ada", "asked_at": BEGAN, "ended_at": null, "state": "going",
        "outcome": null, "cause": null, "services": [member("shop", json!("ro-12")), member("cart", json!(null))] });
    shows!("rollout_of_a_group", page(&all, &rollout::Told { group: Some(read(group)), ..running.clone() }, None));
    let paused = wire(json!({ "state": "paused", "cause": "paused by user:ada" }));
    shows!("rollout_paused", page(&all, &told(paused, json!([]), false, lane(json!({}))), None));
    let held =
        wire(json!({ "state": "held", "outcome": "held", "cause": "5% is inconclusive after 10m: 12 requests seen" }));
    shows!("rollout_held", page(&all, &told(held, json!([]), false, lane(json!({}))), None));
    let undoing = wire(json!({ "state": "undoing", "cause": "errors: 31 of 402 requests failed" }));
    let undo = || decision("undo", "errors: 31 of 402 requests failed");
    shows!("rollout_undoing", page(&all, &told(undoing, undo(), false, lane(json!({}))), None));
    let back =
        ended("rolled_back", "errors: 31 of 402 requests failed", Some(14), ["done", "failed", "skipped", "skipped"]);
    let back = told(back, undo(), true, calm(json!({})));
    shows!("rollout_rolled_back", page(&all, &back, None));
    shows!("rollout_played_again", page(&all, &back, Some(1)));
    let good = ended("succeeded", "1.1.0 passed every step and was verified", None, ["done", "done", "done", "done"]);
    let serves =
        json!({ "stable": { "version": "1.1.0", "digest": "sha256:00", "ready": 2, "desired": 2, "instances": [] } });
    shows!(
        "rollout_succeeded",
        page(&all, &told(good, decision("succeed", "verified for 1m"), true, calm(serves)), None)
    );
    let queued = wire(json!({ "state": "queued", "steps": [], "split": [], "from": null, "exposed_requests": 0,
        "waiting": { "on": "0 of 1 people have approved it; slipway approve ro-12", "remaining_ms": null } }));
    let waits = rollout::Told {
        explanation: None,
        samples: vec![],
        gates: Some(gates(json!([]))),
        ..told(queued, json!([]), false, lane(json!({})))
    };
    shows!("rollout_waiting_for_approval", page(&all, &waits, None));
    let author = Viewer { name: "grace".into(), ..all.clone() };
    shows!("rollout_waiting_seen_by_its_author", page(&author, &waits, None));
}

#[test]
fn the_overview_with_trouble_first() {
    let page = |told: &[overview::Told]| overview::view_for(&viewer(&[]), told);
    shows!("overview_empty", page(&[]));
    let back = |ago: u64| json!({ "went_back": { "rollout": "ro-11", "from": "1.1.0", "to": "1.0.0", "at": BEGAN, "ago_ms": ago, "cause": "4 of <11> requests failed" } });
    let hour = 3_600_000;
    shows!(
        "overview_calm_again",
        page(&[(calm(back(hour)), None), (calm(merged(back(25 * hour), json!({ "service": "old" }))), None)])
    );
    let open = |changes| (lane(json!({ "service": "api" })), Some(wire(changes)));
    let mut rows =
        vec![(calm(json!({})), None), (calm(json!({ "environment": "staging", "times": {} })), None), open(json!({}))];
    shows!("overview_changing", page(&rows));
    rows.push((calm(json!({ "service": "mail", "incident": { "number": 2, "since": BEGAN, "what": ["errors: 7% of 900"], "likely": [] } })), None));
    rows.push((
        lane(json!({ "service": "cart" })),
        Some(wire(json!({ "state": "undoing", "cause": "errors: 31 of 402" }))),
    ));
    rows.push((
        calm(json!({ "service": "jobs", "drift": ["services.jobs.version: declared 2.0.0, found 1.9.0"] })),
        None,
    ));
    shows!("overview_trouble", page(&rows));
}

#[test]
fn a_service_with_its_past_and_its_next_release() {
    let entry = |changes: Value| -> HistoryEntry {
        let rollout = serde_json::to_value(wire(changes)).unwrap();
        read(merged(
            rollout,
            json!({ "actor": "user:grace", "began_at": BEGAN, "ended_at": BEGAN + 4000, "deploy_wall_ms": 4000, "rollback_wall_ms": null }),
        ))
    };
    let way = |name: &str, misfits: Value| {
        json!({ "strategy": name, "fits": misfits == json!([]), "misfits": misfits, "cautions": [], "best_ms": 90000,
        "worst_ms": 600000, "today_ms": null, "exposed_bp": 500, "extra_instances": 2, "rollback": "one routing change",
        "back": { "first_ms": 7, "last_ms": 7, "basis": "measured", "measured_ms": 7 }, "harm": { "failed": 12, "after_ms": 4000 } })
    };
    let compared: WireComparison = read(
        json!({ "service": "shop", "environment": "production", "version": "1.0.0", "requests_per_second": 300.0,
        "instances": 2, "declared": "canary", "strategies": [way("canary", json!([])), way("rolling", json!(["one instance only"]))], "advice": "canary", "why": "few users meet a bad version" }),
    );
    let told = service::Told {
        lanes: vec![
            calm(json!({})),
            calm(
                json!({ "environment": "staging", "maintenance": true, "back_to": null, "no_way_back": "no predecessor" }),
            ),
        ],
        history: vec![
            entry(json!({ "state": "ended", "outcome": "rolled_back", "rollback_ms": 14, "cause": "errors" })),
            entry(json!({})),
        ],
        versions: vec!["1.1.0".into(), "1.0.0".into()],
        next: vec![gates(json!([]))],
        compared: vec![compared],
        diff: Some(Ok(read(
            json!({ "service": "shop", "from": "1.0.0", "to": "1.1.0", "same_artifact": true, "artifact_before": "sha256:00",
            "artifact_after": "sha256:00", "same_config": false, "config_before": "a", "config_after": "b",
            "differences": [{ "place": "config.values.GREETING", "before": "hello", "after": "<b>hi</b>" }] }),
        ))),
    };
    shows!(
        "service",
        service::view::view(&viewer(&[Right::Rollback]), "shop", &told, ("1.0.0", "1.1.0")).living().unwrap()
    );
}

#[test]
fn the_journal_with_what_belongs_together() {
    let entry = |seq: u64, fact: Value| -> Entry { read(merged(fact, json!({ "seq": seq, "at": BEGAN }))) };
    let lane = json!({ "service": "shop", "environment": "production" });
    let applied = json!({ "kind": "token.created", "lane": null, "rollout": null, "actor": "user:ada",
        "cause": "user:ada made the token grace", "evidence": null });
    let ended = json!({ "kind": "rollout.ended", "lane": lane, "rollout": "ro-7", "actor": "slipway",
        "cause": "rolled back: <errors>", "evidence": { "outcome": "rolled_back" } });
    let page = |query: Value, entries: &[Entry]| journal::view_for(&viewer(&[]), query, entries);
    shows!("journal_empty", page(json!({ "service": "shop", "kind": "incident" }), &[]));
    shows!("journal", page(json!({}), &[entry(9, ended.clone()), entry(8, applied)]));
    let full: Vec<Entry> = (1..=100).rev().map(|seq| entry(seq, ended.clone())).collect();
    let older = page(json!({ "service": "shop", "actor": "user:ada" }), &full);
    let link = older.lines().find(|line| line.contains("before=")).unwrap_or_default();
    assert!(link.contains("service=shop") && link.contains("actor=user%3Aada") && link.contains("before=1"), "{link}");
}

#[test]
fn an_environment_with_what_waits_for_somebodys_word() {
    let file = read(
        json!({ "environment": "production", "applied_by": "user:ada", "applied_at": BEGAN, "generation": 2, "heal": false, "coming": false,
        "services": [], "differences": [{ "service": "shop", "place": "services.shop.version", "declared": "1.1.0", "found": "1.0.0", "sentence": "shop: 1.0.0 serves, the file says 1.1.0" }] }),
    );
    let approved = json!([{ "by": "user:linus", "at": BEGAN, "counts": true }]);
    let told = environment::Told {
        lanes: vec![(calm(json!({ "queue": ["ro-12"] })), None)],
        gates: vec![gates(approved)],
        file: Some(file),
    };
    let page = |viewer: &Viewer| environment::view::view(viewer, "production", &told).living().unwrap();
    shows!("environment_for_an_approver", page(&viewer(&[Right::Approve])));
    shows!("environment_for_an_onlooker", page(&viewer(&[])));
    shows!("environments", environment::view::list(&viewer(&[]), &told.lanes).living().unwrap());
}
