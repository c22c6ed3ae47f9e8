//! Instances that refuse, die, hang and lie: what the client sees, and what is counted for whom.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::Duration;

use common::*;
use http_body_util::BodyExt;
use slipway_core::traffic::link::Event;
use slipway_core::traffic::{CohortRoute, CohortRule, Endpoint, Limits};
use slipway_core::units::Millis;
use slipway_gateway::Tuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn error_of(reply: &Reply) -> &str {
    let status = reply.header("proxy-status");
    status.strip_prefix("slipway; error=").and_then(|s| s.split(';').next()).unwrap_or(status)
}

#[tokio::test]
async fn a_refused_connection_ejects_and_the_request_goes_elsewhere_whatever_its_method() {
    let (one, two) = (Instance::start("s1").await, Instance::start("s2").await);
    let world = World::start().await;
    world.publish(table(1, 0, &[&one, &two], &[]).build()).await;
    one.kill().await;
    let mut client = Client::to(world.address).await;
    for _ in 0..20 {
        let reply = client.call(request("POST", "/echo", &[], "hello")).await.unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (200, "hello"));
    }
    let hub = world.hub.clone();
    let ejected = until("the ejection is told", || hub.gateways()[0].ejected.first().cloned()).await;
    assert_eq!(ejected.instance.as_str(), "s1");
    let row = world.counts("s", "all are counted", |r| r.assigned == 20 && r.attempts >= 21).await;
    assert_eq!((row.attempts, row.failed, row.failed_by_slipway), (21, 1, 0), "the hidden failure is counted");

    let again = one.again().await;
    until("it is readmitted", || hub.gateways()[0].ejected.is_empty().then_some(())).await;
    until("it gets requests", || (again.seen() > 0).then_some(()).or_else(|| poke(&world))).await;
    let events: Vec<Event> = world.hub.drain_events().into_iter().map(|(_, e)| e).collect();
    assert!(matches!(&events[..], [Event::Ejected(a), Event::Readmitted(b)] if a.instance == b.instance), "{events:?}");
}

/// Sends a request without waiting for it.
fn poke(world: &World) -> Option<()> {
    let address = world.address;
    tokio::spawn(async move { Client::to(address).await.get("/", &[]).await });
    None
}

#[tokio::test]
async fn stable_never_loses_its_last_half() {
    let instances = [Instance::start("s1").await, Instance::start("s2").await, Instance::start("s3").await];
    let world = World::start().await;
    let all: Vec<&Instance> = instances.iter().collect();
    world.publish(table(1, 0, &all, &[]).build()).await;
    for instance in &instances {
        instance.kill().await;
    }
    for _ in 0..10 {
        let reply = world.get("/").await;
        assert_eq!((reply.status, error_of(&reply)), (502, "connection_refused"));
    }
    let row = world.counts("s", "all are counted", |r| r.failed_by_slipway == 10).await;
    assert_eq!(row.assigned, 10);
    assert_eq!(world.hub.gateways()[0].ejected.len(), 1, "one of three may be ejected, not two");
    let again = instances[2].again().await;
    until("what is left is still used", || (again.seen() > 0).then_some(()).or_else(|| poke(&world))).await;
}

#[tokio::test]
async fn a_candidate_that_loses_its_last_instance_gives_its_share_to_stable_at_once() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    world.publish(table(1, 5_000, &[&stable], &[&candidate]).build()).await;
    candidate.kill().await;
    let mut client = Client::to(world.address).await;
    for _ in 0..60 {
        assert_eq!(client.get("/", &[]).await.body, "s1");
    }
    let what = "the failed attempt is counted, and the share stays the candidate's, whoever answers";
    let row = world.counts("c", what, |r| r.failed == 1 && r.assigned > 1).await;
    assert_eq!((row.attempts, row.failed_by_slipway), (1, 0));
    let hub = world.hub.clone();
    let mut events = Vec::new();
    until("the loss is told", || {
        events.extend(hub.drain_events());
        events.iter().any(|(_, e)| matches!(e, Event::CandidateLost { epoch, .. } if epoch.0 == 1)).then_some(())
    })
    .await;
    let again = candidate.again().await;
    until("it takes connections again", || hub.gateways()[0].ejected.is_empty().then_some(())).await;
    for _ in 0..40 {
        client.get("/", &[]).await;
    }
    assert_eq!(again.seen(), 0, "a lost candidate gets nothing more in its epoch");
    world.publish(table(2, 5_000, &[&stable], &[&again]).build()).await;
    until("the next epoch begins anew", || (again.seen() > 0).then_some(()).or_else(|| poke(&world))).await;
}

