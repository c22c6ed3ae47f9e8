//! Everything kept on a server: rollouts end as they do with a file, a server that stops keeps nobody from going back, a
//! file is moved there whole, and of several control planes one drives at a time.

mod common;

use std::time::{Duration, Instant};

use common::{Stage, alone, instances, nothing_failed_by_slipway, weight};
use serde_json::Value;
use slipway_e2e::process::{Signal, signal};
use slipway_e2e::{At, Browser, Options, Page, Postgres, Sight, Slipway, nothing_twice, until, until_within};

const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [20%, 60%, 100%], verify: 3s } } }";
const SLOW: &str =
    "{ instances: 2, strategy: { canary: { steps: [20%, 100%], min_requests: 100000, step_limit: 5m, verify: 1s } } }";
const BROKEN: &[(&str, &str)] = &[("FAIL_RATE", "0.5")];
/// Within this the other must have taken over.
const TAKEOVER: Duration = Duration::from_secs(5);
/// How many times slower a machine may be that runs other tests beside this one.
const SLOWNESS: u32 = 3;
/// What is left of the lease, in milliseconds.
const LEASE_LEFT: &str =
    "SELECT expires_at - EXTRACT(EPOCH FROM clock_timestamp()) * 1000 FROM leases WHERE name = 'control'";
const PAGE: &str = "docs/how-to/postgresql.md";

fn server() -> (Postgres, String) {
    let postgres = Postgres::start().expect("PostgreSQL starts");
    let url = postgres.database("slipway").expect("an empty database");
    (postgres, url)
}

/// A control plane on a database; on a folder that another has already, if there is one.
async fn up(url: &str, beside: Option<&Slipway>) -> Slipway {
    let (data, traffic) = (beside.map(|other| other.data.clone()), beside.map(|other| other.traffic));
    let traffic = traffic.unwrap_or(Options::default().traffic);
    let options = Options { data, traffic, database: Some(url.to_string()), ..Options::default() };
    Slipway::start(options).await.expect("Slipway starts")
}

