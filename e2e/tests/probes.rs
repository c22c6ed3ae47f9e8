//! Probes: a service that nobody uses is judged all the same, and nothing takes a probe for a user.

mod common;

use std::fs;

use common::alone;
use serde_json::Value;
use slipway_e2e::{Options, Page, Slipway, build, until};

const PAGE: &str = "docs/how-to/probe-a-quiet-service.md";
const CANARY: &str = "{ instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 2s } } }";
/// Wide bounds, so that some hundred probes are enough; latency is bounded far above what any machine needs.
const DECLARED: &str = "probe: { rate: 50/s, request: { path: / } }
objectives:
  - { name: errors, bad: failed, at_most: 20%, tolerate: 10% }
  - { name: latency, bad: slower_than 4s, at_most: 20%, tolerate: 10% }
";

/// Ten seconds' worth of probes before anything passes, so that there is something to see meanwhile.
const LENGTHY: &str = "{ instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 2s, min_requests: 500 } } }";
const LENGTHY_GREEN: &str = "{ instances: 1, strategy: { blue-green: { verify: 2s, min_requests: 500 } } }";

/// Declares production and the probe, and objectives that it can decide soon.
fn declare(slipway: &Slipway, production: &str) {
    slipway.declare(&format!("production: {production}")).expect("a declared file");
    let file = slipway.scratch().join("slipway.yaml");
    let text = fs::read_to_string(&file).expect("it is there");
    let (head, tail) = text.split_once("objectives:\n").expect("objectives");
    let rest = tail.split_once("environments:").expect("environments").1;
    fs::write(&file, format!("{head}{DECLARED}environments:{rest}")).expect("it is written");
}

async fn release(slipway: &Slipway, version: &str, variables: &[(&str, &str)], more: &[&str]) -> (Value, i32) {
    let build = build(slipway.scratch(), &format!("build-{version}"), variables).expect("a build");
    let output = slipway.release(version, &build, "production", more).await.expect("it runs");
    (output.json().unwrap_or_else(|e| panic!("{e}\n{output}")), output.code)
}