#[tokio::test]
async fn a_lost_candidate_without_any_stable_serves_again_when_it_is_back() {
    let candidate = Instance::start("c1").await;
    let world = World::start().await;
    world.publish(table(1, 10_000, &[], &[&candidate]).build()).await;
    candidate.kill().await;
    assert_ne!(world.get("/").await.status, 200);
    let again = candidate.again().await;
    until("it is used again", || (again.seen() > 0).then_some(()).or_else(|| poke(&world))).await;
    assert_eq!(world.get("/").await.body, "c1");
}

#[tokio::test]
async fn a_version_that_dies_as_a_whole_costs_no_idempotent_request() {
    let stable = Instance::start("s1").await;
    let mut candidates = Vec::new();
    for name in ["c1", "c2", "c3", "c4"] {
        candidates.push(Instance::start(name).await);
    }
    let world = World::start().await;
    let all: Vec<&Instance> = candidates.iter().collect();
    world.publish(table(1, 10_000, &[&stable], &all).build()).await;
    let mut client = Client::to(world.address).await;
    for _ in 0..8 {
        assert_eq!(client.get("/", &[]).await.status, 200);
    }
    for candidate in &candidates {
        candidate.kill().await;
    }
    for _ in 0..8 {
        assert_eq!(client.get("/", &[]).await.body, "s1");
    }
    let row = world.counts("c", "all are counted", |r| r.assigned == 16).await;
    assert_eq!((row.failed >= 4, row.failed_by_slipway), (true, 0), "{row:?}");
}

#[tokio::test]
async fn a_death_in_the_middle_of_a_request_is_told_and_counted_as_the_versions() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let address = world.address;
    let waiting = tokio::spawn(async move { Client::to(address).await.get("/never", &[]).await });
    until("the instance has the request", || (stable.seen() > 0).then_some(())).await;
    stable.kill().await;
    let reply = waiting.await.unwrap();
    assert_eq!((reply.status, error_of(&reply)), (502, "connection_terminated"));
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway, row.objectives[0].bad), (1, 0, 1));
}

#[tokio::test]
async fn a_truncated_answer_breaks_the_clients_connection_and_counts_as_failed() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let cut = Client::to(world.address).await.call(request("GET", "/cut", &[], "")).await;
    assert!(cut.is_err(), "a broken answer must not look whole: {cut:?}");
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0));
}

#[tokio::test]
async fn five_hundreds_are_evidence_and_never_eject() {
    let stable = [Instance::start("s1").await, Instance::start("s2").await];
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable[0], &stable[1]], &[]).build()).await;
    let mut client = Client::to(world.address).await;
    for _ in 0..20 {
        let reply = client.get("/fail", &[("cookie", "slipway=one")]).await;
        assert_eq!((reply.status, reply.body.as_str()), (500, "broken"));
        assert_eq!(reply.header("proxy-status"), "", "an instance's answer passes as it is");
    }
    let row = world.counts("s", "all are counted", |r| r.attempts == 20).await;
    assert_eq!((row.failed, row.failed_by_slipway), (20, 0));
    let errors = &row.objectives[0];
    assert_eq!((errors.n, errors.bad, errors.bad_keys), (3, 3, 1), "one user, one voice");
    assert!(world.hub.gateways()[0].ejected.is_empty());
}

#[tokio::test]
async fn an_instance_that_is_silent_for_too_long_times_out() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    let mut quick = table(1, 0, &[&stable], &[]);
    quick.limits = Limits { response: Millis(50), ..Limits::default() };
    world.publish(quick.build()).await;
    let reply = world.get("/silent").await;
    assert_eq!((reply.status, error_of(&reply)), (504, "http_response_timeout"));
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0));
}

