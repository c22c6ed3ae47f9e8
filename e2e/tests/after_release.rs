//! After success: a version that breaks later is an incident, goes back where that is declared, and is over by itself.

mod common;

use std::collections::BTreeSet;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{Hearer, Manner, Page, until};

const PAGE: &str = "docs/how-to/after-a-release.md";
const TELL: &str = "instances: 1, strategy: { blue-green: { verify: 1s, standby: 10m } }";
const ROLLBACK: &str =
    "instances: 1, watch: 1h, on_breach: rollback, strategy: { blue-green: { verify: 1s, standby: 10m } }";

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_after_success_goes_back_by_itself_or_is_told() {
    let _alone = alone().await;
    let pager = Hearer::start(Manner::Status(204, String::new())).await.expect("a receiver");
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "a key of nobody's").expect("it is written");
    let hook = format!(
        "hooks: [{{ name: pager, on: [\"incident.*\"], webhook: {{ url: \"{}\", secret_file: {} }} }}]",
        pager.url(),
        key.path().display()
    );
    // What it did not answer in time comes again under the same id.
    let told = || {
        let mut ids = BTreeSet::new();
        let received =
            pager.received().into_iter().filter(|request| ids.insert(request.header("webhook-id").to_string()));
        received.map(|request| request.json()).collect::<Vec<_>>()
    };
    let paged =
        async |n: usize| until("the pager was told", async || (told().len() >= n).then_some(())).await.expect("told");
    let stage = Stage::set(&format!("{{ {TELL}, {hook} }}")).await;
    let page = Page::open(PAGE);
    let outage = |name: &str| stage.slipway.scratch().join(name).to_string_lossy().into_owned();
    let (first, second) = (outage("first"), outage("second"));

    stage.slipway.declare(&format!("production: {{ {ROLLBACK}, {hook} }}")).expect("a declared file");
    assert_eq!(stage.release("1.1.0", &[("OUTAGE_FILE", &first)], &[]).await.1, 0);
    std::fs::write(&first, "").expect("it breaks");
    until("everybody is back", async || (stage.stable().await == "1.0.0").then_some(())).await.expect("a rollback");
    let opened = stage.slipway.get("/journal?limit=10&kind=incident.opened").await.expect("a journal");
    let cause = opened[0]["cause"].as_str().expect("a cause").to_string();
    assert!(cause.contains("errors: ") && cause.contains("likely: 1.1.0 of shop"), "{cause}");
    let history = stage.slipway.get("/services/shop/history?limit=1").await.expect("a history");
    assert_eq!((&history[0]["kind"], &history[0]["actor"]), (&"rollback".into(), &"slipway:watch".into()));
    // It waits for half a minute of quiet.
    until("the incident closes", async || stage.lane().await["incident"].is_null().then_some(()))
        .await
        .expect("it is over");

    paged(2).await;
    stage.slipway.declare(&format!("production: {{ {TELL}, {hook} }}")).expect("a declared file");
    assert_eq!(stage.release("1.2.0", &[("OUTAGE_FILE", &second)], &[]).await.1, 0);
    std::fs::write(&second, "").expect("it breaks");
    until("an incident opens", async || stage.lane().await["incident"].is_object().then_some(())).await.expect("one");
    let status = page.run(&stage.slipway, "slipway status shop", None).await.expect(0).expect("a status");
    assert!(status.stdout.contains("incident 2 since") && status.stdout.contains("likely: 1.2.0"), "{status}");
    let drill = stage.say("drill", &[]).await.expect(12).expect("no drill in an incident");
    assert!(drill.stderr.contains("incident 2"), "{drill}");
    paged(3).await;
    let told = told();
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["slipway.incident.opened", "slipway.incident.closed", "slipway.incident.opened"]);
    assert_eq!(told[0]["data"]["cause"], *cause, "{told:#?}");
    assert!(told[2]["data"]["cause"].as_str().is_some_and(|c| c.contains("likely: 1.2.0 of shop")), "{told:#?}");
    assert_eq!(stage.stable().await, "1.2.0", "going back is a person's business");
    let journal = page.run(&stage.slipway, "slipway journal --service shop", None).await.expect(0).expect("entries");
    assert!(journal.stdout.contains("incident 2"), "{journal}");
    page.run(&stage.slipway, "slipway rollback shop --env production", None).await.expect(0).expect("a way back");
    assert_eq!(stage.stable().await, "1.0.0");
    nothing_failed_by_slipway(&stage.strike().await);
}
