//! Whatever is killed, whenever: users do not notice, and what was begun ends as it should.

mod common;

use std::time::Instant;

use common::{Stage, Watch, alone, instances, nothing_failed_by_slipway, weight};
use serde_json::Value;
use slipway_e2e::process::runs;
use slipway_e2e::{kill, until};

const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [20%, 60%, 100%], verify: 5s } } }";
/// One that stays at its first step, and so in the middle: there are never so many requests.
const WAITS: &str =
    "{ instances: 2, strategy: { canary: { steps: [20%, 100%], min_requests: 1000000, step_limit: 1h, verify: 5s } } }";
const BLUE_GREEN: &str = "{ instances: 2, strategy: { blue-green: { verify: 8s } } }";
const ROLLING: &str = "{ instances: 3, strategy: { rolling: { batch: 1, verify: 8s } } }";
/// Far above what is tolerated, and yet seconds of evidence away from a verdict.
const BAD: &[(&str, &str)] = &[("FAIL_RATE", "0.04")];
/// Found out by the first users. It listens late, so that it is seen to start.
const BROKEN: &[(&str, &str)] = &[("FAIL_RATE", "0.5"), ("START_DELAY_MS", "4000")];

/// When the control plane is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The candidate's instances are being started; no user has met it.
    Starting,
    /// A user has just met the candidate: its first share of the traffic is some milliseconds old.
    FirstUser,
    /// The step of this name has its traffic and is being judged.
    Step(&'static str),
}

impl Moment {
    async fn comes(self, stage: &Stage, id: &str, version: &str) {
        match self {
            Moment::Starting => until(&format!("{self:?}"), async || {
                let lane = stage.slipway.get("/services/shop").await.ok()?[0].clone();
                let all = lane["candidate"]["instances"].as_array()?.len();
                (lane["candidate"]["ready"] == 0 && all > 0).then_some(())
            })
            .await
            .expect("it comes"),
            Moment::FirstUser => stage.gives(version, 1).await,
            Moment::Step(name) => stage.at_step(id, name).await,
        }
    }
}

/// A bad release in whose middle the control plane is killed: it must be taken back all the same. What becomes of good
/// ones is seen in the crash matrix.
struct Story {
    version: &'static str,
    variables: &'static [(&'static str, &'static str)],
    killed: Moment,
}

