//! Going back, and what else people say to a rollout: during it, after it, late, twice; and two releases at once.

mod common;

use common::{Stage, alone, instances, nothing_failed_by_slipway, weight};
use slipway_e2e::{build, until};

const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [50%, 100%], verify: 3s, standby: 10m } } }";
const BRIEF_STANDBY: &str = "{ instances: 2, strategy: { canary: { steps: [50%, 100%], verify: 3s, standby: 1s } } }";
const BLUE_GREEN: &str = "{ instances: 1, strategy: { blue-green: { verify: 3s } } }";
/// The step waits for a person: there are never so many requests.
const WAITS: &str =
    "{ instances: 2, strategy: { canary: { steps: [50%, 100%], verify: 3s, standby: 10m, min_requests: 1000000 } } }";
/// The step passes by itself, and not before it can be paused.
const PAUSABLE: &str =
    "{ instances: 2, strategy: { canary: { steps: [50%, 100%], verify: 3s, standby: 10m, min_requests: 2000 } } }";
const BLUE_GREEN_WATCHED: &str = "{ instances: 1, strategy: { blue-green: { verify: 5m } } }";
/// For stories in which nothing is judged.
const SLOW_TRAFFIC: f64 = 30.0;

#[tokio::test(flavor = "multi_thread")]
async fn after_success_going_back_is_one_switch_then_a_start_and_never_a_guess() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let before = instances(&stage.lane().await, "stable");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    assert_eq!(instances(&stage.lane().await, "standby"), before, "they stand by as they are");

    let back = stage.say("rollback", &[]).await.expect(0).expect("it works").json().expect("an outcome");
    assert_eq!((&back["outcome"], &back["version"]), (&"succeeded".into(), &"1.0.0".into()), "{back:#}");
    assert!(back["rollback_ms"].is_u64(), "{back:#}");
    let lane = stage.lane().await;
    assert_eq!((weight(&lane, "1.0.0"), stage.stable().await.as_str()), (10_000, "1.0.0"));
    assert_eq!(instances(&lane, "stable"), before, "no instance was started for it");
    stage.gives("1.0.0", 300).await;
    let confirmed = stage.recorded(back["rollout"].as_str().expect("an id"), "traffic.confirmed").await;
    assert!(stage.load.snapshot().versions["1.1.0"].last_sent_ms <= confirmed, "1.1.0 was asked after the switch");

    let again = stage.say("rollback", &[]).await.expect(12).expect("refused");
    assert!(again.stderr.contains("--to"), "it says what to do instead: {again}");
    assert_eq!(stage.stable().await, "1.0.0");
    stage.say("rollback", &["--to", "1.1.0"]).await.expect(0).expect("a named version is fine");
    assert_eq!(stage.stable().await, "1.1.0");
    stage.say("rollback", &["--to", "1.1.0"]).await.expect(12).expect("it serves already");
    stage.say("rollback", &["--to", "7.7.7"]).await.expect(2).expect("nobody knows it");

    // Once nobody stands by any more, instances have to be started and tested first.
    stage.slipway.declare(&format!("production: {BRIEF_STANDBY}")).expect("a declared file");
    let warm = instances(&stage.lane().await, "stable");
    assert_eq!(stage.release("1.2.0", &[], &[]).await.1, 0);
    until("the standby is over", async || {
        let gone = warm.iter().all(|(_, pid)| !slipway_e2e::process::runs(*pid as u32));
        (stage.lane().await["standby"].is_null() && gone).then_some(())
    })
    .await
    .expect("an end");
    let cold = stage.say("rollback", &[]).await.expect(0).expect("it works").json().expect("an outcome");
    assert_eq!((&cold["outcome"], &cold["version"]), (&"succeeded".into(), &"1.1.0".into()), "{cold:#}");
    let started = instances(&stage.lane().await, "stable");
    assert!(started.len() == 2 && started.iter().all(|instance| !warm.contains(instance)), "{started:?}");
    let id = cold["rollout"].as_str().expect("an id");
    let (smoked, shifted) = (stage.recorded(id, "instance.smoked").await, stage.recorded(id, "traffic.shifting").await);
    assert!(smoked <= shifted, "tested before anybody is sent there");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rollout_it_is_taken_back_paused_resumed_let_pass_and_aborted() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    assert_eq!(stage.say("pause", &[]).await.code, 12, "nothing is open");
    let nowhere = stage.say("rollback", &[]).await.expect(12).expect("refused");
    assert!(nowhere.stderr.contains("no predecessor"), "{nowhere}");

    let declare = |production: &str| {
        stage.slipway.declare(&format!("production: {production}")).expect("a declared file");
    };
    declare(WAITS);
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "50%").await;
    stage.gives("1.1.0", 1).await;
    let back = stage.say("rollback", &[]).await.expect(0).expect("it works").json().expect("an outcome");
    assert_eq!((&back["rollout"], &back["outcome"]), (&id.as_str().into(), &"rolled_back".into()), "{back:#}");
    assert_eq!(weight(&stage.lane().await, "1.1.0"), 0);
    stage.gives("1.0.0", 300).await;
    let returned = stage.recorded(&id, "traffic.returned").await;
    assert!(stage.load.snapshot().versions["1.1.0"].last_sent_ms <= returned);

    declare(PAUSABLE);
    let id = stage.begin("1.2.0", &[], &[]).await;
    stage.at_step(&id, "50%").await;
    stage.say("pause", &[]).await.expect(0).expect("paused");
    // Far more than the proof that the step wants.
    stage.gives("1.2.0", 2_500).await;
    let paused = stage.rollout(&id).await;
    assert_eq!((&paused["state"], weight(&stage.lane().await, "1.2.0")), (&"paused".into(), 5_000), "{paused:#}");
    stage.say("pause", &[]).await.expect(12).expect("it is paused already");
    stage.say("resume", &[]).await.expect(0).expect("resumed");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");

    declare(WAITS);
    let id = stage.begin("1.3.0", &[], &[]).await;
    stage.at_step(&id, "50%").await;
    stage.say("promote", &[]).await.expect(0).expect("let pass");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let explained = stage.slipway.json(&["explain", &id]).await.expect("an explanation");
    let decisions = explained["decisions"].as_array().expect("decisions");
    let promoted = decisions.iter().find(|decision| decision["what"] == "promote").expect("a person's decision");
    assert!(promoted["actor"].as_str().is_some_and(|actor| actor.starts_with("user:")), "{promoted:#}");

    let folder = build(stage.slipway.scratch(), "build-1.4.0", &[]).expect("a build");
    let (waited, ()) = tokio::join!(stage.slipway.release("1.4.0", &folder, "production", &[]), async {
        until("half of the users have it", async || (weight(&stage.lane().await, "1.4.0") == 5_000).then_some(()))
            .await
            .expect("it gets there");
        stage.say("abort", &[]).await.expect(0).expect("aborted");
    });
    let aborted = waited.expect("it runs").expect(10).expect("rolled back").json().expect("an outcome");
    assert!(aborted["cause"].as_str().is_some_and(|cause| cause.contains("aborted by user:")), "{aborted:#}");
    assert_eq!(stage.stable().await, "1.3.0");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_releases_one_waits_or_takes_the_others_place() {
    let _alone = alone().await;
    let stage = Stage::set_with(BLUE_GREEN, SLOW_TRAFFIC).await;
    let declare = |production: &str| {
        stage.slipway.declare(&format!("production: {production}")).expect("a declared file");
    };
    declare(WAITS);
    let first = stage.begin("1.1.0", &[], &[]).await;
    declare(BLUE_GREEN);
    let second = stage.begin("1.2.0", &[], &[]).await;
    let waiting = stage.rollout(&second).await;
    assert_eq!((&waiting["state"], &waiting["outcome"]), (&"queued".into(), &serde_json::Value::Null), "{waiting:#}");
    assert!(waiting["waiting"]["on"].as_str().is_some_and(|on| on.contains(&first)), "{waiting:#}");
    stage.at_step(&first, "50%").await;
    stage.say("promote", &[]).await.expect(0).expect("let pass");
    let (one, two) = (stage.outcome(&first).await, stage.outcome(&second).await);
    assert_eq!((&one["outcome"], &two["outcome"]), (&"succeeded".into(), &"succeeded".into()));
    let ended = stage.recorded(&first, "rollout.ended").await;
    assert!(stage.recorded(&second, "rollout.planned").await >= ended, "never both");

    let folder = build(stage.slipway.scratch(), "build-1.3.0", &[]).expect("a build");
    let next = build(stage.slipway.scratch(), "build-1.4.0", &[]).expect("a build");
    declare(BLUE_GREEN_WATCHED);
    let (older, newer) = tokio::join!(stage.slipway.release("1.3.0", &folder, "production", &[]), async {
        until("everybody has the older one", async || (weight(&stage.lane().await, "1.3.0") == 10_000).then_some(()))
            .await
            .expect("it gets there");
        declare(BLUE_GREEN);
        stage.slipway.release("1.4.0", &next, "production", &["--supersede"]).await
    });
    let older = older.expect("it runs").expect(12).expect("it gave way").json().expect("an outcome");
    let newer = newer.expect("it runs").expect(0).expect("it went out").json().expect("an outcome");
    assert_eq!(older["outcome"], "superseded", "{older:#}");
    let cause = older["cause"].as_str().expect("a cause");
    assert!(cause.contains(newer["rollout"].as_str().expect("an id")), "{cause}");
    assert_eq!((stage.stable().await.as_str(), &newer["from"]), ("1.4.0", &"1.2.0".into()), "{newer:#}");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_the_same_for_ever() {
    let _alone = alone().await;
    let stage = Stage::set_with(BLUE_GREEN, SLOW_TRAFFIC).await;
    let digest = stage.lane().await["stable"]["digest"].clone();
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);

    let release = ["release", "-f", "slipway.yaml", "--env", "production", "--json", "--version"];
    let known = stage.slipway.cli(&[&release[..], &["1.0.0"]].concat()).await.expect("it runs");
    assert_eq!(known.expect(0).expect("its bytes are kept").json().expect("an outcome")["outcome"], "succeeded");
    assert_eq!(stage.lane().await["stable"]["digest"], digest);
    let unknown = stage.slipway.cli(&[&release[..], &["7.7.7"]].concat()).await.expect("it runs");
    assert!(unknown.code == 2 && unknown.stderr.contains("7.7.7"), "{unknown}");

    let other = build(stage.slipway.scratch(), "other", &[("FAIL_RATE", "1")]).expect("a build");
    let bytes = stage.slipway.release("1.1.0", &other, "production", &[]).await.expect("it runs");
    assert!(bytes.code == 2 && bytes.stderr.contains("artifact") && bytes.stderr.contains("1.1.0"), "{bytes}");

    let file = stage.slipway.scratch().join("slipway.yaml");
    let text = std::fs::read_to_string(&file).expect("a declared file");
    std::fs::write(&file, text.replace("LOG_LEVEL: info", "LOG_LEVEL: debug")).expect("another one");
    let config = stage.slipway.cli(&[&release[..], &["1.1.0"]].concat()).await.expect("it runs");
    assert!(config.code == 2 && config.stderr.contains("configuration"), "{config}");
    assert_eq!(stage.stable().await, "1.0.0", "what was refused changed nothing");
    nothing_failed_by_slipway(&stage.strike().await);
}
