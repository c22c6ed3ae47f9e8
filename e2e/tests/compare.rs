//! Choosing a strategy: side by side for a service with users, and for one that hardly anybody asks.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Options, Output, Page, Slipway, build, until};
use slipway_load::Load;

const PAGE: &str = "docs/how-to/choose-a-strategy.md";
const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [10%, 50%, 100%], step_limit: 1m, verify: 1s } } }";
const PRODUCTION: &str = "{ instances: 1, strategy: { canary: { step_limit: 1m, verify: 1s } } }";

fn strategies(told: &Output) -> Vec<Value> {
    told.json().expect("JSON")["strategies"].as_array().expect("strategies").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_users_is_told_what_each_strategy_would_do() {
    let _alone = alone().await;
    let page = Page::open(PAGE);
    let stage = Stage::set(CANARY).await;
    let rate = until("the traffic is known", async || {
        let lane = stage.lane().await;
        lane["requests_per_second"].as_f64().filter(|rate| *rate > 200.0)
    });
    rate.await.expect("a rate");

    let told = page.run(&stage.slipway, "slipway plan --compare --env production", None).await.expect(0).expect("told");
    for words in ["canary (declared)", "blue-green", "rolling", "advice: canary", "requests/s", "first exposed"] {
        assert!(told.stdout.contains(words), "{words} in {told}");
    }
    let told = stage.slipway.cli(&["plan", "--compare", "--env", "production", "--json"]).await.expect("it runs");
    let ways = strategies(&told);
    let of = |name: &str| ways.iter().find(|way| way["strategy"] == name).unwrap_or_else(|| panic!("{name}")).clone();
    let (canary, blue_green) = (of("canary"), of("blue-green"));
    assert_eq!((&canary["exposed_bp"], &blue_green["exposed_bp"]), (&1_000.into(), &10_000.into()));
    let back = |way: &Value| way["harm"]["after_ms"].as_u64().expect("it would be noticed");
    assert!(back(&blue_green) < back(&canary), "all of the traffic tells sooner: {canary:#} {blue_green:#}");

    // What is planned by another strategy is what is done by it.
    build(stage.slipway.scratch(), "build", &[("BUILD", "next")]).expect("a build");
    let planned =
        page.run(&stage.slipway, "slipway plan    --version 1.1.0 --path ./build --env production", None).await;
    assert!(planned.stdout.contains("1.1.0 by canary"), "{planned}");
    let command = "slipway release --version 1.1.0 --path ./build --env production --strategy blue-green";
    page.run(&stage.slipway, command, None).await.expect(0).expect("it serves");
    assert_eq!(stage.stable().await, "1.1.0");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_service_is_told_that_no_canary_gets_a_verdict_and_what_would() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    slipway.declare(&format!("production: {PRODUCTION}")).expect("a declared file");
    let first = build(slipway.scratch(), "build-1.0.0", &[]).expect("a build");
    slipway.release("1.0.0", &first, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");
    let told = slipway.cli(&["plan", "--compare", "--env", "production"]).await.expect("it runs");
    assert!(told.stdout.contains("advice: blue-green"), "{told}");
    assert!(told.stdout.contains("no traffic has been seen that a verdict could rest on"), "{told}");
    assert!(told.stdout.contains("its only batch is everybody at once"), "{told}");

    // A few requests a second: not enough for one in a hundred, and the plan says for what they are enough.
    let options = slipway_load::Options {
        host: Some("shop.local".into()),
        rate: 20.0,
        users: 500,
        ..slipway_load::Options::new(slipway.traffic_url())
    };
    let load = Load::start(options).expect("the load starts");
    until("some traffic is known", async || {
        let lane = slipway.lane("shop", "production").await.ok()??;
        lane["requests_per_second"].as_f64().filter(|rate| *rate > 5.0)
    })
    .await
    .expect("a rate");
    let planned = slipway.cli(&["plan", "--config-only", "--env", "production"]).await.expect("it runs");
    assert!(planned.stdout.contains("will not have enough requests within 1m"), "{planned}");
    assert!(planned.stdout.contains("what fits: ") && planned.stdout.contains("step_limit: "), "{planned}");
    nothing_failed_by_slipway(&Stage { slipway, load }.strike().await);
}
