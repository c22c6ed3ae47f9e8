//! Faults that are injected on purpose: what clients see of them, whom they meet and whom not, what is counted, and that
//! they end, by themselves too.

#[path = "common/mod.rs"]
mod common;

use std::io::ErrorKind;

use common::*;
use http_body_util::BodyExt;
use slipway_core::traffic::{CohortRule, FaultCohort, FaultKind, InjectedFault};
use slipway_core::units::{Millis, Timestamp, Weight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HOUR: Millis = Millis::from_secs(3_600);

/// A fault that the day's clock would let go on for ever.
fn fault(what: FaultKind, version: &str, share_bp: u16) -> InjectedFault {
    InjectedFault {
        number: 1,
        what,
        version: version.parse().unwrap(),
        cohort: None,
        share: Weight::from_bp(share_bp).unwrap(),
        length: HOUR,
        until: Timestamp(u64::MAX),
        judged: false,
    }
}

fn staff() -> FaultCohort {
    FaultCohort { name: "staff".into(), rule: CohortRule::Header { name: "x-staff".into(), value: "1".into() } }
}

/// Both versions get half of the users; with these faults.
async fn serve(world: &World, generation: u64, instances: [&Instance; 2], faults: Vec<InjectedFault>) {
    let mut table = table(generation, 5_000, &[instances[0]], &[instances[1]]);
    table.epoch = 1;
    table.faults = faults;
    world.publish(table.build()).await;
}

/// A user's key that is assigned to the version, while both get half.
async fn user_of(world: &World, version: &str) -> String {
    for n in 0..200 {
        let cookie = format!("slipway=user-{n}");
        let answer = Client::to(world.address).await.get("/", &[("cookie", &cookie)]).await;
        if answer.header("x-version") == version {
            return cookie;
        }
    }
    panic!("nobody is assigned to {version}");
}

#[tokio::test]
async fn an_abort_is_answered_by_the_gateway_and_is_the_candidates_failure() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    serve(&world, 1, [&s, &c], vec![]).await;
    let (ours, theirs) = (user_of(&world, "c").await, user_of(&world, "s").await);
    let reached = c.seen();
    let before = world.counts("c", "what came before", |row| row.attempts == reached).await;
    serve(&world, 2, [&s, &c], vec![fault(FaultKind::Abort(503), "c", 10_000)]).await;
    let mut client = Client::to(world.address).await;
    for _ in 0..5 {
        let answer = client.get("/", &[("cookie", &ours)]).await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("proxy-status").contains("injected"), "{answer:?}");
        assert!(answer.body.contains("\"injected\""), "{answer:?}");
        assert_eq!(client.get("/", &[("cookie", &theirs)]).await.status, 200);
    }
    assert_eq!(c.seen(), reached, "an abort reaches nobody");
    let row = world.counts("c", "five aborts", |row| row.attempts == before.attempts + 5).await;
    assert_eq!((row.injected, row.failed - before.failed), (5, 5));
    assert_eq!(row.objectives[0].bad, 3, "under the cap for one user, like any failure");
    let row = world.counts("s", "stable's answers", |row| row.attempts >= 5).await;
    assert_eq!((row.injected, row.failed), (0, 0));
}

#[tokio::test]
async fn what_is_injected_into_stable_is_counted_and_is_no_evidence() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let mut all = table(1, 0, &[&s], &[&c]);
    all.faults = vec![fault(FaultKind::Abort(500), "s", 5_000)];
    world.publish(all.build()).await;
    let mut client = Client::to(world.address).await;
    let mut aborted = 0;
    for _ in 0..40 {
        aborted += u64::from(client.get("/", &[]).await.status == 500);
    }
    let row = world.counts("s", "all", |row| row.attempts == 40).await;
    assert!(aborted > 0 && row.injected == aborted && row.failed == aborted, "{aborted} {row:?}");
    assert_eq!((row.objectives[0].n, row.objectives[0].bad), (40 - aborted, 0));
}

#[tokio::test]
async fn never_more_than_the_share_and_in_the_long_run_no_fewer() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    for (generation, share_bp) in [(1, 500), (2, 3_000), (3, 9_000)] {
        let mut all = table(generation, 10_000, &[&s], &[&c]);
        let with = fault(FaultKind::Abort(503), "c", share_bp);
        all.faults = vec![InjectedFault { number: generation, ..with }];
        world.publish(all.build()).await;
        let (mut client, mut aborted) = (Client::to(world.address).await, 0);
        for n in 1..=400 {
            aborted += u32::from(client.get("/", &[]).await.status == 503);
            assert!(aborted * 10_000 <= n * u32::from(share_bp), "{aborted} of {n} at {share_bp}");
        }
        let asked = 400 * u32::from(share_bp) / 10_000;
        assert!(aborted * 10 >= asked * 5, "{aborted} of {asked} at {share_bp}");
    }
}

