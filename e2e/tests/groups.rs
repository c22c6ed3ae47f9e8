//! Groups: several services with one plan, and one way back in reverse order.

mod common;

use std::fs;
use std::path::PathBuf;

use common::alone;
use serde_json::Value;
use slipway_e2e::{Options, Output, Page, Slipway, build, until, until_within};
use std::time::Duration;

const PAGE: &str = "docs/how-to/release-a-group.md";
const RELEASE: &str = "slipway release --group shop --version 2.0.0 --env production";

/// Two services that belong together.
struct Shop {
    slipway: Slipway,
}

impl Shop {
    async fn open() -> Shop {
        let shop = Shop { slipway: Slipway::start(Options::default()).await.expect("Slipway starts") };
        shop.group("group: shop\nservices:\n  checkout: { path: checkout/build, after: [catalog] }\n  catalog: { path: catalog/build }\n");
        shop.declare("catalog", "");
        shop.declare("checkout", "");
        shop.build("catalog", "1", &[]);
        shop.build("checkout", "1", &[]);
        shop
    }

    fn group(&self, text: &str) {
        fs::write(self.slipway.scratch().join("slipway.group.yaml"), text).expect("it is written");
    }

    fn declare(&self, service: &str, gates: &str) {
        let text = format!(
            "service: {service}\nrun: {{ command: [\"./shop\"] }}\nhealth: {{ http: /healthz, interval: 200ms }}\n\
             smoke: [{{ name: a user can log in, http: {{ method: POST, path: /login, json: {{ user: smoke }} }} }}]\ntraffic: {{ host: {service}.local }}\n\
             objectives: [{{ name: errors, bad: failed, at_most: 1% }}]\n\
             environments: {{ production: {{ strategy: {{ blue-green: {{ verify: 1s, standby: 10m }} }}{gates} }} }}\n"
        );
        fs::create_dir_all(self.slipway.scratch().join(service)).expect("a folder");
        fs::write(self.slipway.scratch().join(service).join("slipway.yaml"), text).expect("it is written");
    }

    fn build(&self, service: &str, number: &str, variables: &[(&str, &str)]) -> PathBuf {
        let all = [&[("NUMBER", number), ("SERVICE", service)], variables].concat();
        build(&self.slipway.scratch().join(service), "build", &all).expect("a build")
    }

    async fn cli(&self, arguments: &str) -> Output {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        self.slipway.cli(&words).await.expect("it runs")
    }

    async fn stable(&self, service: &str) -> String {
        let lane = self.slipway.lane(service, "production").await.expect("a status");
        lane.map_or_else(String::new, |lane| lane["stable"]["version"].as_str().unwrap_or_default().to_string())
    }

    async fn run(&self) -> Value {
        self.slipway.get("/groups/shop/environments/production").await.expect("a group release")
    }

    async fn outcome(&self) -> Value {
        until_within(Duration::from_secs(300), "the group has an outcome", async || {
            let run = self.run().await;
            run["outcome"].is_string().then_some(run)
        })
        .await
        .expect("an outcome")
    }

