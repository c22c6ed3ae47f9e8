//! Outcomes: versions with perfect status codes that lose orders, seen by what is reported and by nothing else.

mod common;

use std::fs;
use std::time::Duration;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::{Value, json};
use slipway_e2e::{Options, Page, Slipway, build, until};
use slipway_load::{Load, Method};

const CANARY: &str = "{ instances: 1, strategy: { canary: { steps: [50%, 100%], step_limit: 10m, verify: 3s } } }";
const PAGE: &str = "docs/how-to/outcomes.md";
const LOST: &str = "  - { name: orders, bad: outcome order_failed, of: order_placed, at_most: 2% }\n";
const MISSING: &str =
    "  - { name: checkouts, bad: missing checkout_completed within 2s, after: checkout_started, at_most: 2% }\n";

const COMPLAINTS: &str = "  - { name: complaints, bad: complaint, at_most: 2% }\n";

/// How often the help desk tells what it has heard.
const SHIFT: Duration = Duration::from_millis(100);

/// A shop that reports, under customers who order.
struct Shop {
    stage: Stage,
    url: String,
    token: String,
}

impl Shop {
    async fn open(objective: &str, more: &[(&str, &str)]) -> Shop {
        let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
        slipway.declare(&format!("production: {CANARY}")).expect("a declared file");
        let file = slipway.scratch().join("slipway.yaml");
        let text = fs::read_to_string(&file).expect("it is there");
        fs::write(&file, text.replace("environments:", &format!("{objective}environments:"))).expect("it is written");
        let page = Page::open(PAGE);
        let made = page.run(&slipway, "slipway token create shop-reports --may report", None).await;
        let token = made.expect(0).expect("a token").stdout.trim().to_string();
        let url = format!("http://{}/api/v1/outcomes", slipway.api);
        let variables = variables(&url, &token, more);
        let first = build(slipway.scratch(), "build-1.0.0", &variables).expect("a build");
        slipway.release("1.0.0", &first, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");
        let options = slipway_load::Options {
            host: Some("shop.local".into()),
            users: 2_000,
            paths: vec!["/checkout".into()],
            method: Method::POST,
            ..slipway_load::Options::new(slipway.traffic_url())
        };
        let load = Load::start(options).expect("the load starts");
        until("answers come", async || (load.snapshot().requests > 50).then_some(())).await.expect("answers");
        Shop { stage: Stage { slipway, load }, url, token }
    }

    async fn release(&self, version: &str, more: &[(&str, &str)]) -> (Value, i32) {
        self.stage.release(version, &variables(&self.url, &self.token, more), &[]).await
    }

    /// The help desk, which is there as long as this runs, and hears a complaint about every fifth answer of `version`.
    async fn help_desk(&self, version: &str) {
        let of =
            |kind: &str, id: String| json!({ "service": "shop", "environment": "production", "kind": kind, "id": id });
        let mut told = 0;
        for shift in 0_u64.. {
            let met = (self.stage.given(version) / 5).min(told + 900);
            let mut heard = vec![of("alive", format!("alive-{version}-{shift}"))];
            heard.extend((told..met).map(|n| {
                let mut complaint = of("complaint", format!("complaint-{version}-{n}"));
                complaint["version"] = version.into();
                complaint
            }));
            assert_eq!(self.post(&self.token, &json!(heard)).await.status(), 200);
            told = met;
            tokio::time::sleep(SHIFT).await;
        }
    }

    async fn post(&self, token: &str, outcomes: &Value) -> reqwest::Response {
        let body = json!({ "outcomes": outcomes });
        reqwest::Client::new().post(&self.url).bearer_auth(token).json(&body).send().await.expect("an answer")
    }
}

fn variables<'a>(url: &'a str, token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("OUTCOMES_URL", url), ("OUTCOMES_TOKEN", token)], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_loses_orders_with_perfect_status_codes_is_taken_back() {
    let _alone = alone().await;
    let shop = Shop::open(LOST, &[]).await;
    let (bad, code) = shop.release("1.1.0", &[("LOSE_ORDERS", "0.3")]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let id = bad["rollout"].as_str().expect("an id");
    let told = Page::open(PAGE).run(&shop.stage.slipway, "slipway explain ro-N", Some(id)).await;
    assert!(told.stdout.contains("order_failed of") && told.stdout.contains("order_placed"), "{told}");
    let (good, code) = shop.release("1.2.0", &[]).await;
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");

    the_page_reports(&shop, &good).await;

    // What is wrong with one report is told, and the others count.
    let one = |version: &str, id: &str| json!({ "service": "shop", "environment": "production", "kind": "order_placed", "version": version, "id": id });
    let mut odd = one("1.2.0", "c");
    odd["kind"] = "Order Placed".into();
    let batch = json!([one("1.2.0", "a"), one("7.7.7", "b"), odd, one("1.2.0", "a")]);
    let told: Value = shop.post(&shop.token, &batch).await.json().await.expect("JSON");
    assert_eq!((&told["taken"], &told["again"]), (&1.into(), &1.into()), "{told:#}");
    assert_eq!(
        (&told["refused"][0]["code"], &told["refused"][1]["code"]),
        (&"unknown_version".into(), &"malformed".into())
    );

    // Through the gateway's address, which knows whose host it is and who the user is.
    let client = reqwest::Client::new();
    let path = format!("{}.slipway/outcomes", shop.stage.slipway.traffic_url());
    let bare = json!({ "outcomes": [{ "kind": "order_placed", "id": "through-the-gateway" }] });
    let ask = || client.post(&path).header("host", "shop.local").header("cookie", "session=ann").json(&bare);
    // Not while the traffic moves: the last shift, of those who were held back, follows success.
    let mut told = Value::Null;
    until("it is taken", async || {
        told = ask().bearer_auth(&shop.token).send().await.expect("an answer").json().await.expect("JSON");
        (told["taken"] == 1).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {told:#}"));
    assert_eq!(ask().send().await.expect("an answer").status(), 401, "no more rights than at the API");

    // Only who may report does, and a flood is told to wait.
    let made = shop.stage.slipway.json(&["token", "create", "reader", "--may", "rollback"]).await.expect("a token");
    let reader = made["token"].as_str().expect("its text");
    assert_eq!(shop.post(reader, &batch).await.status(), 403);
    let flood: Vec<Value> = (0..1_000).map(|n| one("1.2.0", &format!("flood-{n}"))).collect();
    // Written once and sent by several: what a slow machine can take in is far more than what is allowed.
    let flood = json!({ "outcomes": flood }).to_string();
    let pour = async || {
        let send = || {
            let request = client.post(&shop.url).bearer_auth(&shop.token).header("content-type", "application/json");
            request.body(flood.clone()).send()
        };
        let answers = tokio::join!(send(), send(), send(), send());
        let mut answers = <[_; 4]>::from(answers).into_iter().map(|answer| answer.expect("an answer"));
        answers.find(|answer| answer.status() == 429)
    };
    let refused = until("a flood is refused", pour);
    let refused = refused.await.expect("a refusal");
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    assert_eq!(shop.stage.stable().await, "1.2.0");
    let report = shop.stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "every status code was perfect: {:?}", report.first_failures);
}

/// What the page has for a shell is taken, but for the address, as it stands: 1.2.0 serves by now.
async fn the_page_reports(shop: &Shop, good: &Value) {
    assert_eq!(good["version"], "1.2.0", "{good:#}");
    let page = Page::open(PAGE);
    let [script] = page.scripts() else { panic!("{PAGE} has another number of scripts") };
    let script = script.replace("http://127.0.0.1:7070", &format!("http://{}", shop.stage.slipway.api));
    let mut bash = tokio::process::Command::new("bash");
    let ran = bash.args(["-ec", &script]).env("TOKEN", &shop.token).output().await.expect("bash runs");
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!((ran.status.code(), &told["taken"]), (Some(0), &1.into()), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_about_which_people_complain_is_taken_back_and_one_about_which_nobody_does_stays() {
    let _alone = alone().await;
    let shop = Shop::open(COMPLAINTS, &[]).await;
    let (bad, code) = tokio::select! {
        released = shop.release("1.1.0", &[]) => released,
        () = shop.help_desk("1.1.0") => unreachable!("it goes on"),
    };
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let cause = bad["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("complaints: "), "{cause}");
    assert_eq!(shop.stage.stable().await, "1.0.0");

    // Heard, and nothing is said of it.
    let (good, code) = tokio::select! {
        released = shop.release("1.2.0", &[]) => released,
        () = shop.help_desk("nobody's") => unreachable!("it goes on"),
    };
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");
    let report = shop.stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "every status code was perfect: {:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_missing_and_users_are_known_by_their_keys() {
    let _alone = alone().await;
    let by_key = ("OUTCOMES_BY_KEY", "1");
    let shop = Shop::open(MISSING, &[by_key]).await;
    let (bad, code) = shop.release("1.1.0", &[by_key, ("LOSE_ORDERS", "0.3")]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let cause = bad["cause"].as_str().expect("a cause");
    assert!(cause.contains("checkout_started without checkout_completed within 2s"), "{cause}");
    let (good, code) = shop.release("1.2.0", &[by_key]).await;
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");
    let report = shop.stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}
