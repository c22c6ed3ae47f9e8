//! Faults that are injected on purpose: a canary that is healthy is taken back for them, a cohort alone meets them, and they
//! end by themselves, with nobody there to end them.

mod common;

use std::time::Duration;

use common::{Stage, alone};
use serde_json::Value;
use slipway_e2e::{Page, until};

const PAGE: &str = "docs/how-to/inject-faults.md";
const CANARY: &str = "{ instances: 1, cohorts: [{ name: internal, header: \"X-Internal: 1\" }], strategy: { canary: { steps: [50%, 100%], verify: 2s } } }";
const GREEN: &str = "{ instances: 1, cohorts: [{ name: internal, header: \"X-Internal: 1\" }], strategy: { blue-green: { verify: 1s } } }";

/// How long a client waits that only wants to know whether it is held: longer than a machine stands still, and far shorter than
/// the fault lasts.
const IMPATIENT: Duration = Duration::from_secs(3);

/// The entries of a kind.
async fn entries(stage: &Stage, kind: &str) -> Vec<Value> {
    let found = stage.slipway.get(&format!("/journal?kind={kind}&limit=100&service=shop")).await.expect("a journal");
    found.as_array().cloned().unwrap_or_default()
}

fn cause(entry: &Value) -> &str {
    entry["cause"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_canary_is_taken_back_for_faults_that_were_injected() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let page = Page::open(PAGE);
    let refused = stage.say("fault", &["--version", "1.1.0", "--share", "50%", "--abort", "503"]).await;
    assert_eq!(refused.code, 12, "a version that neither serves nor is coming: {refused}");
    let refused = stage.say("fault", &["--share", "60%", "--abort", "503"]).await;
    assert!(refused.code == 12 && refused.stderr.contains("50%"), "an outage is no fault: {refused}");

    // A cohort's step comes first, and nobody of the house is there: nothing is judged until the fault is in force.
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "cohort internal").await;
    let fault = "slipway fault shop --env production --version 1.1.0 --share 50% --abort 503 --for 5m --reason \"drill of the judge\"";
    let shown = page.run(&stage.slipway, fault, None).await.expect(0).expect("it begins").stdout;
    assert!(shown.contains("abort with 503 in 50% of the requests to 1.1.0"), "{shown}");
    stage.say("promote", &[]).await.expect(0).expect("on to everybody");
    let back = stage.outcome(&id).await;
    assert_eq!(back["outcome"], "rolled_back", "{back:#}");
    let undo = entries(&stage, "decided.undo").await;
    assert!(undo.iter().any(|entry| cause(entry).contains("on purpose")), "{undo:#?}");
    let begun = entries(&stage, "fault.begun").await;
    assert!(cause(&begun[0]).contains("drill of the judge"), "{begun:#?}");
    let actor = begun[0]["actor"].as_str().unwrap_or_default();
    assert!(actor.starts_with("user:"), "{begun:#?}");
    let ended = entries(&stage, "fault.ended").await;
    assert!(ended.len() == 1 && cause(&ended[0]).contains("neither serves nor is coming"), "{ended:#?}");
    assert_eq!(stage.lane().await["faults"], Value::Array(vec![]));

    // The same version, without faults, is fine.
    let id = stage.begin("1.1.1", &[], &[]).await;
    stage.at_step(&id, "cohort internal").await;
    stage.say("promote", &[]).await.expect(0).expect("on to everybody");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let report = stage.strike().await;
    let kinds = &report.failures.kinds;
    assert_eq!(kinds.get("proxy_internal_response").copied(), Some(report.failures.total()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_alone_is_held_back_until_the_time_is_over_with_the_control_plane_dead() {
    let _alone = alone().await;
    let mut stage = Stage::set_with(GREEN, 50.0).await;
    let page = Page::open(PAGE);
    let url = stage.slipway.traffic_url();
    let client = reqwest::Client::new();
    let ask = async |internal: &str| {
        let request = client.get(&url).header("host", "shop.local").header("x-internal", internal);
        request.timeout(IMPATIENT).send().await
    };
    let fault = "slipway fault shop --env production --cohort internal --share 100% --latency 30s --for 15s --reason \"game day\"";
    page.run(&stage.slipway, fault, None).await.expect(0).expect("it begins");
    until("the house is held", async || ask("1").await.is_err_and(|e| e.is_timeout()).then_some(()))
        .await
        .expect("held");
    stage.slipway.kill_control_plane().await.expect("it is killed");
    assert!(ask("1").await.is_err_and(|e| e.is_timeout()), "it goes on without a control plane");
    stage.gives("1.0.0", 50).await;
    until("the house is served", async || ask("1").await.is_ok_and(|a| a.status() == 200).then_some(()))
        .await
        .expect("it ends by itself");
    stage.slipway.kill_gateway().await.expect("it is killed");
    stage.slipway.restart().await.expect("a control plane");
    until("it is over for the control plane", async || {
        let ended = entries(&stage, "fault.ended").await;
        ended.iter().any(|entry| cause(entry).contains("are over")).then_some(())
    })
    .await
    .expect("it is recorded");

    // And ended early, by a person.
    let injected = || {
        let kinds = stage.load.snapshot().failures.kinds;
        kinds.get("proxy_internal_response").copied().unwrap_or_default()
    };
    let before = injected();
    stage.say("fault", &["--share", "50%", "--abort", "503", "--for", "1h"]).await.expect(0).expect("it begins");
    // Only this is the fault's: what was on its way when the gateway was killed fails, too.
    let met = async || (injected() > before).then_some(());
    until("somebody meets it", met).await.expect("a failure");
    let status = stage.slipway.cli(&["status", "shop"]).await.expect("it runs");
    assert!(status.stdout.contains("abort with 503 in 50%"), "{status}");
    let end = "slipway fault shop --env production --end --reason \"seen enough\"";
    page.run(&stage.slipway, end, None).await.expect(0).expect("it ends");
    assert_eq!(stage.say("fault", &["--end"]).await.code, 12, "there is none");
    let ended = entries(&stage, "fault.ended").await;
    assert!(ended.iter().any(|entry| cause(entry).contains("seen enough")), "{ended:#?}");
    until("nothing fails any more", async || {
        let failed = stage.load.snapshot().failures.total();
        stage.gives("1.0.0", 100).await;
        (stage.load.snapshot().failures.total() == failed).then_some(())
    })
    .await
    .expect("it has ended");
    let report = stage.strike().await;
    let injected = report.failures.kinds.get("proxy_internal_response").copied().unwrap_or_default();
    // The gateway was killed once, with requests on their way.
    assert!(injected > 0, "{:?}", report.failures);
}
