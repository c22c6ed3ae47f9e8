//! What the judge compares with: a multiple of stable's rate, on a service whose errors are many and its users' own.

mod common;

use std::fs;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{Options, Page, Slipway, build, until};
use slipway_load::Load;

const PAGE: &str = "docs/how-to/compare-with-stable.md";
const CANARY: &str = "{ instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 3s } } }";
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

/// How a good version answers: a third far more slowly than the rest. In whatever moment of the machine stable's p90 lies among
/// those, and the rest below it.
const ALIKE: [(&str, &str); 2] = [("SLOW_MS", "150"), ("SLOW_RATE", "0.33")];
/// How a bad one does: all of it is above stable's p90.
const SLOWER: [(&str, &str); 1] = [("SLOW_MS", "1500")];
/// Half of the requests may be slow at all, which a good version never is; a tenth more than stable is tolerated.
const OWN_BOUND: &str = "  - { name: latency, bad: slower_than stable p90, at_most: 50%, tolerate: 15% }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_latency_bound_is_stables_own_and_where_there_is_none_a_person_is_asked() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    slipway.declare(&format!("production: {CANARY}")).expect("a declared file");
    let file = slipway.scratch().join("slipway.yaml");
    let text = fs::read_to_string(&file).expect("it is there");
    let (head, tail) = text.split_once("objectives:\n").expect("objectives");
    let rest = tail.split_once("environments:").expect("environments").1;
    fs::write(&file, format!("{head}objectives:\n{OWN_BOUND}environments:{rest}")).expect("it is written");
    let first = build(slipway.scratch(), "build-1.0.0", &ALIKE).expect("a build");
    slipway.release("1.0.0", &first, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");

    // Nobody has used it: there is nothing to take a bound from, and nothing is guessed.
    let early = build(slipway.scratch(), "build", &ALIKE).expect("a build");
    let page = Page::open(PAGE);
    let plan = "slipway plan --version 1.1.0 --path ./build --env production";
    let said = page.run(&slipway, plan, None).await.expect(0).expect("a plan").stdout;
    assert!(said.contains("stable answered 0 requests"), "{said}");
    assert!(said.contains("this objective is inconclusive"), "{said}");
    let held = slipway.release("1.1.0", &early, "production", &[]).await.expect("it runs");
    let held = held.json().expect("an end");
    assert_eq!(held["state"], "held", "{held:#}");
    let why = held["waiting"]["on"].as_str().expect("why");
    assert!(why.contains("no bound: stable answered 0 requests"), "{why}");
    slipway.cli(&["abort", "shop", "--env", "production"]).await.expect("it runs").expect(0).expect("it goes back");

    let options = slipway_load::Options {
        host: Some("shop.local".into()),
        users: 2_000,
        ..slipway_load::Options::new(slipway.traffic_url())
    };
    let load = Load::start(options).expect("the load starts");
    until("enough is answered", async || (load.snapshot().requests > 600).then_some(())).await.expect("answers");
    let noted = until("a bound can be taken", async || {
        let said = page.run(&slipway, plan, None).await.stdout;
        said.lines().find(|line| line.contains("stable's p90 over")).map(str::to_string)
    });
    let noted = noted.await.expect("a note");
    assert!(noted.contains("latency: slow is slower than"), "{noted}");
    let stage = Stage { slipway, load };

    let (bad, code) = stage.release("1.2.0", &SLOWER, &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let cause = bad["cause"].as_str().expect("a cause");
    assert!(cause.contains("ms, stable's p90"), "{cause}");
    let id = bad["rollout"].as_str().expect("an id");
    let told = page.run(&stage.slipway, "slipway explain ro-N", Some(id)).await;
    let told = told.expect(0).expect("an explanation").stdout;
    assert!(told.contains("Bounds\n  latency: slow is slower than"), "{told}");
    let planned = stage.slipway.get(&format!("/journal?limit=1000&rollout={id}")).await.expect("a journal");
    let planned = planned.as_array().expect("entries").iter().find(|e| e["kind"] == "rollout.planned").expect("a plan");
    let bound = &planned["evidence"]["bounds"][0];
    assert!(bound["bound_us"].as_u64().is_some_and(|us| (150_000..1_500_000).contains(&us)), "{bound:#}");

    let (alike, code) = stage.release("1.3.0", &ALIKE, &[]).await;
    assert_eq!((code, &alike["outcome"]), (0, &"succeeded".into()), "{alike:#}");
    nothing_failed_by_slipway(&stage.strike().await);
}
