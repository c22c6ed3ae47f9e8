//! What serves is scaled, restarted and put into maintenance under load, and nobody loses a request by it.

mod common;

use std::time::Duration;

use common::{Stage, alone, instances, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Options, Page, Slipway, until};
use slipway_load::Load;

const PAGE: &str = "docs/how-to/scale-restart-maintain.md";
const TWO: &str = "{ instances: 2, strategy: { blue-green: { verify: 1s, standby: 10m } } }";

/// How long a client waits that only wants to know whether it is held: longer than a machine stands still.
const IMPATIENT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_and_go_and_are_replaced_without_a_lost_request() {
    let _alone = alone().await;
    let stage = Stage::set(TWO).await;
    let page = Page::open(PAGE);
    page.run(&stage.slipway, "slipway scale shop --env production 3", None).await.expect(0).expect("it scales");
    until("three are ready", async || (stage.lane().await["stable"]["ready"] == 3).then_some(())).await.expect("three");
    assert_eq!(stage.say("scale", &["3"]).await.code, 12, "it is so already");
    assert_eq!(stage.say("scale", &["0"]).await.code, 2);
    let before = instances(&stage.lane().await, "stable");
    assert_eq!(before.len(), 3);
    let restarted = page.run(&stage.slipway, "slipway restart shop --env production", None).await;
    let restarted = restarted.expect(0).expect("it ends");
    assert!(restarted.stdout.contains("3 instances were replaced"), "{restarted}");
    let after = instances(&stage.lane().await, "stable");
    let fresh: Vec<_> = after.iter().filter(|instance| !before.contains(instance)).collect();
    assert_eq!(fresh.len(), 3, "{before:?} {after:?}");
    stage.say("scale", &["1"]).await.expect(0).expect("it scales down");
    until("one is left", async || (instances(&stage.lane().await, "stable").len() == 1).then_some(()))
        .await
        .expect("one");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    assert_eq!(stage.lane().await["stable"]["desired"], 2, "the release brings its own number");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_into_bad_instances_stops_and_the_old_ones_stay_however_long_the_version_has_served() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    let outside = slipway.scratch().join("outside.env");
    let say = |line: &str| std::fs::write(&outside, line).expect("it is written");
    say("LOG_LEVEL=info\n");
    let production = format!(
        "{{ instances: 2, watch: 1s, config: {{ env_file: {} }}, strategy: {{ blue-green: {{ verify: 1s, standby: 10m }} }} }}",
        outside.display()
    );
    let stage = Stage::set_on(slipway, &production, 300.0).await;
    let before = instances(&stage.lane().await, "stable");
    // Twice as long as its watch.
    stage.gives("1.0.0", 600).await;

    // What instances read when they start has changed meanwhile.
    say("FAIL_RATE=0.5\n");
    let restart = ["restart", "shop", "--env", "production"];
    let stopped = stage.slipway.cli(&restart).await.expect("it runs").expect(11).expect("it stops");
    assert!(stopped.stdout.contains("the restart stops: errors: "), "{stopped}");
    until("the old ones serve, and nobody else", async || {
        let lane = stage.lane().await;
        (instances(&lane, "stable") == before && lane["stable"]["ready"] == 2).then_some(())
    })
    .await
    .expect("they do");
    let recorded = async |kind: &str| -> Vec<Value> {
        let entries = stage.slipway.get(&format!("/journal?limit=100&kind={kind}")).await.expect("a journal");
        entries.as_array().expect("entries").clone()
    };
    assert_eq!(recorded("restart.replacing").await.len(), 1, "the second instance was never touched");
    assert_eq!(recorded("incident.opened").await, Vec::<Value>::new(), "its watch was over");

    // Mended, and asked for while the failures still count: they are none of its doing.
    say("LOG_LEVEL=info\n");
    stage.slipway.cli(&restart).await.expect("it runs").expect(0).unwrap_or_else(|e| panic!("{e}"));
    until("two others serve, and nobody else", async || {
        let after = instances(&stage.lane().await, "stable");
        (after.len() == 2 && after.iter().all(|one| !before.contains(one))).then_some(())
    })
    .await
    .expect("they do");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_maintenance_requests_wait_or_get_the_page_and_go_on_when_it_is_over() {
    let _alone = alone().await;
    let mut stage = Stage::set_with(TWO, 30.0).await;
    // Users who wait for as long as requests are held, however long the test takes to look.
    let patient = slipway_load::Options {
        host: Some("shop.local".into()),
        rate: 30.0,
        timeout: Duration::from_secs(60),
        ..slipway_load::Options::new(stage.slipway.traffic_url())
    };
    let others = std::mem::replace(&mut stage.load, Load::start(patient).expect("the load starts"));
    nothing_failed_by_slipway(&others.stop().await);
    let page = Page::open(PAGE);
    let slipway = &stage.slipway;
    let client = reqwest::Client::new();
    let ask = || client.get(slipway.traffic_url()).header("host", "shop.local").send();
    page.run(slipway, "slipway maintenance on shop --env production --hold 20s", None)
        .await
        .expect(0)
        .expect("it begins");
    assert_eq!(stage.lane().await["maintenance"], true);
    let given = stage.given("1.0.0");
    until("requests are held", async || {
        let request = client.get(slipway.traffic_url()).header("host", "shop.local").timeout(IMPATIENT);
        request.send().await.is_err_and(|e| e.is_timeout()).then_some(())
    })
    .await
    .expect("they wait");
    let waiting = tokio::spawn(ask());
    page.run(slipway, "slipway maintenance off shop --env production", None).await.expect(0).expect("it ends");
    let answer = waiting.await.expect("a task").expect("an answer");
    assert_eq!(answer.status().as_u16(), 200, "it went on");
    until("answers come again", async || (stage.given("1.0.0") > given + 30).then_some(())).await.expect("answers");

    std::fs::write(slipway.scratch().join("sorry.html"), "<h1>back at noon</h1>").expect("a page");
    let load = stage.load.stop().await;
    nothing_failed_by_slipway(&load);
    page.run(slipway, "slipway maintenance on shop --env production --page sorry.html", None)
        .await
        .expect(0)
        .expect("on");
    let told = until("the page is shown", async || ask().await.ok().filter(|told| told.status() == 503)).await;
    let told = told.expect("an answer");
    assert_eq!(told.headers()["retry-after"].to_str().ok(), Some("30"));
    assert!(told.headers()["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/html")));
    assert_eq!(told.text().await.expect("a body"), "<h1>back at noon</h1>");
    let off = slipway.cli(&["maintenance", "off", "shop", "--env", "production"]).await.expect("it runs");
    off.expect(0).expect("it ends");
    until("it is over", async || ask().await.ok().filter(|told| told.status() == 200)).await.expect("an answer");
    let again = slipway.cli(&["maintenance", "off", "shop", "--env", "production"]).await.expect("it runs");
    assert_eq!(again.code, 12, "{again}");
    stage.slipway.down().await.expect("down");
}
