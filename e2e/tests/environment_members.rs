//! Beside an environment's file: workers, groups of services, and drills that the file asks for. And gates where no
//! environment has a file.

mod common;

use std::fs;
use std::time::Duration;

use common::post::Post;
use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Options, Output, Slipway, build, until, until_within};

const QUICK: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s, standby: 10m } } }";

async fn cli(slipway: &Slipway, arguments: &str, code: i32) -> Output {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    slipway.cli(&words).await.expect("it runs").expect(code).unwrap_or_else(|e| panic!("{e}"))
}

async fn stable(slipway: &Slipway, service: &str) -> String {
    let lane = slipway.lane(service, "production").await.expect("a status");
    lane.map_or_else(String::new, |lane| lane["stable"]["version"].as_str().unwrap_or_default().to_string())
}

/// Entries of the journal of this kind, oldest first.
async fn entries(slipway: &Slipway, kind: &str) -> Vec<Value> {
    let all = slipway.get(&format!("/journal?limit=1000&kind={kind}")).await.expect("a journal");
    all.as_array().expect("entries").iter().rev().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_to_the_number_of_the_file_and_is_healed_without_a_parcel_cut() {
    let _alone = alone().await;
    let rolling = "{ instances: 1, strategy: { rolling: { verify: 1s } } }";
    let post = Post::open("", rolling).await;
    let slipway = &post.slipway;
    let export = cli(slipway, "env export production", 0).await.stdout;
    assert!(export.contains("courier"), "{export}");
    let file = "environment: production\nheal: true\nservices:\n  courier: { version: 1.0.0, instances: 2 }\n";
    fs::write(slipway.scratch().join("production.yaml"), file).expect("a file");
    let diff = cli(slipway, "env diff -f production.yaml --exit-code", 14).await;
    assert!(diff.stdout.contains("courier"), "{diff}");
    cli(slipway, "env apply -f production.yaml", 0).await;
    post.only("1.0.0", 2).await;
    post.parcels.delivers("1.0.0", 3).await;

    // Another version is brought back, by an ordinary release that the file asks for.
    let (other, code) = post.release("1.1.0", &[("JOB_MS", "40")], &[]).await;
    assert_eq!((code, &other["outcome"]), (0, &"succeeded".into()), "{other:#}");
    until("the file's version is back", async || (stable(slipway, "courier").await == "1.0.0").then_some(()))
        .await
        .expect("it is healed");
    post.only("1.0.0", 2).await;
    let asked = post.journal("rollout.asked").await;
    assert!(asked.iter().any(|entry| entry["actor"] == "slipway:heal"), "{asked:#?}");

    // The way back that a person asks for is left alone.
    cli(slipway, "env diff production --exit-code", 0).await;
    post.parcels.delivers("1.0.0", 3).await;
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_through_the_gates_of_the_environments_file_and_is_not_healed_against() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    let declare = |service: &str| {
        let text = format!(
            "service: {service}\nowner: team\nrun: {{ command: [\"./shop\"] }}\nhealth: {{ http: /healthz, interval: 200ms }}\n\
             smoke: [{{ name: it answers, http: {{ method: POST, path: /login, json: {{ user: smoke }} }} }}]\n\
             traffic: {{ host: {service}.local }}\nobjectives: [{{ name: errors, bad: failed, at_most: 1% }}]\n\
             environments: {{ production: {QUICK} }}\n"
        );
        fs::create_dir_all(slipway.scratch().join(service)).expect("a folder");
        fs::write(slipway.scratch().join(service).join("slipway.yaml"), text).expect("it is written");
    };
    let make = |service: &str, number: &str, more: &[(&str, &str)]| {
        let all = [&[("NUMBER", number), ("SERVICE", service)], more].concat();
        build(&slipway.scratch().join(service), "build", &all).expect("a build");
    };
    for service in ["catalog", "checkout"] {
        declare(service);
        make(service, "1", &[]);
    }
    let group = "group: shop\nservices:\n  catalog: { path: catalog/build }\n  checkout: { path: checkout/build, after: [catalog] }\n";
    fs::write(slipway.scratch().join("slipway.group.yaml"), group).expect("it is written");
    cli(&slipway, "release --group shop --version 1.0.0 --env production", 0).await;

    // The file freezes every release: the group does not begin, not even with the service that declares no gate.
    let file = |gates: &str| {
        let services = "services:\n  catalog: { version: 1.0.0 }\n  checkout: { version: 1.0.0 }\n";
        let text = format!("environment: production\nheal: true\n{gates}{services}");
        fs::write(slipway.scratch().join("production.yaml"), text).expect("a file");
    };
    file(
        "gates: { freeze: [{ window: \"2020-01-01 00:00 to 2090-01-01 00:00 UTC\", reason: the books are closed }] }\n",
    );
    cli(&slipway, "env apply -f production.yaml", 0).await;
    make("catalog", "2", &[]);
    make("checkout", "2", &[("SMOKE_FAIL", "1")]);
    let frozen = cli(&slipway, "release --group shop --version 2.0.0 --env production", 12).await;
    assert!(frozen.stderr.contains("the books are closed"), "{frozen}");
    assert_eq!(
        (stable(&slipway, "catalog").await, stable(&slipway, "checkout").await),
        ("1.0.0".into(), "1.0.0".into())
    );

    // Thawed, the group's way back and the file that heals agree on where to go: nothing goes back and forth.
    file("gates: { readiness: [owner] }\n");
    cli(&slipway, "env apply -f production.yaml", 0).await;
    let failed = cli(&slipway, "release --group shop --version 2.0.0 --env production", 10).await;
    assert!(failed.stdout.contains("checkout rolled back"), "{failed}");
    until("both serve what the file says", async || {
        let both = (stable(&slipway, "catalog").await, stable(&slipway, "checkout").await);
        (both == ("1.0.0".to_string(), "1.0.0".to_string())).then_some(())
    })
    .await
    .expect("they do");
    cli(&slipway, "env diff production --exit-code", 0).await;
    let group = slipway.get("/groups/shop/environments/production").await.expect("a group");
    assert_eq!(group["outcome"], "rolled_back", "{group:#}");
    let quiet = entries(&slipway, "rollout.asked").await.len();
    assert!(quiet <= 6, "two for each release of the group, and no more than one way back for each: {quiet}");
    slipway.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_comes_by_the_environments_file() {
    let _alone = alone().await;
    let stage = Stage::set(QUICK).await;
    let slipway = &stage.slipway;
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    let export = cli(slipway, "env export production", 0).await.stdout;
    fs::write(slipway.scratch().join("production.yaml"), format!("drill: {{ every: 1m }}\n{export}")).expect("a file");
    let diff = cli(slipway, "env diff -f production.yaml", 0).await;
    assert!(diff.stdout.contains("drill"), "{diff}");
    cli(slipway, "env apply -f production.yaml", 0).await;
    // As often as a drill may come: it is due a minute after the release.
    let drilled = until_within(Duration::from_secs(300), "it is drilled", async || {
        let lane = stage.lane().await;
        (!lane["times"]["drill"].is_null()).then_some(lane)
    });
    let lane = drilled.await.expect("a drill");
    assert_eq!(
        (&lane["times"]["drill"]["passed"], &lane["times"]["drill"]["to"]),
        (&true.into(), &"1.0.0".into()),
        "{lane:#}"
    );
    assert_eq!(stage.stable().await, "1.1.0");
    let drills = async || {
        let asked = entries(slipway, "rollout.asked").await;
        asked.into_iter().filter(|entry| entry["actor"] == "slipway:schedule").count()
    };
    assert_eq!(drills().await, 1, "one, and the next in a minute");
    cli(slipway, "env diff production --exit-code", 0).await;
    nothing_failed_by_slipway(&stage.strike().await);
}

/// As docs/how-to/gates.md says: a release brings its gates, so that without a file of the environment it may loosen them.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_environment_has_a_file_a_release_that_declares_fewer_gates_meets_fewer() {
    let _alone = alone().await;
    let stage = Stage::set(QUICK).await;
    let slipway = &stage.slipway;
    let gated = QUICK.replacen('{', "{ gates: { approvals: { count: 1, from: [alice] }, readiness: [owner] },", 1);
    slipway.declare(&format!("production: {gated}")).expect("a file");
    let id = stage.begin("1.1.0", &[], &[]).await;
    assert_eq!(stage.rollout(&id).await["state"], "queued", "it waits for alice");
    slipway.declare(&format!("production: {QUICK}")).expect("a file");
    let (loose, code) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!((code, &loose["outcome"]), (0, &"succeeded".into()), "{loose:#}");
    assert_eq!(stage.stable().await, "1.2.0");

    // With a file, the same is held up: it is the file that binds.
    let export = cli(slipway, "env export production", 0).await.stdout;
    let file = format!("gates: {{ approvals: {{ count: 1, from: [alice] }} }}\n{export}");
    fs::write(slipway.scratch().join("production.yaml"), file).expect("a file");
    cli(slipway, "env apply -f production.yaml", 0).await;
    let id = stage.begin("1.3.0", &[], &[]).await;
    let waits = until("it waits", async || {
        let now = stage.rollout(&id).await;
        now["waiting"]["on"].as_str().is_some_and(|on| on.contains("0 of 1 approvals")).then_some(())
    });
    waits.await.expect("it is held up");
    assert_eq!(stage.stable().await, "1.2.0");
    stage.say("abort", &[]).await.expect(0).expect("withdrawn");
    nothing_failed_by_slipway(&stage.strike().await);
}