#[tokio::test]
async fn an_instance_that_falls_silent_in_its_answer_has_failed_and_a_quiet_event_stream_has_not() {
    // An answer that has begun has come within it, also on a machine that stands still for a while.
    const LIMIT: Duration = Duration::from_millis(2_500);
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    let mut quick = table(1, 0, &[&stable], &[]);
    quick.limits = Limits { response: Millis(LIMIT.as_millis() as u64), ..Limits::default() };
    world.publish(quick.build()).await;
    let mut clients = (Client::to(world.address).await, Client::to(world.address).await);
    let stuck = clients.0.send(request("GET", "/stuck", &[], "")).await.unwrap();
    let cut = tokio::time::timeout(PATIENCE, stuck.collect()).await.expect("it is not held for ever");
    assert!(cut.is_err(), "it does not look whole");
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0));
    let mut quiet = clients.1.send(request("GET", "/quiet", &[], "")).await.unwrap();
    quiet.frame().await.unwrap().unwrap();
    assert!(tokio::time::timeout(LIMIT * 2, quiet.frame()).await.is_err(), "it goes on");
}

#[tokio::test]
async fn a_client_that_goes_away_is_nobodys_failure() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let address = world.address;
    let ask = |path: &'static str| {
        tokio::spawn(async move { drop(Client::to(address).await.send(request("GET", path, &[], "")).await) })
    };
    let waits = ask("/never");
    until("the instance has the request", || (stable.seen() > 0).then_some(())).await;
    waits.abort();
    // It goes once the answer has begun.
    ask("/download").await.unwrap();
    assert_eq!(world.get("/").await.status, 200);
    let row = world.counts("s", "the download counts, the wait does not", |r| r.attempts == 2).await;
    assert_eq!((row.assigned, row.failed, row.failed_by_slipway), (3, 0, 0));
}

/// Answers the first request of each connection and hangs up on the second, as a server does whose patience with idle
/// connections ends just when the next request comes.
async fn forgetful() -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counter = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                for turn in 0..2 {
                    if stream.read(&mut bytes).await.unwrap_or(0) == 0 {
                        return;
                    }
                    counter.fetch_add(1, SeqCst);
                    if turn == 0 {
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                    }
                }
            });
        }
    });
    (address, heads)
}

#[tokio::test]
async fn a_pooled_connection_that_closes_is_followed_by_another_try_only_where_that_is_safe() {
    let (address, heads) = forgetful().await;
    // Pooled for as long as a machine may stand still between two requests.
    let world = World::start_with(Tuning { idle_upstream: PATIENCE, ..quick() }).await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![slipway_core::traffic::Endpoint {
        instance: "s1".parse().unwrap(),
        incarnation: 1,
        address: address.into(),
    }];
    world.publish(only.build()).await;
    let mut client = Client::to(world.address).await;
    assert_eq!(client.get("/", &[]).await.status, 200);
    assert_eq!(client.get("/", &[]).await.status, 200, "sent again on a new connection");
    assert_eq!(heads.load(SeqCst), 3);
    let posted = client.call(request("POST", "/", &[], "pay")).await.unwrap();
    assert_eq!((posted.status, error_of(&posted)), (502, "connection_terminated"), "never sent twice");
    assert_eq!(heads.load(SeqCst), 4);
    let row = world.counts("s", "each attempt is counted", |r| r.attempts == 4).await;
    assert_eq!((row.assigned, row.failed, row.failed_by_slipway), (3, 2, 0));
}

#[tokio::test]
async fn an_answer_that_broke_off_in_its_head_is_not_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counter = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\ncontent-le"] {
                let mut bytes = [0; 4096];
                if stream.read(&mut bytes).await.unwrap_or(0) > 0 {
                    counter.fetch_add(1, SeqCst);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    });
    let world = World::start_with(Tuning { idle_upstream: PATIENCE, ..quick() }).await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    let mut client = Client::to(world.address).await;
    assert_eq!(client.get("/", &[]).await.status, 200);
    let reply = client.get("/", &[]).await;
    assert_eq!((reply.status, error_of(&reply)), (502, "connection_terminated"));
    assert_eq!(heads.load(SeqCst), 2, "it had begun to answer");
}