/// Nothing that the journal tells of was done twice or by two, and no instance runs that should not: `instances` in all, when
/// everything has settled.
async fn nothing_was_done_twice(slipway: &Slipway, instances: usize) {
    // Whoever was started and not stopped runs; that one has ended is recorded a moment after it has.
    let entries = until("everything has settled", async || {
        let lane = slipway.lane("shop", "production").await.ok()??;
        let ready = |role: &str| lane[role]["ready"].as_u64().unwrap_or(0) as usize;
        let all = ready("stable") + ready("standby") == instances && slipway.shims().len() == instances;
        let entries = slipway.get("/journal?limit=10000").await.ok()?.as_array()?.clone();
        let of = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
        let told = of("instance.starting") == of("instance.stopped") + instances;
        (all && told && lane["rollout"].is_null()).then_some(entries)
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {:#?}", slipway.shims()));
    assert_eq!(slipway.shops().len(), instances, "{:#?}", slipway.shops());
    nothing_twice(&entries).expect("each once");
}

/// Waits until `slipway status` says this.
async fn status_says(stage: &Stage, what: &str, so: impl Fn(&str) -> bool) {
    let mut said = String::new();
    until(what, async || {
        said = stage.slipway.cli(&["status"]).await.ok()?.stdout;
        so(&said).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {said}"));
}

/// Waits until a version gets no traffic any more.
async fn nobody_meets(stage: &Stage, version: &str) -> anyhow::Result<()> {
    until("nobody meets the candidate any more", async || {
        let met = stage.given(version);
        stage.gives("1.1.0", 300).await;
        (stage.given(version) == met).then_some(())
    })
    .await
}

/// Waits until a rollout that went back has ended so, and the journal tells of the way back.
async fn is_recorded(stage: &Stage, id: &str) {
    let end = stage.outcome(id).await;
    assert_eq!(end["outcome"], "rolled_back", "{end:#}");
    until("what was done is recorded", async || {
        let path = format!("/journal?limit=1000&rollout={id}&kind=traffic.returned");
        stage.slipway.get(&path).await.ok()?.as_array().is_some_and(|entries| !entries.is_empty()).then_some(())
    })
    .await
    .expect("the way back among it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_end_as_they_do_with_a_file_and_a_stopped_server_keeps_nobody_from_going_back() {
    let _alone = alone().await;
    let (mut postgres, url) = server();
    let mut stage = Stage::set_on(up(&url, None).await, CANARY, 300.0).await;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.slipway.kill_control_plane().await.expect("it is killed");
    stage.slipway.restart().await.expect("it starts again");
    let said = stage.slipway.said();
    assert!(!said.contains("\"standby\":true"), "it takes the lease of its killed predecessor for another's: {said}");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let id = stage.begin("2.0.0", BROKEN, &[]).await;
    assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    assert_eq!(stage.stable().await, "1.1.0");

    // Now without the server: traffic first, recorded later.
    stage.slipway.declare(&format!("production: {SLOW}")).expect("a file");
    let id = stage.begin("1.2.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.gives("1.2.0", 50).await;
    postgres.stop().expect("the server ends");
    let aborted = stage.say("abort", &[]).await;
    nobody_meets(&stage, "1.2.0").await.unwrap_or_else(|error| panic!("{error}: {aborted}"));
    assert_eq!(weight(&stage.lane().await, "1.2.0"), 0, "and it says how things are");
    status_says(&stage, "it says what is missing", |status| {
        status.contains("⚠ not recorded since ") && status.contains("⚠ the store cannot be used: ")
    })
    .await;
    postgres.start_again().expect("the server is back");
    is_recorded(&stage, &id).await;
    status_says(&stage, "it says that nothing is missing any more", |status| {
        status.contains("shop") && !status.contains("recorded since") && !status.contains("store")
    })
    .await;

    // The same in a browser, by somebody who signed in while it was there.
    let id = stage.begin("1.3.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    stage.gives("1.3.0", 50).await;
    let browser = Browser::start().await.expect("a browser");
    let sight = Sight::wide(format!("http://{}", stage.slipway.api));
    let tab = browser.tab(&sight).await.expect("a page");
    let signed_in = async {
        tab.goto(&format!("/rollouts/{id}")).await?;
        tab.fill(At::label("Token"), stage.slipway.token()?.trim()).await?;
        tab.press("Enter").await?;
        tab.until(At::css("h1"), "on its way").await
    };
    signed_in.await.expect("the rollout's page");
    postgres.stop().expect("the server ends");
    // A page that is opened only now leads there too.
    let pressed = async {
        tab.goto(&format!("/rollouts/{id}")).await?;
        tab.click(At::css("summary:has-text('Take it back…')")).await?;
        tab.click(At::css("details[open] button")).await?;
        tab.until(At::css("h1"), "going back|rolled back").await
    };
    pressed.await.expect("it can be pressed");
    let seen = async {
        tab.goto("/").await?;
        tab.until(At::css("main"), "not recorded").await?;
        tab.goto(&format!("/rollouts/{id}")).await
    };
    seen.await.expect("the overview says that it is not recorded");
    nobody_meets(&stage, "1.3.0").await.expect("everybody is back");
    postgres.start_again().expect("the server is back");
    is_recorded(&stage, &id).await;
    tab.until(At::css("h1"), "rolled back").await.expect("the page follows again by itself");
    browser.end().await.expect("it ends");

    // What the database is opened with stands nowhere that others read.
    let api = std::fs::read_to_string(stage.slipway.data.join("api.json")).expect("api.json");
    assert!(!api.contains("postgres"), "{api}");
    let own = stage.slipway.control_plane();
    for process in stage.slipway.processes().into_iter().filter(|process| Some(process.pid) != own) {
        let variables = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&variables).contains("SLIPWAY_DATABASE="), "{process:?}");
    }
    let told = url.replace("slipway@", "slipway:s3cret@");
    let data = stage.slipway.data.display().to_string();
    let refused = stage.slipway.cli(&["up", "--data", &data, "--database", &told]).await.expect("it runs");
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("password") && !refused.stderr.contains("s3cret"), "{refused}");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_control_planes_one_drives_and_the_other_takes_over() {
    let _alone = alone().await;
    let (postgres, url) = server();
    let mut stage = Stage::set_on(up(&url, None).await, CANARY, 300.0).await;
    let second = up(&url, Some(&stage.slipway)).await;
    assert_eq!(second.traffic, stage.slipway.traffic);
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    let asked = second.get(&format!("/rollouts/{id}")).await.expect("any of them answers");
    assert_eq!(asked["outcome"], Value::Null, "{asked:#}");

    // Killed in the middle: the other finishes it.
    stage.slipway.kill_control_plane().await.expect("it is killed");
    let killed = Instant::now();
    // What the five seconds consist of is bounded where it is declared (`TAKEOVER` of the program); the lease by the
    // database's own clock.
    let rest = postgres.query_in("slipway", LEASE_LEFT).expect("a lease");
    assert!(rest[0].parse::<f64>().expect("a number") <= 2_500.0, "it holds longer than it may: {rest:?}");
    until_within(TAKEOVER * SLOWNESS, "the other drives", async || second.get(&format!("/rollouts/{id}")).await.ok())
        .await
        .expect("it takes over");
    eprintln!("taken over and answering {} ms after SIGKILL", killed.elapsed().as_millis());
    let end = until("it is finished", async || {
        let now = second.get(&format!("/rollouts/{id}")).await.ok()?;
        now["outcome"].is_string().then_some(now)
    })
    .await
    .expect("an end");
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    nothing_was_done_twice(&second, 4).await;

    // The first comes back, and stands by: commands reach the one that drives.
    stage.slipway.restart().await.expect("it stands by");
    let id = stage.begin("1.2.0", &[], &[]).await;
    stage.at_step(&id, "20%").await;
    // Stopped, not killed: it is followed, and when it wakes up it does nothing more.
    let sleeper = second.control_plane().expect("a process");
    signal(sleeper, Signal::STOP).expect("it stands still");
    let end = stage.outcome(&id).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    let before = stage.lane().await;
    let starts = || postgres.query_in("slipway", "SELECT value FROM counters WHERE name = 'starts'").expect("a number");
    let driven = starts();
    signal(sleeper, Signal::CONT).expect("it wakes up");
    until("the one that woke up passes requests on", async || second.get(&format!("/rollouts/{id}")).await.ok())
        .await
        .expect("it stands by");
    stage.gives("1.2.0", 300).await;
    let after = stage.lane().await;
    assert_eq!(weight(&after, "1.2.0"), 10_000, "{after:#}");
    assert_eq!(instances(&after, "stable"), instances(&before, "stable"), "nothing was started or stopped");
    nothing_was_done_twice(&stage.slipway, 4).await;
    assert_eq!(starts(), driven, "the one that woke up has not driven again");

    // Stopped, and interrupted before it wakes up: what the other drives by then is not its own to end.
    let sleeper = stage.slipway.control_plane().expect("a process");
    signal(sleeper, Signal::STOP).expect("it stands still");
    until("the other drives", async || second.get(&format!("/rollouts/{id}")).await.ok()).await.expect("it takes over");
    signal(sleeper, Signal::INT).expect("it is interrupted");
    signal(sleeper, Signal::CONT).expect("it wakes up");
    until("it ends", async || (!slipway_e2e::process::runs(sleeper)).then_some(())).await.expect("its end");
    stage.slipway.restart().await.expect("it stands by");
    stage.gives("1.2.0", 300).await;
    assert_eq!(instances(&stage.lane().await, "stable"), instances(&before, "stable"), "it has ended alone");

    // Taken down, both end.
    let both = [&stage.slipway, &second].map(|one| one.control_plane().expect("a process"));
    let verified = stage.slipway.cli(&["journal", "verify"]).await.expect("it runs");
    assert_eq!(verified.code, 0, "{verified}");
    let report = stage.load.stop().await;
    assert!(report.requests > 0 && report.failures.total() == 0, "{:?}", report.first_failures);
    stage.slipway.cli(&["down"]).await.expect("it runs").expect(0).expect("everything ends");
    let ended = || !both.into_iter().any(slipway_e2e::process::runs);
    until("the other ends too", async || ended().then_some(())).await.expect("its end");
    let left = stage.slipway.processes();
    assert!(left.is_empty(), "nothing is left behind: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_down_stays_down_for_one_that_stood_still_meanwhile() {
    let _alone = alone().await;
    let (postgres, url) = server();
    let stage = Stage::set_on(up(&url, None).await, CANARY, 20.0).await;
    let second = up(&url, Some(&stage.slipway)).await;
    let sleeper = stage.slipway.control_plane().expect("a process");
    signal(sleeper, Signal::STOP).expect("it stands still");
    let leads = || postgres.query_in("slipway", "SELECT start FROM leases").is_ok_and(|start| start == ["2"]);
    until("the other leads", async || leads().then_some(())).await.expect("it takes over");
    until("the other drives", async || second.get("/services").await.ok()).await.expect("it answers");
    second.cli(&["down"]).await.expect("it runs").expect(0).expect("everything ends");
    signal(sleeper, Signal::CONT).expect("it wakes up");
    // Had it driven once more, its own process would go on.
    until("it ends", async || (!slipway_e2e::process::runs(sleeper)).then_some(()))
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", stage.slipway.said()));
    let left = stage.slipway.processes();
    assert!(left.is_empty(), "nothing comes back: {left:#?}");
    // Without a database it is not the same store: a second one would know nothing of what was released.
    let data = stage.slipway.data.display().to_string();
    let refused = stage.slipway.cli(&["up", "--data", &data]).await.expect("it runs");
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("--database"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_take_over_stands_by_and_tries_again() {
    let _alone = alone().await;
    let (_postgres, url) = server();
    let mut first = up(&url, None).await;
    let second = up(&url, Some(&first)).await;
    let gateway = first.gateway().expect("a gateway");
    // It stands still until everything is as it is to find it.
    let sleeper = second.control_plane().expect("a process");
    signal(sleeper, Signal::STOP).expect("it stands still");
    first.kill_control_plane().await.expect("it is killed");
    signal(gateway, Signal::KILL).expect("its gateway too");
    // Somebody else has the gateway's port for a while.
    let bind = async || std::net::TcpListener::bind(second.traffic).ok();
    let taken = until("the port is free", bind).await.expect("a listener");
    signal(sleeper, Signal::CONT).expect("it wakes up");
    until("it could not", async || second.said().contains("could not take over").then_some(()))
        .await
        .expect("it says so");
    drop(taken);
    until("it drives", async || second.gateway().map(drop))
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", second.said()));
    until("it answers", async || second.get("/services").await.ok()).await.expect("services");
    second.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_moved_to_a_server_under_traffic() {
    let _alone = alone().await;
    let page = Page::open(PAGE);
    let (postgres, url) = server();
    let mut stage = Stage::set(CANARY).await;
    let (id, _) = stage.release("1.1.0", &[], &[]).await;
    let id = id["id"].as_str().or(id["rollout"].as_str()).expect("an id").to_string();
    let before = instances(&stage.lane().await, "stable");
    stage.slipway.end_control_plane().await.expect("it ends");
    let asked = page.commands().find(|command| command.starts_with("slipway store move --to ")).expect("a command");
    assert_eq!(asked, "slipway store move --to postgres://slipway@db.local:5432/slipway");
    let data = stage.slipway.data.display().to_string();
    let moved = stage.slipway.json(&["store", "move", "--to", &url, "--data", &data]).await.expect("it is moved");
    assert_eq!((&moved["before"], &moved["to"]), (&Value::Bool(false), &Value::String(url.clone())));
    assert!(stage.slipway.restart().await.is_err(), "the folder drives no more by itself");
    assert!(stage.slipway.said().contains("--database"), "{}", stage.slipway.said());
    assert_eq!(
        page.commands().find(|command| command.starts_with("slipway up")),
        Some("slipway up --database postgres://slipway@db.local:5432/slipway")
    );
    stage.slipway.database = Some(url);
    stage.slipway.restart().await.expect("it drives from the server");
    assert_eq!(instances(&stage.lane().await, "stable"), before, "instances went on");
    assert_eq!(stage.rollout(&id).await["outcome"], "succeeded");
    let verified = page.run(&stage.slipway, "slipway journal verify", None).await;
    assert_eq!(verified.code, 0, "{verified}");
    let rows = postgres.query_in("slipway", "SELECT count(*) > 0 FROM journal").expect("a number");
    assert_eq!(rows, ["t"]);
    let (end, _) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!(end["outcome"], "succeeded", "{end:#}");
    nothing_failed_by_slipway(&stage.strike().await);
}
