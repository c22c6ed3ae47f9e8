//! A full disk: what has to go back goes back all the same and is recorded once it can be; nothing new is half begun.
//!
//! No process of Slipway can write a byte to any file: a limit of the kernel's on each of them stands for the disk.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Stage, alone, nothing_failed_by_slipway, weight};
use slipway_e2e::process::{self, runs};
use slipway_e2e::{Options, Slipway, build, program, until};

const CANARY: &str =
    "{ instances: 2, strategy: { canary: { steps: [20%, 100%], min_requests: 100000, step_limit: 5m, verify: 1s } } }";

/// Slipway started so that a write beyond the limit is an error, as on a full disk, and not its end.
async fn up(folder: &Path) -> Slipway {
    let wrapper = folder.join("start");
    let slipway = program("slipway").expect("the program");
    std::fs::write(&wrapper, format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", slipway.display())).expect("it");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("a program");
    Slipway::start(Options { slipway: Some(wrapper), ..Options::default() }).await.expect("Slipway starts")
}

fn fill(slipway: &Slipway, full: bool) {
    for process in slipway.processes() {
        let limited = process::full_disk(process.pid, full);
        assert!(limited.is_ok() || !runs(process.pid), "{process:?}: {limited:?}");
    }
}

async fn entries(stage: &Stage) -> usize {
    let journal = stage.slipway.get("/journal?limit=1000").await.expect("it can be read");
    journal.as_array().expect("entries").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bad_goes_back_and_is_recorded_later() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Stage::set_on(up(folder.path()).await, CANARY, 300.0).await;
    let outage = folder.path().join("outage");
    let id = stage.begin("2.0.0", &[("OUTAGE_FILE", &outage.to_string_lossy())], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.gives("2.0.0", 100).await;

    fill(&stage.slipway, true);
    let before = entries(&stage).await;
    std::fs::write(&outage, "").expect("the candidate fails from now on");
    until("nobody meets the candidate any more", async || {
        let met = stage.given("2.0.0");
        stage.gives("1.0.0", 300).await;
        (stage.given("2.0.0") == met).then_some(())
    })
    .await
    .expect("it is taken back");
    assert_eq!(entries(&stage).await, before, "nothing could be recorded");
    assert_eq!(weight(&stage.lane().await, "2.0.0"), 0, "and it says how things are");

    let more = build(stage.slipway.scratch(), "build-3.0.0", &[]).expect("a build");
    let refused = stage.slipway.release("3.0.0", &more, "production", &[]).await.expect("it runs");
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("/data/artifacts: File too large"), "it says what and why: {refused}");
    assert!(stage.slipway.control_plane().is_some_and(runs), "{}", stage.slipway.said());

    fill(&stage.slipway, false);
    let end = stage.outcome(&id).await;
    assert_eq!(end["outcome"], "rolled_back", "{end:#}");
    assert!(end["cause"].as_str().is_some_and(|cause| cause.contains("errors")), "{end:#}");
    until("what was done is recorded", async || (entries(&stage).await > before).then_some(())).await.expect("entries");
    assert!(stage.recorded(&id, "traffic.returned").await > 0, "and the way back among it");
    stage.slipway.declare("production: { instances: 2, strategy: { blue-green: { verify: 1s } } }").expect("a file");
    assert_eq!(stage.release("3.0.0", &[], &[]).await.1, 0, "what was refused has left nothing behind");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_good_waits_and_goes_on() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let quick = CANARY.replace("min_requests: 100000", "min_requests: 200");
    let stage = Stage::set_on(up(folder.path()).await, &quick, 300.0).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    fill(&stage.slipway, true);
    // More evidence than the step wants, and more time than a lease has: leases need no disk.
    stage.gives("1.1.0", 1_200).await;
    assert_eq!(weight(&stage.lane().await, "1.1.0"), 2_000, "no step is taken that cannot be recorded first");
    let mut why = String::new();
    until("it says that it cannot be recorded, and why", async || {
        why = stage.lane().await["unrecorded"]["why"].to_string();
        why.contains("disk").then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {why}"));
    fill(&stage.slipway, false);
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    assert!(stage.lane().await["unrecorded"].is_null(), "by now it is");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_comes_back() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Stage::set_on(up(folder.path()).await, CANARY, 100.0).await;
    fill(&stage.slipway, true);
    let died = stage.slipway.gateway().expect("a gateway");
    process::signal(died, process::Signal::KILL).expect("it is killed");
    until("another one serves", async || {
        let new = stage.slipway.gateway().is_some_and(|pid| pid != died);
        let before = stage.given("1.0.0");
        stage.gives("1.0.0", 50).await;
        (new && stage.given("1.0.0") > before).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {}", stage.slipway.said()));
    fill(&stage.slipway, false);
    let admin = stage.slipway.data.join("gateway/admin.json");
    until("it writes where its metrics are", async || {
        let pid = u64::from(stage.slipway.gateway()?);
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&admin).ok()?).ok()?;
        (written["pid"] == pid).then_some(())
    })
    .await
    .expect("it");
    stage.strike().await;
}
