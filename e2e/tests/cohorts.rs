//! Cohorts: some go first, are judged apart, and come back with everybody else.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Stage, alone, nothing_failed_by_slipway, step_state};
use slipway_e2e::{Page, Slipway, build, client, until};

const PAGE: &str = "docs/how-to/cohorts.md";
const PRODUCTION: &str = "{ instances: 1, cohorts: [{ name: internal, header: \"X-Internal: 1\" }], strategy: { canary: { steps: [50%, 100%], step_limit: 3m, verify: 2s } } }";
/// Wide bounds, so that some hundred requests are enough.
const OBJECTIVES: &str = "  - { name: errors, bad: failed, at_most: 20%, tolerate: 10% }\n";

/// People of the house: twenty of them, each known by a session, all by a header.
struct House {
    met: Arc<Mutex<BTreeMap<String, u64>>>,
    task: tokio::task::JoinHandle<()>,
}

impl House {
    fn open(slipway: &Slipway) -> House {
        let (met, url) = (Arc::<Mutex<BTreeMap<String, u64>>>::default(), slipway.traffic_url());
        let seen = met.clone();
        let task = tokio::spawn(async move {
            for n in 0u64.. {
                if let Some(version) = ask(&url, n % 20, true).await {
                    *seen.lock().expect("not poisoned").entry(version).or_default() += 1;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        House { met, task }
    }

    /// Answers that a version gave them.
    fn given(&self, version: &str) -> u64 {
        self.met.lock().expect("not poisoned").get(version).copied().unwrap_or_default()
    }

    /// Waits until a version has given them `n` more. They ask one after the other, so what was under way before has come.
    async fn gets(&self, version: &str, n: u64) {
        let wanted = self.given(version) + n;
        until(&format!("{version} gives the house {n} more"), async || (self.given(version) >= wanted).then_some(()))
            .await
            .expect("answers");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The version that answers a user.
async fn ask(url: &str, user: u64, internal: bool) -> Option<String> {
    let request = client().get(url).header("host", "shop.local").header("cookie", format!("session=h{user}"));
    let request = if internal { request.header("x-internal", "1") } else { request };
    let answer = request.send().await.ok()?;
    Some(answer.headers().get("x-version")?.to_str().ok()?.to_string())
}

async fn stage() -> Stage {
    Stage::set_declared(PRODUCTION, &format!("objectives:\n{OBJECTIVES}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_goes_first_is_judged_apart_and_comes_back_with_everybody() {
    let _alone = alone().await;
    let stage = stage().await;
    let page = Page::open(PAGE);
    let url = stage.slipway.traffic_url();

    // Nobody of the house is there: the step waits, and nobody else meets the candidate.
    build(stage.slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    let plan = "slipway plan --version 1.1.0 --path build-1.1.0 --env production";
    let said = page.run(&stage.slipway, plan, None).await.expect(0).expect("a plan").stdout;
    let (cohort, half) = (said.find("cohort internal").expect("a step"), said.find("50%").expect("a step"));
    assert!(cohort < half, "{said}");
    let release = "slipway release --version 1.1.0 --path build-1.1.0 --env production --detach";
    let asked = page.run(&stage.slipway, release, None).await.expect(0).expect("it is asked for").stdout;
    let waiting = asked.split(':').next().expect("an id").to_string();
    stage.at_step(&waiting, "cohort internal").await;
    assert_eq!(ask(&url, 1, true).await.as_deref(), Some("1.1.0"), "one of the house");
    assert_eq!(ask(&url, 1, false).await.as_deref(), Some("1.0.0"), "the same person from outside");
    stage.gives("1.0.0", 300).await;
    assert_eq!(stage.given("1.1.0"), 0, "nobody else meets it");
    let now = stage.rollout(&waiting).await;
    assert_eq!((step_state(&now, "cohort internal"), step_state(&now, "50%")), ("waiting", "pending"), "{now:#}");

    // A person takes it back: the cohort comes back as well.
    let abort = "slipway abort shop --env production";
    page.run(&stage.slipway, abort, None).await.expect(0).expect("it goes back");
    let back = stage.outcome(&waiting).await;
    assert_eq!(back["outcome"], "rolled_back", "{back:#}");
    assert_eq!(ask(&url, 1, true).await.as_deref(), Some("1.0.0"), "0% overrides cohorts");

    // A bad version is found by the house, and by nobody else.
    let house = House::open(&stage.slipway);
    let (bad, code) = stage.release("1.2.0", &[("FAIL_RATE", "0.7")], &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    assert_eq!((step_state(&bad, "cohort internal"), step_state(&bad, "50%")), ("failed", "skipped"), "{bad:#}");
    assert!(bad["cause"].as_str().is_some_and(|cause| cause.starts_with("errors:")), "{bad:#}");
    assert_eq!(stage.given("1.2.0"), 0, "no stranger met it");
    assert!(house.given("1.2.0") > 0 && bad["exposed_requests"].as_u64() >= Some(3), "{bad:#}");
    house.gets("1.0.0", 2).await;
    let met = house.given("1.2.0");
    house.gets("1.0.0", 20).await;
    assert_eq!(house.given("1.2.0"), met, "not one request follows");
    let id = bad["rollout"].as_str().expect("an id");
    let told = page.run(&stage.slipway, "slipway explain ro-N", Some(id)).await.expect(0).expect("told").stdout;
    assert!(told.contains("cohort internal") && told.contains("stable before"), "{told}");

    // A good one goes through, and the evidence of the house is not that of the half.
    build(stage.slipway.scratch(), "build-1.3.0", &[]).expect("a build");
    let (good, code) = stage.release("1.3.0", &[], &[]).await;
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");
    let id = good["rollout"].as_str().expect("an id");
    let told = stage.slipway.get(&format!("/rollouts/{id}/explanation")).await.expect("an explanation");
    let passed = |name: &str| {
        let decisions = told["decisions"].as_array().cloned().unwrap_or_default();
        let decision = decisions.into_iter().find(|d| d["step"] == name).unwrap_or_else(|| panic!("{name}: {told:#}"));
        decision["judgements"][0].clone()
    };
    assert_eq!(passed("cohort internal")["stable"]["before"], true, "{told:#}");
    assert_eq!(passed("50%")["stable"]["before"], false, "{told:#}");
    drop(house);
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_control_plane_stays_away_the_lease_brings_a_cohort_home_too() {
    let _alone = alone().await;
    let mut stage = stage().await;
    let url = stage.slipway.traffic_url();
    build(stage.slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    // Nobody of the house is there, so the step waits; nobody has a share of the split, and there is a lease all the same.
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "cohort internal").await;
    assert_eq!(ask(&url, 1, true).await.as_deref(), Some("1.1.0"));
    stage.slipway.kill_control_plane().await.expect("it dies");
    until("the house is home", async || (ask(&url, 1, true).await.as_deref() == Some("1.0.0")).then_some(()))
        .await
        .expect("the lease runs out");
    stage.slipway.restart().await.expect("it starts again");
    let ended = stage.outcome(&id).await;
    assert_eq!(ended["outcome"], "rolled_back", "{ended:#}");
    assert!(ended["cause"].as_str().is_some_and(|cause| cause.contains("lease")), "{ended:#}");
    assert_eq!(ask(&url, 1, true).await.as_deref(), Some("1.0.0"));
    assert_eq!(stage.given("1.1.0"), 0, "no stranger met it");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_of_the_environment_goes_first_whatever_the_release_declares() {
    let _alone = alone().await;
    let stage = stage().await;
    let (slipway, url) = (&stage.slipway, stage.slipway.traffic_url());
    let text = "environment: production\ndrill: { every: 30d }\ncohorts:\n  - { name: testers, cookie: tester=1 }\n  \
                - { name: internal, cookie: staff=1 }\nservices: {}\n";
    fs::write(slipway.scratch().join("production.yaml"), text).expect("a file");
    let differs =
        slipway.cli(&["env", "diff", "-f", "production.yaml"]).await.expect("it runs").expect(0).expect("a diff");
    assert!(differs.stdout.contains("testers") && differs.stdout.contains("drill"), "{differs}");
    slipway.cli(&["env", "apply", "-f", "production.yaml"]).await.expect("it runs").expect(0).expect("it is applied");
    let export = slipway.cli(&["env", "export", "production"]).await.expect("it runs").expect(0).expect("a file");
    assert!(export.stdout.contains("tester=1") && export.stdout.contains("drill: {\"every\":\"30d\"}"), "{export}");

    build(slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    let words = ["plan", "--version", "1.1.0", "--path", "build-1.1.0", "--env", "production"];
    let plan = slipway.cli(&words).await.expect("it runs").expect(0).expect("a plan").stdout;
    let at = |name: &str| plan.find(name).unwrap_or_else(|| panic!("{name}: {plan}"));
    assert!(at("cohort testers") < at("cohort internal") && at("cohort internal") < at("50%"), "{plan}");
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "cohort testers").await;
    let asked = async |cookie: &str| {
        let request = client().get(&url).header("host", "shop.local");
        let answer = request.header("cookie", format!("session=t1; {cookie}")).send().await.expect("an answer");
        answer.headers()["x-version"].to_str().expect("a version").to_string()
    };
    assert_eq!(asked("tester=1").await, "1.1.0");
    assert_eq!(asked("staff=1").await, "1.0.0", "they are next");
    assert_eq!(ask(&url, 1, true).await.as_deref(), Some("1.0.0"), "the release's own of that name does not hold");
    slipway.cli(&["promote", "shop", "--env", "production"]).await.expect("it runs").expect(0).expect("it goes on");
    stage.at_step(&id, "cohort internal").await;
    assert_eq!(asked("staff=1").await, "1.1.0", "the environment's own goes by a cookie");
    stage.say("abort", &[]).await.expect(0).expect("it is taken back");
    assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    assert_eq!(asked("tester=1").await, "1.0.0", "and comes back with everybody");
    nothing_failed_by_slipway(&stage.strike().await);
}
