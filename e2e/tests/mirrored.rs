//! Copies of users' requests before the switch of a blue-green release: a bad version is found by them with no user having
//! met it, a good one passes, and the service can tell copies from users.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Page, build};

const PAGE: &str = "docs/how-to/mirror.md";
const PRODUCTION: &str = "{ instances: 1, strategy: { blue-green: { verify: 2s } } }";
/// Wide bounds, so that some hundred requests are enough.
const SECTIONS: &str = "mirror: { share: 50%, at_once: 50 }\nobjectives:\n  - { name: errors, bad: failed, at_most: 20%, tolerate: 10% }\n";

async fn stage() -> Stage {
    Stage::set_declared(PRODUCTION, SECTIONS).await
}

fn step(told: &Value, name: &str) -> String {
    let steps = told["steps"].as_array().cloned().unwrap_or_default();
    steps.iter().find(|s| s["name"] == name).and_then(|s| s["state"].as_str()).unwrap_or_default().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_found_by_copies_and_a_good_one_passes() {
    let _alone = alone().await;
    let stage = stage().await;
    let page = Page::open(PAGE);

    let (bad, code) = stage.release("1.2.0", &[("FAIL_RATE", "0.7")], &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    assert_eq!((step(&bad, "mirror").as_str(), step(&bad, "switch").as_str()), ("failed", "skipped"), "{bad:#}");
    assert!(bad["cause"].as_str().is_some_and(|cause| cause.contains("mirrored requests")), "{bad:#}");
    assert_eq!(stage.given("1.2.0"), 0, "no user has met it");

    build(stage.slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    let plan = "slipway plan --version 1.1.0 --path build-1.1.0 --env production";
    let said = page.run(&stage.slipway, plan, None).await.expect(0).expect("a plan").stdout;
    let (mirror, switch) = (said.find("copies of users").expect("a step"), said.find("at once").expect("a step"));
    assert!(mirror < switch, "{said}");
    let release = "slipway release --version 1.1.0 --path build-1.1.0 --env production";
    page.run(&stage.slipway, release, None).await.expect(0).expect("it succeeds");
    assert_eq!(stage.stable().await, "1.1.0");
    let began = stage.slipway.get("/journal?kind=probes.began&limit=10&service=shop").await.expect("a journal");
    let causes: Vec<&str> = began.as_array().into_iter().flatten().filter_map(|e| e["cause"].as_str()).collect();
    assert!(causes.len() == 2 && causes.iter().all(|c| c.contains("copies of 50% of the requests")), "{causes:?}");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}