/// What the judge said of the last decision by probes.
fn synthetic(told: &Value) -> Vec<Value> {
    let all = told["judgements"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|j| j["synthetic"] == true).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_nobody_uses_is_judged_by_probes_which_are_nobodys_requests() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    declare(&slipway, CANARY);
    let page = Page::open(PAGE);
    let (first, code) = release(&slipway, "1.0.0", &[], &[]).await;
    assert_eq!(
        (code, &first["probes"]),
        (0, &Value::Null),
        "a first release has nothing to be compared with: {first:#}"
    );

    build(slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    let plan = "slipway plan --version 1.1.0 --path build-1.1.0 --env production";
    let said = page.run(&slipway, plan, None).await.expect(0).expect("a plan").stdout;
    assert!(said.contains("50 synthetic probes a second go to each version"), "{said}");
    let go = "slipway release --version 1.1.0 --path build-1.1.0 --env production";
    page.run(&slipway, go, None).await.expect(0).expect("1.1.0 serves");
    let history = slipway.get("/services/shop/history?environment=production&limit=1").await.expect("a history");
    let id = history[0]["rollout"].as_str().expect("an id").to_string();
    let good = slipway.get(&format!("/rollouts/{id}/explanation")).await.expect("an explanation");
    assert_eq!((&good["outcome"], &good["version"]), (&"succeeded".into(), &"1.1.0".into()), "{good:#}");
    assert_eq!((good["exposed_requests"].as_u64(), &good["probes"]["synthetic"]), (Some(0), &true.into()), "{good:#}");
    assert!(good["probes"]["candidate"].as_u64() >= Some(50), "{good:#}");
    assert!(synthetic(&good).iter().any(|j| j["objective"] == "errors" && j["verdict"] == "pass"), "{good:#}");
    let told = page.run(&slipway, "slipway explain ro-N", Some(&id)).await.expect(0).expect("told").stdout;
    assert!(told.contains("errors (synthetic): by probes") && told.contains("Probes (synthetic"), "{told}");
    assert!(told.contains("0 requests met 1.1.0"), "{told}");
    let journal = page.run(&slipway, "slipway journal --rollout ro-N", Some(&id)).await.expect(0).expect("told").stdout;
    for kind in ["probes.began", "probes.ended"] {
        let line = journal.lines().find(|line| line.contains(kind)).unwrap_or_else(|| panic!("no {kind}: {journal}"));
        assert!(line.contains("synthetic probes"), "{line}");
    }

    let (bad, code) = release(&slipway, "1.2.0", &[("FAIL_RATE", "0.6")], &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let cause = bad["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("errors (synthetic): by probes,"), "{cause}");
    assert_eq!(bad["failed_requests"].as_u64(), Some(0), "no user met it: {bad:#}");

    // The gateways were asked by nobody at all.
    let status = page.run(&slipway, "slipway status shop", None).await.expect(0).expect("a status").stdout;
    assert!(!status.contains("synthetic probes"), "they have stopped: {status}");
    let admin = fs::read_to_string(slipway.data.join("gateway/admin.json")).expect("it is written");
    let admin: Value = serde_json::from_str(&admin).expect("JSON");
    let url = format!("http://{}/metrics", admin["address"].as_str().expect("an address"));
    let text = reqwest::get(url).await.expect("metrics").text().await.expect("metrics");
    let counted: Vec<&str> = text.lines().filter(|l| l.starts_with("slipway_requests_total{")).collect();
    assert!(counted.iter().all(|line| line.ends_with(" 0")), "{counted:?}");
    let url = format!("http://{}/api/v1/metrics", slipway.api);
    let asked = reqwest::Client::new().get(url).bearer_auth(slipway.token().expect("a token")).send();
    let text = asked.await.expect("an answer").text().await.expect("metrics");
    let ours = text.lines().find(|line| line.starts_with("slipway_probes_total{") && line.contains("\"1.2.0\""));
    assert!(ours.is_some_and(|line| line.contains("synthetic=\"true\"")), "{text}");
    slipway.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_switch_probes_stop_what_smoke_tests_let_through() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    declare(&slipway, CANARY);
    release(&slipway, "1.0.0", &[], &[]).await;
    let green = ["--strategy", "blue-green"];
    let (bad, code) = release(&slipway, "1.1.0", &[("FAIL_RATE", "0.6")], &green).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let step = |told: &Value, name: &str| {
        let steps = told["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().find(|s| s["name"] == name).map(|s| s["state"].clone()).unwrap_or_default()
    };
    assert_eq!((step(&bad, "probes"), step(&bad, "switch")), ("failed".into(), "skipped".into()), "{bad:#}");

    declare(&slipway, LENGTHY_GREEN);
    let asked = release(&slipway, "1.2.0", &[], &["--detach"]).await.0;
    let id = asked["rollout"].as_str().expect("an id").to_string();
    until("status shows probes while they go on", async || {
        let lane = slipway.lane("shop", "production").await.ok().flatten()?;
        (lane["probes"]["candidate"].as_u64() > Some(0) && lane["probes"]["synthetic"] == true).then_some(())
    })
    .await
    .expect("probes");
    let told = until("it ends", async || {
        let told = slipway.get(&format!("/rollouts/{id}")).await.ok()?;
        told["outcome"].is_string().then_some(told)
    });
    let told = told.await.expect("an end");
    assert_eq!((&told["outcome"], step(&told, "probes")), (&"succeeded".into(), "done".into()), "{told:#}");
    slipway.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_starts_again_counts_from_nothing_and_forgets_no_probe() {
    let _alone = alone().await;
    let mut slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    declare(&slipway, LENGTHY);
    release(&slipway, "1.0.0", &[], &[]).await;
    let asked = release(&slipway, "1.1.0", &[], &["--detach"]).await.0;
    let id = asked["rollout"].as_str().expect("an id").to_string();
    let before = until("some probes were sent", async || {
        let lane = slipway.lane("shop", "production").await.ok().flatten()?;
        lane["probes"]["candidate"].as_u64().filter(|n| *n >= 10)
    });
    let before = before.await.expect("probes");
    slipway.kill_control_plane().await.expect("it dies");
    let killed = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as u64;
    slipway.restart().await.expect("it starts again");
    let told = until("it ends", async || {
        let told = slipway.get(&format!("/rollouts/{id}/explanation")).await.ok()?;
        told["outcome"].is_string().then_some(told)
    });
    let told = told.await.expect("an end");
    assert_eq!(told["outcome"], "succeeded", "{told:#}");
    let decisions = told["decisions"].as_array().expect("decisions");
    let judged: u64 = decisions
        .iter()
        .filter(|decision| decision["at"].as_u64() > Some(killed))
        .filter_map(|decision| synthetic(decision).iter().find(|j| j["objective"] == "errors")?["n"].as_u64())
        .sum();
    let sent = told["probes"]["candidate"].as_u64().expect("a number");
    assert!(judged > 0 && sent >= before + judged, "{sent} sent, {before} of them before, {judged} judged: {told:#}");
    slipway.down().await.expect("it ends");
}