/// Kills the control plane in the middle of each story, starts it again, and sees the rollout end.
async fn killed(production: &str, stories: &[Story]) {
    let _alone = alone().await;
    let mut stage = Stage::set(production).await;
    for Story { version, variables, killed } in stories {
        let id = stage.begin(version, variables, &[]).await;
        killed.comes(&stage, &id, version).await;
        stage.slipway.kill_control_plane().await.expect("it is killed");
        let before = stage.load.snapshot().requests;
        until("users are served meanwhile", async || (stage.load.snapshot().requests > before + 300).then_some(()))
            .await
            .expect("answers");
        stage.slipway.restart().await.expect("it starts again");
        let end = stage.outcome(&id).await;
        assert_eq!(end["outcome"], "rolled_back", "{killed:?}: {end:#}");
        let lane = stage.lane().await;
        assert_eq!((stage.stable().await.as_str(), weight(&lane, "1.0.0")), ("1.0.0", 10_000), "{killed:?}: {lane:#}");
    }
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_killed_in_canaries() {
    let stories = [
        Story { version: "2.0.0", variables: BROKEN, killed: Moment::Starting },
        Story { version: "2.1.0", variables: BAD, killed: Moment::Step("20%") },
    ];
    killed(CANARY, &stories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_killed_around_the_switch_of_blue_greens() {
    let stories = [
        Story { version: "2.0.0", variables: BROKEN, killed: Moment::Starting },
        Story { version: "2.1.0", variables: BAD, killed: Moment::FirstUser },
    ];
    killed(BLUE_GREEN, &stories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_killed_in_the_middle_of_batches() {
    let stories = [Story { version: "2.0.0", variables: BAD, killed: Moment::FirstUser }];
    killed(ROLLING, &stories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_stays_dead_gives_the_traffic_back() {
    let _alone = alone().await;
    let mut stage = Stage::set(WAITS).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.gives("1.1.0", 1).await;
    stage.slipway.kill_control_plane().await.expect("it is killed");
    // The lease is fifteen seconds; what counts is that it ends without anybody's doing.
    until("the traffic is back", async || {
        let met = stage.given("1.1.0");
        stage.gives("1.0.0", 300).await;
        (stage.given("1.1.0") == met).then_some(())
    })
    .await
    .expect("stable serves everybody");
    let last_sent = stage.load.snapshot().versions["1.1.0"].last_sent_ms;
    stage.slipway.restart().await.expect("it starts again");
    let end = stage.outcome(&id).await;
    assert_eq!(end["outcome"], "rolled_back", "{end:#}");
    assert!(end["cause"].as_str().unwrap_or_default().contains("lease"), "{end:#}");
    let report = stage.strike().await;
    assert_eq!(report.versions["1.1.0"].last_sent_ms, last_sent, "whoever returns undoes nothing");
    nothing_failed_by_slipway(&report);
}

/// Waits until users are served by `version` after the gateway was killed at `killed`, and prints how long they were not.
/// Returns once everybody who asked in vain has been told.
async fn served_again(stage: &Stage, version: &str, killed: Instant) {
    let report = stage.load.snapshot();
    let now = report.start_ms + report.duration_ms;
    until("users are served again", async || {
        // What had been answered before it was killed may still be counted now: only what is sent later tells.
        (stage.load.snapshot().versions[version].last_sent_ms > now).then_some(())
    })
    .await
    .expect("answers");
    println!("the gateway was back within {:?}", killed.elapsed());
    // Requests are made by 32 connections that take turns.
    stage.gives(version, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_comes_back_with_its_last_good_table() {
    let _alone = alone().await;
    let mut stage = Stage::set(CANARY).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    let killed = Instant::now();
    stage.slipway.kill_gateway().await.expect("it is killed");
    served_again(&stage, "1.0.0", killed).await;
    stage.gives("1.1.0", 20).await;
    let failed = stage.load.snapshot().failures.by_slipway;
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");

    // Control plane and gateway at once, as when the machine runs out of memory.
    let id = stage.begin("1.2.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    assert_eq!(stage.load.snapshot().failures.by_slipway, failed, "{:?}", stage.load.snapshot().first_failures);
    stage.slipway.kill_control_plane().await.expect("it is killed");
    let killed = Instant::now();
    stage.slipway.kill_gateway().await.expect("it is killed");
    stage.slipway.restart().await.expect("it starts again");
    served_again(&stage, "1.1.0", killed).await;
    let failed = stage.load.snapshot().failures.by_slipway;
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let report = stage.strike().await;
    assert_eq!(report.failures.by_slipway, failed, "{:?}", report.first_failures);
    assert_eq!(report.failures.by_service, 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_undoes_no_rollback() {
    let _alone = alone().await;
    let stage = Stage::set(WAITS).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.gives("1.1.0", 1).await;
    stage.slipway.kill_gateway().await.expect("it is killed");
    let back = stage.slipway.cli(&["rollback", "shop", "--env", "production", "--json"]).await.expect("it runs");
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    let returned =
        stage.slipway.json(&["explain", &id]).await.expect("an explanation")["ended_at"].as_u64().expect("an end");
    stage.gives("1.0.0", 600).await;
    let report = stage.strike().await;
    // Requests while there was no gateway had nobody to answer them; none went to the version that was taken back.
    assert!(report.versions["1.1.0"].last_sent_ms <= returned + 5, "the candidate was served after its way back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_is_tested_again_before_it_serves() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let (id, pid) = instances(&stage.lane().await, "stable")[0].clone();
    kill(pid as u32).await.expect("it is killed");
    until("it is back under another process", async || {
        let lane = stage.lane().await;
        let now = lane["stable"]["instances"].as_array()?.iter().find(|i| i["id"] == id.as_str())?.clone();
        (now["state"] == "ready" && now["pid"].as_u64()? != pid).then_some(())
    })
    .await
    .expect("it heals");
    assert_eq!(kinds_after(&stage, "instance.exited").await, ["instance.smoked", "instance.ready"]);
    nothing_failed_by_slipway(&stage.strike().await);
}

/// The kinds of what was recorded of instances after the last entry of a kind.
async fn kinds_after(stage: &Stage, kind: &str) -> Vec<String> {
    let journal = stage.slipway.json(&["journal", "--limit", "1000"]).await.expect("a journal");
    let entries = journal.as_array().expect("entries");
    let last = entries.iter().rposition(|entry| entry["kind"] == kind).expect("it is recorded");
    let kind = |entry: &Value| entry["kind"].as_str().unwrap_or_default().to_string();
    // What the gateway saw of it may come before or after; and on a slow machine its end may hurt enough users for an incident.
    let after = entries[last + 1..].iter().filter(|entry| entry["actor"] != "gateway").map(kind);
    after.filter(|kind| kind.starts_with("instance.")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_loses_no_request_and_its_orphan_is_replaced() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let watch = Watch::begin(&stage);
    let before: Vec<u32> = stage.slipway.shims().iter().map(|p| p.pid).collect();
    let shim = stage.slipway.shims()[0].clone();
    let orphans = instances(&stage.lane().await, "stable");
    let (_, orphan) =
        orphans.into_iter().find(|(id, _)| shim.command.ends_with(&format!("/{id}"))).expect("what it watches");
    kill(shim.pid).await.expect("it is killed");
    let orphan_runs = runs(orphan as u32);
    let replaced = async || {
        let lane = stage.lane().await;
        let instances = lane["stable"]["instances"].as_array()?.clone();
        let shims: Vec<u32> = stage.slipway.shims().iter().map(|p| p.pid).collect();
        let fresh = shims.len() == 2 && shims.iter().any(|s| !before.contains(s));
        (fresh && instances.len() == 2 && instances.iter().all(|i| i["state"] == "ready")).then_some(())
    };
    assert!(orphan_runs || replaced().await.is_some(), "users are on it");
    until("another one has taken its place", replaced).await.expect("it heals");
    until("the orphan is gone", async || (!runs(orphan as u32)).then_some(())).await.expect("its end");
    assert_eq!(watch.fewest_stable(), 2, "it is kept until it is replaced");
    drop(watch);
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_ended_leaves_everything_to_the_next() {
    let _alone = alone().await;
    let mut stage = Stage::set(CANARY).await;
    let before = (stage.slipway.gateway(), instances(&stage.lane().await, "stable"));
    stage.slipway.end_control_plane().await.expect("it ends");
    assert_eq!(stage.slipway.gateway(), before.0, "it goes on");
    stage.gives("1.0.0", 300).await;
    stage.slipway.restart().await.expect("it starts again");
    assert_eq!((stage.slipway.gateway(), instances(&stage.lane().await, "stable")), before, "taken over as they are");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0, "and it works on");
    let journal = stage.slipway.json(&["journal", "--limit", "1000"]).await.expect("a journal");
    assert!(journal.as_array().expect("entries").iter().all(|entry| entry["kind"] != "instance.exited"), "{journal:#}");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}