#[tokio::test]
async fn latency_holds_only_the_cohort_back_and_ends_with_the_fault() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let held = InjectedFault { cohort: Some(staff()), ..fault(FaultKind::Latency(HOUR), "s", 10_000) };
    let mut all = table(1, 0, &[&s], &[&c]);
    all.faults = vec![held];
    world.publish(all.build()).await;
    let address = world.address;
    let waiting = tokio::spawn(async move { Client::to(address).await.get("/", &[("x-staff", "1")]).await });
    for _ in 0..20 {
        assert_eq!(world.get("/").await.status, 200);
    }
    assert!(!waiting.is_finished() && s.seen() == 20, "staff's request has reached nobody");
    let mut all = table(2, 0, &[&s], &[&c]);
    all.epoch = 1;
    world.publish(all.build()).await;
    let answer = tokio::time::timeout(PATIENCE, waiting).await.expect("it goes on at once").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "s"));
}

#[tokio::test]
async fn a_first_releases_fault_is_evidence_and_that_of_what_serves_is_none() {
    let s = Instance::start("s").await;
    let world = World::start().await;
    // Whoever comes first stands in no other role than who serves already.
    for (epoch, judged, failed) in [(1, true, 1), (2, false, 0)] {
        let mut all = table(epoch, 0, &[&s], &[]);
        all.faults = vec![InjectedFault { number: epoch, judged, ..fault(FaultKind::Abort(503), "s", 10_000) }];
        world.publish(all.build()).await;
        assert_eq!(world.get("/").await.status, 503);
        let row = world.counts("s", "it is counted", |row| row.epoch.0 == epoch && row.attempts == 1).await;
        assert_eq!(row.injected, 1);
        assert_eq!((row.objectives[0].n, row.objectives[0].bad), (failed, failed), "{judged}");
    }
}

#[tokio::test]
async fn latency_is_a_part_of_a_candidates_time() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let mut all = table(1, 10_000, &[&s], &[&c]);
    all.faults = vec![fault(FaultKind::Latency(Millis(200)), "c", 10_000)];
    let mut built = all.build();
    std::sync::Arc::make_mut(&mut built.routes[0]).objectives[1].bad =
        slipway_core::traffic::CountedBad::SlowerThan(Millis(200));
    world.publish(built).await;
    assert_eq!(world.get("/").await.body, "c");
    let row = world.counts("c", "one", |row| row.attempts == 1).await;
    assert_eq!((row.injected, row.failed, row.objectives[1].n, row.objectives[1].bad), (1, 0, 1, 1));
}

#[tokio::test]
async fn a_reset_is_one_and_reaches_nobody() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let mut all = table(1, 10_000, &[&s], &[&c]);
    all.faults = vec![fault(FaultKind::Reset, "c", 10_000)];
    world.publish(all.build()).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.local\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("it ends");
    assert_eq!((read.map_err(|error| error.kind()), got.len()), (Err(ErrorKind::ConnectionReset), 0));
    let row = world.counts("c", "one", |row| row.attempts == 1).await;
    assert_eq!((row.injected, row.failed, row.objectives[0].bad, c.seen()), (1, 1, 1, 0));
}

#[tokio::test]
async fn over_http2_a_reset_ends_its_stream_alone() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let mut all = table(1, 0, &[&s], &[&c]);
    all.faults = vec![InjectedFault { cohort: Some(staff()), ..fault(FaultKind::Reset, "s", 10_000) }];
    world.publish(all.build()).await;
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(world.address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    tokio::spawn(connection);
    let to = |headers: &[(&str, &str)]| {
        let mut request = request("GET", "/", headers, "");
        *request.uri_mut() = "http://shop.local/".parse().unwrap();
        request
    };
    let error = sender.send_request(to(&[("x-staff", "1")])).await.expect_err("a reset");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.contains("stream error"), "{error}: {source}");
    assert_eq!(sender.send_request(to(&[])).await.unwrap().status(), 200);
}

const LONG: &str = "a body of which a byte a second would take a minute and more";

/// Somebody who is at the candidate, and an answer to them that comes a byte a second.
async fn slow_body(world: &World, [s, c]: [&Instance; 2]) -> (Client, http::Response<hyper::body::Incoming>) {
    let mut all = table(1, 10_000, &[s], &[c]);
    all.faults = vec![fault(FaultKind::SlowBody(1), "c", 10_000)];
    world.publish(all.build()).await;
    let mut client = Client::to(world.address).await;
    let response = client.send(request("POST", "/echo", &[], LONG)).await.unwrap();
    (client, response)
}

#[tokio::test]
async fn a_slow_body_comes_in_pieces_and_whole_once_the_fault_has_ended() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let (_client, mut response) = slow_body(&world, [&s, &c]).await;
    let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.len() < 3, "a byte a second: {}", first.len());
    let mut all = table(2, 10_000, &[&s], &[&c]);
    all.epoch = 1;
    world.publish(all.build()).await;
    let rest = tokio::time::timeout(PATIENCE, response.collect()).await.expect("at full speed").unwrap().to_bytes();
    assert_eq!([&first[..], &rest[..]].concat(), LONG.as_bytes());
    let row = world.counts("c", "one", |row| row.attempts == 1).await;
    assert_eq!((row.injected, row.failed), (1, 0));
}

