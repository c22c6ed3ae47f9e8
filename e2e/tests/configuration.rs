//! Another configuration for the artifact that serves: released, judged, taken back and compared like any version.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway, weight};
use serde_json::Value;
use slipway_e2e::Page;

const BLUE_GREEN: &str = "instances: 1, strategy: { blue-green: { verify: 2s, standby: 10m } }";
const CANARY: &str = "instances: 2, strategy: { canary: { steps: [50%, 100%], verify: 2s } }";
const PAGE: &str = "docs/how-to/change-the-configuration.md";

/// Declares the shop with variables of its own in production.
fn declare(stage: &Stage, environment: &str, env: &str) {
    stage.slipway.declare(&format!("production: {{ env: {{ {env} }}, {environment} }}")).expect("a declared file");
}

fn artifact(diff: &Value) -> (&Value, &Value) {
    (&diff["same_artifact"], &diff["same_config"])
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_is_a_version_of_the_artifact_that_serves() {
    let _alone = alone().await;
    let stage = Stage::set(&format!("{{ {BLUE_GREEN} }}")).await;
    let page = Page::open(PAGE);
    declare(&stage, BLUE_GREEN, "GREETING: hello");
    let plan = page.run(&stage.slipway, "slipway plan --config-only --env production", None).await;
    let plan = plan.expect(0).expect("a plan");
    assert!(plan.stdout.contains("1.0.0-config-"), "the plan names what would come: {plan}");
    assert_eq!(stage.stable().await, "1.0.0", "a plan does nothing");

    let release = "slipway release --config-only --env production";
    page.run(&stage.slipway, release, None).await.expect(0).expect("it goes through");
    let derived = stage.stable().await;
    assert!(derived.starts_with("1.0.0-config-") && derived.len() == "1.0.0-config-".len() + 8, "{derived}");
    let diff = stage.slipway.json(&["diff", "shop", "1.0.0", &derived]).await.expect("a comparison");
    assert_eq!(artifact(&diff), (&true.into(), &false.into()), "{diff:#}");
    let differences = diff["differences"].as_array().expect("differences");
    let greeting = differences.iter().find(|d| d["place"] == "environments.production.env.GREETING");
    let greeting = greeting.unwrap_or_else(|| panic!("{diff:#}"));
    assert_eq!((&greeting["before"], &greeting["after"]), (&Value::Null, &"hello".into()));
    assert_eq!(differences.len(), 1, "and nothing else: {diff:#}");

    // The next one does not carry the ending of the one before, and may be named.
    declare(&stage, BLUE_GREEN, "GREETING: good day");
    let plan = stage.slipway.cli(&["plan", "--config-only", "--env", "production"]).await.expect("it runs");
    let plan = plan.expect(0).expect("a plan");
    assert!(!plan.stdout.contains(&format!("{derived}-config-")), "names do not grow: {plan}");
    let named = "slipway release --config-only --version 1.0.1 --env production";
    page.run(&stage.slipway, named, None).await.expect(0).expect("it goes through");
    assert_eq!(stage.stable().await, "1.0.1");
    let shown = page.run(&stage.slipway, "slipway diff shop 1.0.0 1.0.1", None).await.expect(0).expect("a text");
    assert!(shown.stdout.contains("artifact: the same") && shown.stdout.contains("+ good day"), "{shown}");

    page.run(&stage.slipway, "slipway rollback shop --env production", None).await.expect(0).expect("it goes back");
    let lane = stage.lane().await;
    assert_eq!((stage.stable().await, weight(&lane, &derived)), (derived.clone(), 10_000));

    // An earlier configuration is the version that it was.
    declare(&stage, BLUE_GREEN, "GREETING: hello");
    stage
        .slipway
        .cli(&["release", "--config-only", "--version", "1.0.1", "--env", "production"])
        .await
        .expect("it runs")
        .expect(2)
        .expect("a version never changes");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_taken_back_by_the_judge_and_nonsense_is_refused() {
    let _alone = alone().await;
    let stage = Stage::set(&format!("{{ {CANARY} }}")).await;
    declare(&stage, CANARY, "FAIL_RATE: \"0.5\"");
    let bad = stage.slipway.cli(&["release", "--config-only", "--env", "production", "--json"]).await.expect("it runs");
    let bad = bad.expect(10).expect("it is taken back").json().expect("an outcome");
    assert_eq!((&bad["outcome"], &bad["kind"]), (&"rolled_back".into(), &"release".into()), "{bad:#}");
    assert_eq!(stage.stable().await, "1.0.0");
    let gone = bad["version"].as_str().expect("a version").to_string();
    assert_eq!(weight(&stage.lane().await, &gone), 0);

    let refused = async |arguments: &[&str], code: i32, why: &str| {
        let said = stage.slipway.cli(arguments).await.expect("it runs").expect(code).expect("refused");
        assert!(said.stderr.contains(why), "{said}");
    };
    refused(&["release", "--config-only", "--path", "build", "--env", "production"], 2, "--path").await;
    refused(&["release", "--env", "production"], 2, "--version").await;
    refused(&["release", "--config-only", "--env", "nowhere"], 2, "not declared").await;
    refused(&["diff", "shop", "1.0.0", "7.7.7"], 2, "7.7.7").await;
    refused(&["diff", "shop", "1.0.0", "../1.0.0"], 2, "version").await;
    stage
        .slipway
        .declare(&format!("production: {{ {BLUE_GREEN} }}\nspare: {{ {BLUE_GREEN} }}"))
        .expect("a declared file");
    refused(&["release", "--config-only", "--env", "spare"], 12, "no version serves").await;
    stage.strike().await;
}
