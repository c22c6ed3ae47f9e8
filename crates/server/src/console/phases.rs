//! Every page in every phase of a rollout, as snapshots: what a page says changes only when somebody looks at the change.

mod each;
mod fixtures;

use askama::Template;
use serde_json::{Value, json};
use slipway_core::journal::Entry;
use slipway_core::rights::Right;

use self::each::{Phase, phases, states};
use self::fixtures::*;
use super::frame::{Frame, Living};
use super::session::Viewer;
use super::{environment, journal, overview, palette, refusal, rollout, service, sign_in};
use crate::problem::WireProblem;
use crate::wire::{HistoryEntry, WireComparison};

/// Without the blank lines that templates leave.
fn tidy(html: &str) -> String {
    html.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What a page says, line by line, and what its elements look like: without what only a browser reads.
fn said(html: &str) -> String {
    const INLINE: [&str; 12] =
        ["a", "span", "strong", "time", "code", "em", "small", "kbd", "label", "img", "title", "option"];
    let mut text = String::new();
    for part in html.split('<').skip(1) {
        let Some((tag, after)) = part.split_once('>') else { continue };
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        let of =
            |attribute: &str| tag.split(&format!(" {attribute}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        if !INLINE.contains(&name) {
            text.push('\n');
        }
        match (name, tag.starts_with('/')) {
            ("li", false) => text.push_str(&of("class").map_or_else(|| "- ".into(), |class| format!("- ({class}) "))),
            ("details", false) => text.push_str("[ "),
            ("option", false) => text.push_str(" | "),
            ("span", false) if of("class").is_some_and(|class| class.starts_with("badge")) => {
                text.push_str(&format!(" [{}] ", of("class").unwrap_or_default().trim_start_matches("badge ")));
            }
            _ => {}
        }
        text.push_str(after);
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && line != "-").collect::<Vec<_>>().join("\n")
}

/// Several pages one after another, each below its name.
fn one_by_one(pages: impl IntoIterator<Item = (&'static str, String)>) -> String {
    pages.into_iter().map(|(name, html)| format!("== {name}\n{}\n\n", said(&html))).collect()
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

#[test]
fn a_rollout_of_each_kind_and_in_each_phase() {
    let all = viewer(&Right::ALL);
    let page = |told: &rollout::Told| rollout::view::view(&all, told, None).living().unwrap();
    insta::assert_snapshot!("rollout_in_each_phase", one_by_one(phases().iter().map(|p| (p.name, page(&p.told)))));
}

#[test]
fn a_service_in_each_phase_and_in_each_state() {
    let all = viewer(&Right::ALL);
    let page = |lane: &crate::wire::LaneStatus| {
        let told = service::Told { lanes: vec![lane.clone()], ..service::Told::default() };
        let html = service::view::view(&all, "shop", &told, ("", "")).living().unwrap();
        // What follows is the same in all of them.
        html.split("<section").next().unwrap_or_default().to_string()
    };
    let phases = phases();
    insta::assert_snapshot!("service_in_each_phase", one_by_one(phases.iter().map(|p| (p.name, page(&p.lane)))));
    insta::assert_snapshot!(
        "service_in_each_state",
        one_by_one(states().iter().map(|(name, lane)| (*name, page(lane))))
    );
}

/// A service with its open rollout, where one is open.
fn open(phase: &Phase) -> overview::Told {
    let open = phase.lane.rollout.as_deref() == Some(&*phase.rollout.rollout);
    (phase.lane.clone(), open.then(|| phase.rollout.clone()))
}

#[test]
fn the_overview_and_an_environment_in_each_phase_and_in_each_state() {
    let all = viewer(&Right::ALL);
    let environment = |told: overview::Told| {
        let told = environment::Told { lanes: vec![told], ..environment::Told::default() };
        let list = environment::view::list(&all, &told.lanes).living().unwrap();
        let page = environment::view::view(&all, "production", &told).living().unwrap();
        // What its file says is the same in all of them.
        format!("{list}{}", page.split("<section aria-labelledby=\"file\"").next().unwrap_or_default())
    };
    let states: Vec<(&str, overview::Told)> = states()
        .into_iter()
        .map(|(name, lane)| {
            (name, {
                let open = lane.rollout.is_some().then(|| wire(json!({})));
                (lane, open)
            })
        })
        .collect();
    let phases: Vec<(&str, overview::Told)> = phases().iter().map(|phase| (phase.name, open(phase))).collect();
    let overview = |told: &overview::Told| overview::view_for(&all, std::slice::from_ref(told));
    insta::assert_snapshot!(
        "overview_in_each_phase",
        one_by_one(phases.iter().map(|(name, told)| (*name, overview(told))))
    );
    insta::assert_snapshot!(
        "overview_in_each_state",
        one_by_one(states.iter().map(|(name, told)| (*name, overview(told))))
    );
    insta::assert_snapshot!(
        "environment_in_each_phase",
        one_by_one(phases.into_iter().chain(states).map(|(name, told)| (name, environment(told))))
    );
}

#[test]
fn the_pages_around_the_others() {
    let frame = Frame::outside("");
    // Addresses of files say what is in them.
    let named = |html: String| {
        html.replace(frame.style(), "STYLE").replace(frame.script(), "SCRIPT").replace(frame.sign(), "SIGN")
    };
    shows!("sign_in", named(sign_in::view_for("/rollouts/ro-3?moment=7", None).render().unwrap()));
    shows!("sign_in_wrong", named(sign_in::view_for("/", Some("That token is not known.")).render().unwrap()));
    let problem: WireProblem = read(json!({ "type": "about:blank", "title": "Conflict", "status": 409,
        "detail": "1.0.0 serves now, and not <1.1.0> as the page said: look again", "code": "changed_meanwhile" }));
    let somebody = viewer(&[Right::Operate]);
    let at = "/services/shop/environments/production/rollback";
    shows!("refusal", named(refusal::page_for(at, &problem, Some(&somebody)).unwrap()));
    shows!("refusal_for_nobody", named(refusal::page_for("/nope", &problem, None).unwrap()));
    let waits = (calm(json!({ "service": "cart", "queue": ["ro-14"] })), None);
    let told = [waits, (lane(json!({})), Some(wire(json!({})))), (calm(json!({ "environment": "staging" })), None)];
    shows!("palette", palette::view_for(&told).unwrap());
}
