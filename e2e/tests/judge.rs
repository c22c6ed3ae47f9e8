//! What the judge compares with: a multiple of stable's rate, on a service whose errors are many and its users' own.

mod common;

use std::fs;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{Options, Slipway, build, until};
use slipway_load::Load;

const CANARY: &str = "{ instances: 1, strategy: { canary: { steps: [50%, 100%], step_limit: 3m, verify: 3s } } }";
/// Far more than any version here has, so that only the comparison with stable can tell them apart.
const MULTIPLE: &str = "  - { name: against-stable, bad: failed, at_most: 60%, tolerate: 2x }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_multiple_of_stables_rate_takes_back_what_at_most_would_let_pass_and_lets_pass_what_is_alike() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    slipway.declare(&format!("production: {CANARY}")).expect("a declared file");
    let file = slipway.scratch().join("slipway.yaml");
    let text = fs::read_to_string(&file).expect("it is there");
    let (head, tail) = text.split_once("objectives:\n").expect("objectives");
    let rest = tail.split_once("environments:").expect("environments").1;
    fs::write(&file, format!("{head}objectives:\n{MULTIPLE}environments:{rest}")).expect("it is written");
    let first = build(slipway.scratch(), "build-1.0.0", &[("FAIL_RATE", "0.05")]).expect("a build");
    slipway.release("1.0.0", &first, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");
    let options = slipway_load::Options {
        host: Some("shop.local".into()),
        users: 20_000,
        ..slipway_load::Options::new(slipway.traffic_url())
    };
    let load = Load::start(options).expect("the load starts");
    until("answers come", async || (load.snapshot().requests > 50).then_some(())).await.expect("answers");
    let stage = Stage { slipway, load };

    let (bad, code) = stage.release("1.1.0", &[("FAIL_RATE", "0.4")], &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let cause = bad["cause"].as_str().expect("a cause");
    assert!(cause.contains("times stable's rate, where 2 times is tolerated"), "{cause}");
    assert_eq!(stage.stable().await, "1.0.0");

    let (alike, code) = stage.release("1.2.0", &[("FAIL_RATE", "0.05")], &[]).await;
    assert_eq!((code, &alike["outcome"]), (0, &"succeeded".into()), "{alike:#}");
    assert_eq!(stage.stable().await, "1.2.0");
    nothing_failed_by_slipway(&stage.strike().await);
}
