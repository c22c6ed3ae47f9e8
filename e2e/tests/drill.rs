//! The way back, practised: a release that waits for it, what it shows, and what it must never do.

mod common;

use common::{Stage, alone, instances, nothing_failed_by_slipway, weight};
use serde_json::Value;
use slipway_e2e::{Page, build, until};

const DRILLED: &str = "{ instances: 2, require_drill: 30d, strategy: { blue-green: { verify: 3s, standby: 10m } } }";
const PAGE: &str = "docs/how-to/drill.md";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_blocked_until_the_way_back_was_practised_as_the_message_says() {
    let _alone = alone().await;
    let stage = Stage::set(DRILLED).await;
    let page = Page::open(PAGE);
    let (first, code) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!(code, 0, "nothing could be practised yet, so it is waived: {first:#}");
    let serving = instances(&stage.lane().await, "stable");

    let build = build(stage.slipway.scratch(), "build", &[]).expect("a build");
    let again = ["release", "-f", "slipway.yaml", "--version", "1.2.0", "--path", "build", "--env", "production"];
    assert!(build.ends_with("build"));
    let blocked = stage.slipway.cli(&again).await.expect("it runs").expect(12).expect("it is blocked");
    let remedy = "slipway drill shop --env production";
    assert!(blocked.stdout.contains("never practised") && blocked.stdout.contains(remedy), "{blocked}");
    assert_eq!(stage.stable().await, "1.1.0");

    let started = async || {
        let entries = stage.slipway.get("/journal?limit=1000&kind=instance.starting").await.expect("a journal");
        entries.as_array().expect("entries").len()
    };
    let before = started().await;
    page.run(&stage.slipway, remedy, None).await.expect(0).expect("the drill passes");
    assert_eq!(started().await, before, "one switch, and nothing to start");
    let lane = stage.lane().await;
    assert_eq!((weight(&lane, "1.1.0"), instances(&lane, "stable")), (10_000, serving), "nothing has changed");
    assert_eq!(lane["standby"]["version"], "1.0.0", "and the predecessor stands by as before");
    let drill = &lane["times"]["drill"];
    assert_eq!((&drill["passed"], &drill["cold"]), (&true.into(), &false.into()));
    let ms = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no time in {lane:#}"));
    let (back, deployment) = (ms(&drill["back_ms"]), ms(&lane["times"]["deployment_ms"]));
    assert_eq!(drill["slower"], back > deployment + deployment / 10 + 1_000, "it says what the times say: {lane:#}");
    let status = page.run(&stage.slipway, "slipway status shop", None).await;
    assert!(status.stdout.contains("drilled") && status.stdout.contains("deployment "), "{status}");
    let history = page.run(&stage.slipway, "slipway history shop --env production", None).await;
    assert!(history.stdout.contains("drilled") && history.stdout.contains("blocked"), "{history}");

    // The users were really there meanwhile.
    assert!(stage.given("1.0.0") > 0);
    stage.slipway.cli(&again).await.expect("it runs").expect(0).expect("the same release goes through");
    assert_eq!(stage.stable().await, "1.2.0");

    let cold = page.run(&stage.slipway, "slipway drill shop --env production --cold", None).await;
    let cold = cold.expect(0).expect("it passes");
    assert!(cold.stdout.contains("start") && started().await > before, "instances were started: {cold}");
    assert_eq!(stage.lane().await["times"]["drill"]["cold"], true);
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_has_become_too_old_blocks_until_it_is_made_again_as_the_message_says() {
    let _alone = alone().await;
    const LATELY: &str = "{ instances: 1, require_drill: 25s, strategy: { blue-green: { verify: 1s, standby: 10m } } }";
    let stage = Stage::set(LATELY).await;
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    stage.say("drill", &[]).await.expect(0).expect("the drill passes");
    let young = stage.say("gates", &[]).await;
    assert!(young.stdout.contains("passed") && !young.stdout.contains("is the most"), "{young}");
    until("it is too old", async || stage.say("gates", &[]).await.stdout.contains("25s is the most").then_some(()))
        .await
        .expect("it ages");

    build(stage.slipway.scratch(), "build", &[]).expect("a build");
    let release = ["release", "-f", "slipway.yaml", "--version", "1.2.0", "--path", "build", "--env", "production"];
    let blocked = stage.slipway.cli(&release).await.expect("it runs").expect(12).expect("it is blocked");
    let remedy = "slipway drill shop --env production";
    assert!(blocked.stdout.contains(" ago, and 25s is the most") && blocked.stdout.contains(remedy), "{blocked}");
    assert_eq!(stage.stable().await, "1.1.0");
    stage.say("drill", &[]).await.expect(0).expect("the same again");
    stage.slipway.cli(&release).await.expect("it runs").expect(0).expect("the same release goes through");
    assert_eq!(stage.stable().await, "1.2.0");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_finds_the_predecessor_broken_brings_everybody_back_and_blocks() {
    let _alone = alone().await;
    let stage = Stage::set(DRILLED).await;
    let page = Page::open(PAGE);
    let outage = stage.slipway.scratch().join("outage");
    assert_eq!(stage.release("1.0.1", &[("OUTAGE_FILE", &outage.to_string_lossy())], &[]).await.1, 0);
    stage.say("drill", &[]).await.expect(0).expect("the way back is fine as yet");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    // What stands by cannot serve any more, and its health check does not know.
    std::fs::write(&outage, "").expect("a file");
    let failed = stage.say("drill", &[]).await.expect(10).expect("it is taken back").json().expect("an outcome");
    assert_eq!((&failed["outcome"], &failed["kind"]), (&"rolled_back".into(), &"drill".into()), "{failed:#}");
    let lane = stage.lane().await;
    assert_eq!((weight(&lane, "1.1.0"), stage.stable().await.as_str()), (10_000, "1.1.0"));
    assert_eq!(lane["times"]["drill"]["passed"], false);
    build(stage.slipway.scratch(), "build", &[]).expect("a build");
    let release = ["release", "-f", "slipway.yaml", "--version", "1.2.0", "--path", "build", "--env", "production"];
    let blocked = stage.slipway.cli(&release).await.expect("it runs").expect(12).expect("it is blocked");
    assert!(blocked.stdout.contains("failed"), "{blocked}");

    let override_it = "slipway release --version 1.2.0 --path ./build --env production \
                       --override \"1.0.1 cannot serve any more; 1.2.0 mends it\"";
    page.run(&stage.slipway, override_it, None).await.expect(0).expect("it goes through");
    let journal = stage.slipway.get("/journal?limit=1000").await.expect("a journal");
    let entries = journal.as_array().expect("entries");
    let overridden = entries.iter().find(|e| e["kind"] == "gates.overridden").expect("it is recorded");
    assert!(overridden["cause"].as_str().is_some_and(|c| c.contains("1.2.0 mends it")), "{overridden:#}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_during_a_drill_becomes_a_rollback_and_a_dead_control_plane_brings_everybody_home() {
    let _alone = alone().await;
    const LONG: &str = "{ instances: 1, strategy: { blue-green: { verify: 60s, standby: 10m } } }";
    const SHORT: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s, standby: 10m } } }";
    let mut stage = Stage::set(SHORT).await;
    assert_eq!(stage.say("drill", &[]).await.code, 12, "there is nothing to go back to");
    stage.slipway.declare(&format!("production: {SHORT}")).expect("a declared file");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    // Policy is that of the version that serves: the next one stays for a minute.
    stage.slipway.declare(&format!("production: {LONG}")).expect("a declared file");
    let third = stage.begin("1.2.0", &[], &[]).await;
    stage.at_step(&third, "verification").await;
    assert_eq!(stage.say("drill", &[]).await.code, 12, "a rollout is open");
    stage.say("promote", &[]).await.expect(0).expect("it ends early");
    stage.outcome(&third).await;

    let drill = stage.say("drill", &["--detach"]).await.expect(0).expect("it begins").json().expect("an id");
    let id = drill["rollout"].as_str().expect("an id").to_string();
    stage.at_step(&id, "stay").await;
    assert_eq!(weight(&stage.lane().await, "1.1.0"), 10_000);
    stage.slipway.kill_control_plane().await.expect("it dies");
    let seen = stage.given("1.2.0");
    until("the lease brings everybody back", async || (stage.given("1.2.0") > seen + 50).then_some(()))
        .await
        .expect("home");
    stage.slipway.restart().await.expect("it starts again");
    let ended = stage.outcome(&id).await;
    assert_eq!(ended["outcome"], "rolled_back", "{ended:#}");
    assert_eq!(stage.stable().await, "1.2.0");

    let drill = stage.say("drill", &["--detach"]).await.expect(0).expect("it begins").json().expect("an id");
    let id = drill["rollout"].as_str().expect("an id").to_string();
    stage.at_step(&id, "stay").await;
    let back = stage.say("rollback", &[]).await.expect(0).expect("it stays").json().expect("an outcome");
    assert_eq!((&back["kind"], &back["rollout"]), (&"rollback".into(), &id.into()), "{back:#}");
    assert_eq!(stage.stable().await, "1.1.0");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
}