#[tokio::test]
async fn a_gateway_that_ends_does_not_wait_for_a_slow_body() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let mut world = World::start().await;
    let (_client, mut response) = slow_body(&world, [&s, &c]).await;
    let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
    world.hub.shutdown(Millis(PATIENCE.as_millis() as u64));
    let rest = tokio::time::timeout(PATIENCE, response.collect()).await.expect("at full speed").unwrap().to_bytes();
    assert_eq!([&first[..], &rest[..]].concat(), LONG.as_bytes());
    world.gateway_ended().await.unwrap();
}

#[tokio::test]
async fn it_ends_by_itself_and_does_not_begin_anew_with_a_table_or_a_start() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let mut world = World::start().await;
    let brief = InjectedFault { length: Millis(4_000), ..fault(FaultKind::Abort(503), "c", 10_000) };
    let other = InjectedFault { number: 2, cohort: Some(staff()), ..fault(FaultKind::Abort(502), "c", 10_000) };
    let with = |generation| {
        let mut all = table(generation, 10_000, &[&s], &[&c]);
        all.faults = vec![brief.clone(), other.clone()];
        all.build()
    };
    world.publish(with(1)).await;
    assert_eq!(world.get("/").await.status, 503, "it is there");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.get("/").await.status == 503 {
        assert!(tokio::time::Instant::now() < deadline, "it does not end");
    }
    world.publish(with(2)).await;
    assert_eq!(world.get("/").await.status, 200, "a table that still has it does not bring it back");
    world.kill_gateway().await;
    std::fs::remove_file(world.dir.path().join("control.json")).unwrap();
    world.start_gateway();
    let staff = Client::to(world.address).await.get("/", &[("x-staff", "1")]).await;
    assert_eq!(staff.status, 502, "the other's time goes on");
    assert_eq!(world.get("/").await.status, 200, "nor does a start without a control plane");
}

#[tokio::test]
async fn a_gateway_that_hears_of_it_late_has_only_what_is_left() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let mut all = table(1, 10_000, &[&s], &[&c]);
    let over = InjectedFault { until: Timestamp(1), ..fault(FaultKind::Abort(503), "c", 10_000) };
    all.faults = vec![over];
    world.publish(all.build()).await;
    assert_eq!(world.get("/").await.status, 200);
}

#[tokio::test]
async fn the_fall_back_of_a_lapsed_lease_knows_no_fault() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let world = World::start().await;
    let mut all = table(1, 5_000, &[&s], &[&c]);
    all.lease = Some(Millis(4_000));
    all.faults = vec![fault(FaultKind::Abort(503), "s", 10_000)];
    world.publish(all.build()).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut aborted = 0;
    // Every other request goes to stable, and would be aborted.
    let mut answered = 0;
    while answered < 20 {
        assert!(tokio::time::Instant::now() < deadline, "it goes on");
        let answer = world.get("/").await;
        aborted += u32::from(answer.status == 503);
        answered = if answer.body == "s" { answered + 1 } else { 0 };
    }
    assert!(aborted > 0, "it was there");
}

#[tokio::test]
async fn the_access_log_and_the_metrics_say_so() {
    let (s, c) = (Instance::start("s").await, Instance::start("c").await);
    let mut world = World::start_logging().await;
    let mut all = table(1, 10_000, &[&s], &[&c]);
    all.faults = vec![fault(FaultKind::Abort(503), "c", 10_000)];
    world.publish(all.build()).await;
    assert_eq!(world.get("/").await.status, 503);
    world.counts("c", "it is counted", |row| row.attempts == 1).await;
    let admin = std::fs::read_to_string(world.dir.path().join("gateway/admin.json")).unwrap();
    let admin: serde_json::Value = serde_json::from_str(&admin).unwrap();
    let metrics = Client::to(admin["address"].as_str().unwrap().parse().unwrap()).await.get("/metrics", &[]).await.body;
    for line in [
        "slipway_injected_total{service=\"shop\",environment=\"production\",version=\"c\"} 1",
        "slipway_fault_share{service=\"shop\",environment=\"production\",version=\"c\",fault=\"abort\",number=\"1\"} 1",
    ] {
        assert!(metrics.lines().any(|there| there == line), "{line}\n{metrics}");
    }
    world.hub.shutdown(Millis(5_000));
    world.gateway_ended().await.unwrap();
    let log = std::fs::read_to_string(world.dir.path().join("access.log")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((&line["injected"], &line["status"], &line["version"]), (&"abort".into(), &503.into(), &"c".into()));
    assert_eq!(line.get("instance"), None, "{line}");
}