    /// Services in the order in which entries of this kind name them.
    async fn order(&self, kind: &str) -> Vec<String> {
        let entries = self.slipway.get(&format!("/journal?limit=1000&kind={kind}")).await.expect("a journal");
        let causes = entries.as_array().expect("entries").iter().rev();
        let name =
            |cause: &str| ["catalog", "checkout"].into_iter().find(|name| cause.contains(name)).map(str::to_string);
        causes.filter_map(|entry| name(entry["cause"].as_str()?)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_released_in_order_and_go_back_in_reverse_when_one_fails() {
    let _alone = alone().await;
    let page = Page::open(PAGE);
    let shop = Shop::open().await;
    shop.cli("release --group shop --version 1.0.0 --env production").await.expect(0).expect("both serve");
    assert_eq!(shop.order("group.releasing").await, ["catalog", "checkout"], "whatever the order of the file");

    // The second one fails its smoke test: the first goes back too.
    shop.build("catalog", "2", &[]);
    shop.build("checkout", "2", &[("SMOKE_FAIL", "1")]);
    let planned = page.run(&shop.slipway, "slipway plan --group shop --version 2.0.0 --env production", None).await;
    let (first, second) = (planned.stdout.find("1.  catalog"), planned.stdout.find("2.  checkout"));
    assert!(first.is_some() && first < second, "{planned}");
    let failed = page.run(&shop.slipway, RELEASE, None).await;
    assert_eq!(failed.code, 10, "{failed}");
    assert!(failed.stdout.contains("checkout rolled back") && failed.stdout.contains("returned"), "{failed}");
    assert_eq!((shop.stable("catalog").await, shop.stable("checkout").await), ("1.0.0".into(), "1.0.0".into()));

    // Mended, it goes through; taken back afterwards, it goes back in reverse.
    shop.group("group: shop\nservices:\n  catalog: { path: catalog/build, version: 2.0.0 }\n  checkout: { path: checkout/build, after: [catalog] }\n");
    shop.build("checkout", "3", &[]);
    shop.cli("release --group shop --version 2.0.1 --env production").await.expect(0).expect("both serve");
    let shown = page.run(&shop.slipway, "slipway group shop --env production", None).await;
    assert!(shown.stdout.contains("1.0.0 to 2.0.1") && shown.stdout.contains("succeeded"), "{shown}");
    let back = page.run(&shop.slipway, "slipway rollback --group shop --env production", None).await;
    assert_eq!(back.code, 0, "{back}");
    assert_eq!((shop.stable("catalog").await, shop.stable("checkout").await), ("1.0.0".into(), "1.0.0".into()));
    assert_eq!(shop.order("group.taking_back").await, ["catalog", "checkout", "catalog"], "the last first");
    let again = shop.cli("rollback --group shop --env production").await;
    assert_eq!(again.code, 12, "there is no rollback of a rollback: {again}");
    shop.slipway.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_begin_begins_nothing() {
    let _alone = alone().await;
    let shop = Shop::open().await;
    shop.group("group: shop\nservices:\n  catalog: { path: catalog/build, after: [checkout] }\n  checkout: { path: checkout/build, after: [catalog] }\n");
    let circle = shop.cli("release --group shop --version 1.0.0 --env production").await;
    assert_eq!(circle.code, 2, "{circle}");
    assert!(
        circle.stderr.contains("slipway.group.yaml:3:12: services.catalog: services go round in a circle"),
        "{circle}"
    );

    // The second one's gate blocks: the first is not touched either. What the first will serve by then counts.
    shop.group("group: shop\nservices:\n  catalog: { path: catalog/build }\n  checkout: { path: checkout/build, after: [catalog] }\n");
    shop.declare("checkout", ", gates: { after: [catalog >= 1.0 in production, ledger] }");
    let blocked = shop.cli("release --group shop --version 1.0.0 --env production").await;
    assert_eq!(blocked.code, 12, "{blocked}");
    assert!(blocked.stderr.contains("checkout: after ledger"), "{blocked}");
    assert!(!blocked.stderr.contains("after catalog"), "{blocked}");
    assert_eq!(shop.stable("catalog").await, "", "nothing was released");
    shop.declare("checkout", ", gates: { after: [catalog >= 1.0 in production] }");
    shop.cli("release --group shop --version 1.0.0 --env production").await.expect(0).expect("both serve");

    // While one of its services is being released, it does not begin.
    shop.build("catalog", "2", &[("START_DELAY_MS", "600000")]);
    let begun = shop
        .cli("release -f catalog/slipway.yaml --version 1.1.0 --path catalog/build --env production --detach")
        .await;
    assert_eq!(begun.code, 0, "{begun}");
    let refused = shop.cli("release --group shop --version 2.0.0 --env production").await;
    assert_eq!(refused.code, 12, "{refused}");
    assert!(refused.stderr.contains("ask again when it is over"), "{refused}");
    let other = shop.cli("release --group fruit --version 2.0.0 --env production").await;
    assert_eq!(other.code, 2, "{other}");
    assert!(other.stderr.contains("declares the group shop, not fruit"), "{other}");
    shop.slipway.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_control_plane_goes_on_with_the_group() {
    let _alone = alone().await;
    let mut shop = Shop::open().await;
    shop.cli("release --group shop --version 1.0.0 --env production").await.expect(0).expect("both serve");
    // Long enough for the first one to be killed in the middle of.
    shop.build("catalog", "2", &[("START_DELAY_MS", "3000")]);
    shop.build("checkout", "2", &[("SMOKE_FAIL", "1")]);
    shop.cli("release --group shop --version 2.0.0 --env production --detach")
        .await
        .expect(0)
        .expect("it is asked for");
    until("the first is being released", async || {
        (shop.run().await["services"][0]["progress"] != "pending").then_some(())
    })
    .await
    .expect("it begins");
    shop.slipway.kill_control_plane().await.expect("it is killed");
    shop.slipway.restart().await.expect("it starts again");
    until("the second has its turn", async || {
        let run = shop.run().await;
        (run["services"][1]["progress"] != "pending").then_some(())
    })
    .await
    .expect("it begins");
    shop.slipway.kill_control_plane().await.expect("it is killed");
    shop.slipway.restart().await.expect("it starts again");
    let run = shop.outcome().await;
    assert_eq!(run["outcome"], "rolled_back", "{run:#}");
    assert_eq!((shop.stable("catalog").await, shop.stable("checkout").await), ("1.0.0".into(), "1.0.0".into()));
    assert_eq!(shop.order("group.taking_back").await, ["catalog"], "once");
    shop.slipway.down().await.expect("it ends");
}
