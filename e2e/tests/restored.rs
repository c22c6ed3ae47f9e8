//! An older database that is put back while instances and gateway go on: users meet what it knows, nobody is failed, and
//! what is released next is what users get.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{Options, Page, Postgres, Slipway, client, until};

/// What was stable is stopped soon, so that the older database knows instances that are gone.
const SOON_GONE: &str = "{ instances: 2, strategy: { blue-green: { verify: 3s, standby: 1s } } }";
/// What was stable stands by, so that it knows instances that are there.
const STANDS_BY: &str = "{ instances: 2, strategy: { blue-green: { verify: 3s } } }";
const PAGE: &str = "docs/how-to/back-up.md";
const ACCEPT: &str = "slipway journal accept --reason \"the backup of Monday was put back\"";

/// Runs what the page says in a folder.
fn by_hand(script: &str, folder: &Path) {
    let run = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("it runs");
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
}

/// The number of the newest entry.
async fn head(slipway: &Slipway) -> u64 {
    slipway.get("/journal?limit=1").await.expect("a journal")[0]["seq"].as_u64().expect("a number")
}

/// The first events for somebody who has seen an entry.
async fn events_after(slipway: &Slipway, entry: u64) -> String {
    let asked =
        client().get(format!("http://{}/api/v1/events", slipway.api)).bearer_auth(slipway.token().expect("one").trim());
    let mut events = asked.header("last-event-id", entry).send().await.expect("events");
    let first = tokio::time::timeout(Duration::from_secs(60), events.chunk()).await.expect("something is told");
    String::from_utf8_lossy(&first.expect("events").expect("events")).into_owned()
}

/// What follows on a database that knows 1.1.0 and not 1.2.0, which serves.
async fn goes_on(mut stage: Stage, lost: u64) {
    let page = Page::open(PAGE);
    stage.slipway.restart().await.expect("it starts");
    assert_eq!(stage.stable().await, "1.1.0");
    let told = events_after(&stage.slipway, lost).await;
    assert!(told.contains("event: journal.put_back"), "{told}");
    // Whoever met 1.2.0 goes back, and nothing of it is left.
    until("what it does not know is stopped", async || {
        let entries = stage.slipway.get("/journal?kind=instance.left_over").await.ok()?;
        let lane = stage.slipway.lane("shop", "production").await.ok()??;
        let own = ["stable", "standby"].map(|role| lane[role]["ready"].as_u64().unwrap_or(0)).iter().sum::<u64>();
        (entries.as_array()?.len() == 1 && stage.slipway.shops().len() as u64 == own).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {:#?}\n{}", stage.slipway.shops(), stage.slipway.said()));
    stage.gives("1.1.0", 200).await;
    let left = stage.given("1.2.0");
    stage.gives("1.1.0", 200).await;
    assert_eq!(stage.given("1.2.0"), left, "nobody meets it any more");

    let verified = page.run(&stage.slipway, "slipway journal verify", None).await;
    assert_eq!(verified.code, 1, "{verified}");
    assert!(verified.stdout.contains("anchor outside the database"), "{verified}");
    let told = stage.slipway.get("/journal?kind=journal.put_back").await.expect("a journal");
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told:#}");

    // Its instances have numbers that those of 1.2.0 may have had.
    let (end, _) = stage.release("1.3.0", &[], &[]).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    stage.gives("1.3.0", 200).await;

    let accepted = page.run(&stage.slipway, ACCEPT, None).await;
    assert_eq!(accepted.code, 0, "{accepted}");
    let again = page.run(&stage.slipway, ACCEPT, None).await;
    assert!(again.code != 0 && again.stderr.contains("whole"), "{again}");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file() {
    let _alone = alone().await;
    let page = Page::open(PAGE);
    let mut stage = Stage::set(SOON_GONE).await;
    let (end, _) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    let data = stage.slipway.data.clone();
    let [copy, put_back] = page.scripts() else { panic!("two scripts: {:?}", page.scripts()) };
    by_hand(copy, &data);
    let (end, _) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    // A start that the older database does not know of.
    stage.slipway.kill_control_plane().await.expect("it is killed");
    stage.slipway.restart().await.expect("it starts again");
    until("1.1.0 is gone", async || (stage.slipway.shops().len() == 2).then_some(())).await.expect("it is");
    let lost = head(&stage.slipway).await;
    stage.slipway.end_control_plane().await.expect("it ends");
    by_hand(put_back, &data);
    goes_on(stage, lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_a_server() {
    let _alone = alone().await;
    let page = Page::open(PAGE);
    let postgres = Postgres::start().expect("PostgreSQL starts");
    let database = Some(postgres.database("slipway").expect("an empty database"));
    let slipway = Slipway::start(Options { database, ..Options::default() }).await.expect("Slipway starts");
    let mut stage = Stage::set_on(slipway, STANDS_BY, 300.0).await;
    let (end, _) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    let scratch = stage.slipway.scratch().to_path_buf();
    let run = |program: &str| {
        let line = page.line(program).replace("postgres://slipway@db.local:5432/slipway", &postgres.url_of("slipway"));
        by_hand(&line, &scratch);
    };
    run("pg_dump");
    let (end, _) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    let lost = head(&stage.slipway).await;
    stage.slipway.end_control_plane().await.expect("it ends");
    run("pg_restore");
    goes_on(stage, lost).await;
}
