//! Gates, as people meet them: who approves what, what blocks and how it is passed, who may do what.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Output, Page, Slipway, build, until};

const PAGE: &str = "docs/how-to/gates.md";
const GATED: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s } }, \
                      gates: { approvals: { count: 1, from: [alice, bob] }, readiness: [owner, smoke] } }";
const OPEN: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s } } }";

/// A command with somebody's token.
async fn as_whom(slipway: &Slipway, token: &str, arguments: &[&str]) -> Output {
    slipway.cli(&[arguments, &["--token", token]].concat()).await.expect("it runs")
}

async fn token(slipway: &Slipway, name: &str, may: &str) -> String {
    let made = slipway.json(&["token", "create", name, "--may", may]).await.expect("a token");
    made["token"].as_str().expect("its text").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_for_somebody_elses_word_for_exactly_what_they_were_shown() {
    let _alone = alone().await;
    let stage = Stage::set(OPEN).await;
    let slipway = &stage.slipway;
    let page = Page::open(PAGE);
    let alice = page.run(slipway, "slipway token create alice --may approve", None).await.expect(0).expect("a token");
    let alice = alice.stdout.trim().to_string();
    let bob = token(slipway, "bob", "approve,release").await;
    let eve = token(slipway, "eve", "approve").await;
    let listed = page.run(slipway, "slipway token list", None).await.expect(0).expect("a list");
    assert!(listed.stdout.contains("alice") && !listed.stdout.contains(&alice), "{listed}");

    slipway.declare(&format!("production: {GATED}")).expect("a declared file");
    build(slipway.scratch(), "build", &[]).expect("a build");
    let release = ["release", "--version", "1.1.0", "--path", "build", "--env", "production", "--detach", "--json"];
    let asked = as_whom(slipway, &bob, &release).await.expect(0).expect("it waits").json().expect("a rollout");
    let id = asked["rollout"].as_str().expect("an id").to_string();
    assert_eq!(asked["state"], "queued");
    assert!(asked["waiting"]["on"].as_str().is_some_and(|on| on.contains("0 of 1 approvals")), "{asked:#}");

    let shown = page.run(slipway, "slipway gates shop --env production", None).await.expect(0).expect("gates");
    for what in ["approvals", "0 of 1", "slipway approve", "readiness: owner", "way back", "sha256:"] {
        assert!(shown.stdout.contains(what), "an approver must see {what}: {shown}");
    }
    for (who, why) in [(&bob, "their own"), (&eve, "not among those")] {
        let refused = as_whom(slipway, who, &["approve", &id]).await.expect(12).expect("it is refused");
        assert!(refused.stderr.contains(why), "{refused}");
    }
    let not_theirs = as_whom(slipway, &alice, &["rollback", "shop", "--env", "production"]).await;
    assert!(not_theirs.code == 2 && not_theirs.stderr.contains("may not rollback"), "{not_theirs}");
    let other = as_whom(slipway, &alice, &["approve", &id, "--shown", "0123456789"]).await.expect(2).expect("refused");
    assert!(other.stderr.contains("no longer what was shown"), "{other}");

    // A newer one asks: whoever approves now approves that.
    let newer = ["release", "--version", "1.2.0", "--path", "build", "--env", "production", "--detach", "--json"];
    let newer = as_whom(slipway, &bob, &newer).await.expect(0).expect("it waits").json().expect("a rollout");
    assert_eq!(stage.outcome(&id).await["outcome"], "superseded");
    assert_eq!(as_whom(slipway, &alice, &["approve", &id]).await.code, 12, "it waits no more");
    let id = newer["rollout"].as_str().expect("an id");
    let approve = Page::open(PAGE).run(slipway, "slipway approve ro-N", Some(id)).await;
    assert_eq!(approve.code, 12, "the first token is not among them: {approve}");
    as_whom(slipway, &alice, &["approve", id]).await.expect(0).expect("alice may");
    assert_eq!(stage.outcome(id).await["outcome"], "succeeded");
    assert_eq!(stage.stable().await, "1.2.0");

    let journal = slipway.get("/journal?limit=1000&kind=rollout.approved").await.expect("a journal");
    let entry = &journal.as_array().expect("entries")[0];
    assert_eq!((&entry["actor"], &entry["rollout"]), (&"user:alice".into(), &Value::from(id)), "{entry:#}");
    assert!(entry["evidence"]["artifact"].as_str().is_some_and(|a| a.starts_with("sha256:")), "{entry:#}");
    page.run(slipway, "slipway token revoke alice", None).await.expect(0).expect("revoked");
    assert_eq!(as_whom(slipway, &alice, &["status"]).await.code, 2, "her token is worth nothing now");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_blocks_says_what_to_do_and_is_passed_with_a_reason_by_those_who_may() {
    let _alone = alone().await;
    let stage = Stage::set(OPEN).await;
    let slipway = &stage.slipway;
    let page = Page::open(PAGE);
    // Frozen from today on, wherever the clock stands.
    let frozen = "{ instances: 1, strategy: { blue-green: { verify: 1s } }, gates: { \
                  freeze: [{ window: \"2020-01-01 00:00 to 2999-12-31 00:00 Europe/Berlin\", reason: the books are closed }], \
                  after: [\"payments >= 2.1 in production\"] } }";
    slipway.declare(&format!("production: {frozen}")).expect("a declared file");
    build(slipway.scratch(), "build", &[]).expect("a build");
    let plan = ["plan", "--version", "1.2.0", "--path", "build", "--env", "production"];
    let plan = slipway.cli(&plan).await.expect("it runs").expect(0).expect("a plan");
    assert!(plan.stdout.contains("gates") && plan.stdout.contains("the books are closed"), "{plan}");
    let release = ["release", "--version", "1.2.0", "--path", "build", "--env", "production"];
    let blocked = slipway.cli(&release).await.expect("it runs").expect(12).expect("it is blocked");
    for what in ["frozen until", "the books are closed", "nothing of it serves", "release payments to production first"]
    {
        assert!(blocked.stdout.contains(what), "{what}: {blocked}");
    }
    let bob = token(slipway, "bob", "release").await;
    let command = "slipway release --version 1.2.0 --path ./build --env production --override \"the site is down\"";
    let may_not = as_whom(slipway, &bob, &[&release[..], &["--override", "the site is down"]].concat()).await;
    assert!(may_not.code == 2 && may_not.stderr.contains("may not override"), "{may_not}");
    page.run(slipway, command, None).await.expect(0).expect("it goes through");
    assert_eq!(stage.stable().await, "1.2.0");
    let overridden = slipway.get("/journal?limit=10&kind=gates.overridden").await.expect("a journal");
    assert!(overridden[0]["cause"].as_str().is_some_and(|c| c.starts_with("the site is down")), "{overridden:#}");
    // The way back meets no gate.
    stage.say("rollback", &[]).await.expect(0).expect("nothing stands in the way back");

    // Payments that is to be released after the shop closes the circle.
    let payments = std::fs::read_to_string(slipway.scratch().join("slipway.yaml")).expect("a file");
    let payments = payments
        .replace("service: shop", "service: payments")
        .replace("shop.local", "payments.local")
        .replace("payments >= 2.1", "shop");
    std::fs::write(slipway.scratch().join("payments.yaml"), payments).expect("a file");
    let roll = ["release", "--version", "1.3.0", "--path", "build", "--env", "production", "--override", "again"];
    slipway.cli(&roll).await.expect("it runs").expect(0).expect("the shop asks for payments again");
    let circle = ["release", "-f", "payments.yaml", "--version", "2.1.0", "--path", "build", "--env", "production"];
    let circle = slipway.cli(&circle).await.expect("it runs").expect(12).expect("it is refused");
    assert!(circle.stderr.contains("circle"), "{circle}");
    until("nothing is open", async || stage.lane().await["rollout"].is_null().then_some(())).await.expect("calm");
    nothing_failed_by_slipway(&stage.strike().await);
}