#[tokio::test]
async fn no_instance_anywhere_is_a_503() {
    let world = World::start().await;
    world.publish(table(1, 0, &[], &[]).build()).await;
    let reply = world.get("/").await;
    assert_eq!((reply.status, error_of(&reply)), (503, "destination_unavailable"));
    assert!(reply.body.contains("\"error\":\"destination_unavailable\""), "{}", reply.body);
    let row = world.counts("s", "it is Slipway's failure", |r| r.failed_by_slipway == 1).await;
    assert_eq!((row.assigned, row.attempts), (1, 0));
}

#[tokio::test]
async fn what_is_not_http_is_told_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
        }
    });
    let world = World::start().await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![slipway_core::traffic::Endpoint {
        instance: "s1".parse().unwrap(),
        incarnation: 1,
        address: address.into(),
    }];
    world.publish(only.build()).await;
    let reply = world.get("/").await;
    assert_eq!((reply.status, error_of(&reply)), (502, "http_protocol_error"));
}

#[tokio::test]
async fn limits_on_requests_are_told_with_their_status() {
    let stable = Instance::start("s1").await;
    let world = World::start_with(Tuning { header_timeout: Duration::from_secs(5), ..quick() }).await;
    let mut small = table(1, 0, &[&stable], &[]);
    small.limits = Limits { body_bytes: 4, ..Limits::default() };
    world.publish(small.build()).await;
    let ask = async |request| {
        let reply = Client::to(world.address).await.call(request).await.unwrap();
        (reply.status, error_of(&reply).to_string())
    };
    let denied = |status| (status, "http_request_denied".to_string());
    assert_eq!(ask(request("POST", "/echo", &[], "1234")).await.0, 200);
    assert_eq!(ask(request("POST", "/echo", &[], "12345")).await, denied(413));
    let chunked = request("POST", "/silent", &[("transfer-encoding", "chunked")], "12345");
    assert_eq!(ask(chunked).await, denied(413), "a body of unknown length is measured on its way");
    let long = format!("/{}", "x".repeat(9_000));
    assert_eq!(ask(request("GET", &long, &[], "")).await, denied(414));
    let large = "x".repeat(33_000);
    assert_eq!(ask(request("GET", "/", &[("x-large", &large)], "")).await, denied(431));
    assert_eq!(ask(request("CONNECT", "shop.local:443", &[], "")).await, denied(405));

    let mut slow = tokio::net::TcpStream::connect(world.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: sh").await.unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    let row = world.counts("s", "only what was sent counts", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "a client's mistakes are nobody's failure");
}

#[tokio::test]
async fn a_request_without_one_host_is_refused() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"] {
        let mut client = tokio::net::TcpStream::connect(world.address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = [0; 1024];
        let n = client.read(&mut bytes).await.unwrap();
        let reply = String::from_utf8_lossy(&bytes[..n]).to_string();
        assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
        assert!(reply.contains("proxy-status: slipway; error=http_request_error"), "{reply}");
    }
    assert_eq!(stable.seen(), 0);
}

#[tokio::test]
async fn what_a_cohort_suffers_is_counted_apart_from_the_split() {
    let world = World::start().await;
    let mut all_dead = table(1, 5_000, &[], &[]);
    let dead = |name: &str, address: std::net::SocketAddr| Endpoint {
        instance: name.parse().unwrap(),
        incarnation: 1,
        address: address.into(),
    };
    let nobody = (Port::new(), Port::new());
    all_dead.stable = vec![dead("s1", nobody.0.address)];
    all_dead.candidate = vec![dead("c1", nobody.1.address)];
    let mut dead = all_dead.build();
    let rule = CohortRule::Header { name: "x-beta".into(), value: "1".into() };
    std::sync::Arc::make_mut(&mut dead.routes[0]).cohorts =
        vec![CohortRoute { name: "beta".into(), rule, to: "c".parse().unwrap() }];
    world.publish(dead).await;
    assert_eq!(Client::to(world.address).await.get("/", &[("x-beta", "1")]).await.status, 502);
    let hub = world.hub.clone();
    let rows =
        until("it is counted", || Some(hub.counts()).filter(|rows| rows.iter().any(|r| r.failed_by_slipway > 0)));
    let suffered = rows.await.into_iter().filter(|row| row.failed_by_slipway > 0);
    let suffered: Vec<_> = suffered.map(|row| (row.cohort, row.version.to_string(), row.failed_by_slipway)).collect();
    assert_eq!(suffered, [(Some("beta".to_string()), "c".to_string(), 1)]);
}
