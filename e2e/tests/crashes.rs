//! Whatever is killed, whenever: users do not notice, and what was begun ends as it should.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{kill, until, until_within};

const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [20%, 60%, 100%], verify: 5s } } }";
const BLUE_GREEN: &str = "{ instances: 2, strategy: { blue-green: { verify: 8s } } }";
const ROLLING: &str = "{ instances: 3, strategy: { rolling: { batch: 1, verify: 5s } } }";

/// Kills the control plane at `step`, starts it again, and sees the rollout end.
async fn killed_at(production: &str, step: &str, variables: &[(&str, &str)], expected: &str) {
    let _alone = alone().await;
    let mut stage = Stage::set(production).await;
    let id = stage.begin("1.1.0", variables, &[]).await;
    stage.at_step(&id, step).await;
    stage.slipway.kill_control_plane().await.expect("it is killed");
    let before = stage.load.snapshot().requests;
    until("users are served meanwhile", async || (stage.load.snapshot().requests > before + 300).then_some(()))
        .await
        .expect("answers");
    stage.slipway.restart().await.expect("it starts again");
    let end = stage.outcome(&id).await;
    assert_eq!(end["outcome"], expected, "{end:#}");
    assert_eq!(stage.stable().await, if expected == "succeeded" { "1.1.0" } else { "1.0.0" });
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_killed_in_a_canary() {
    killed_at(CANARY, "20%", &[], "succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_killed_in_a_blue_green_after_the_switch() {
    killed_at(BLUE_GREEN, "verification", &[], "succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_killed_in_a_rolling_update() {
    killed_at(ROLLING, "batch 2 of 3", &[], "succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_stays_dead_gives_the_traffic_back() {
    let _alone = alone().await;
    let mut stage = Stage::set(CANARY).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.slipway.kill_control_plane().await.expect("it is killed");
    // The lease is fifteen seconds; what counts is that it ends without anybody's doing.
    until_within(std::time::Duration::from_secs(60), "the traffic is back", async || {
        let report = stage.load.snapshot();
        let last = report.versions.get("1.1.0").map_or(0, |v| v.last_ms);
        let newest = report.versions.get("1.0.0").map_or(0, |v| v.last_ms);
        (last > 0 && newest > last + 2_000).then_some(())
    })
    .await
    .expect("stable serves everybody");
    stage.slipway.restart().await.expect("it starts again");
    let end = stage.outcome(&id).await;
    assert_eq!(end["outcome"], "rolled_back", "{end:#}");
    assert!(end["cause"].as_str().unwrap_or_default().contains("lease"), "{end:#}");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_comes_back_and_undoes_no_rollback() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.slipway.kill_gateway().await.expect("it is killed");
    let back = stage.slipway.cli(&["rollback", "shop", "--env", "production", "--json"]).await.expect("it runs");
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    let returned =
        stage.slipway.json(&["explain", &id]).await.expect("an explanation")["ended_at"].as_u64().expect("an end");
    let before = stage.load.snapshot().versions["1.0.0"].requests;
    until("stable answers again", async || {
        (stage.load.snapshot().versions["1.0.0"].requests > before + 600).then_some(())
    })
    .await
    .expect("answers");
    let report = stage.strike().await;
    // Requests while there was no gateway had nobody to answer them; none went to the version that was taken back.
    assert!(report.versions["1.1.0"].last_sent_ms <= returned + 5, "the candidate was served after its way back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_is_tested_again_before_it_serves() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let lane = stage.slipway.lane("shop", "production").await.expect("a status").expect("a lane");
    let instance = lane["stable"]["instances"][0].clone();
    let pid = instance["pid"].as_u64().expect("a pid") as u32;
    kill(pid).await.expect("it is killed");
    until("it is back under another process", async || {
        let lane = stage.slipway.lane("shop", "production").await.ok()??;
        let now = lane["stable"]["instances"].as_array()?.iter().find(|i| i["id"] == instance["id"])?.clone();
        (now["state"] == "ready" && now["pid"].as_u64()? != u64::from(pid)).then_some(())
    })
    .await
    .expect("it heals");
    let journal = stage.slipway.json(&["journal", "--limit", "1000"]).await.expect("a journal");
    let kinds: Vec<&str> = journal.as_array().expect("entries").iter().filter_map(|e| e["kind"].as_str()).collect();
    let exited = kinds.iter().rposition(|k| *k == "instance.exited").expect("the end is recorded");
    assert_eq!(kinds[exited + 1..], ["instance.smoked", "instance.ready"], "tested, then served");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_loses_no_request_and_is_replaced() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let before: Vec<u32> = stage.slipway.shims().iter().map(|p| p.pid).collect();
    kill(before[0]).await.expect("it is killed");
    until("another one has taken its place", async || {
        let lane = stage.slipway.lane("shop", "production").await.ok()??;
        let instances = lane["stable"]["instances"].as_array()?.clone();
        let shims: Vec<u32> = stage.slipway.shims().iter().map(|p| p.pid).collect();
        let fresh = shims.len() == 2 && shims.iter().any(|s| !before.contains(s));
        (fresh && instances.len() == 2 && instances.iter().all(|i| i["state"] == "ready")).then_some(())
    })
    .await
    .expect("it heals");
    nothing_failed_by_slipway(&stage.strike().await);
}
