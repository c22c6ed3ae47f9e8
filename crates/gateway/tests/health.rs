//! Instances that take connections and do not answer their health check.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

use common::*;
use slipway_core::traffic::link::Event;
use slipway_core::traffic::{Check, Endpoint, RoutingTable};
use slipway_core::units::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An instance that answers users and, as long as it is well, its health check; what is asked of its health is counted.
struct Patient {
    name: &'static str,
    address: std::net::SocketAddr,
    well: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

/// How a well one answers, up to its body.
const ANSWERS: [&str; 3] =
    ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nconnection: close\r\n", "HTTP/1.0 200 OK\r\nconnection: close\r\n"];

impl Patient {
    async fn start(name: &'static str) -> Patient {
        Patient::who_says(name, ANSWERS[0]).await
    }

    /// One that begins its answers like this, and hangs up after those about its health where it says so.
    async fn who_says(name: &'static str, begins: &'static str) -> Patient {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (well, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (is_well, counter) = (well.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (is_well, counter) = (is_well.clone(), counter.clone());
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    loop {
                        let size = stream.read(&mut bytes).await.unwrap_or(0);
                        let health = bytes[..size].starts_with(b"GET /healthz ");
                        counter.fetch_add(u64::from(health), SeqCst);
                        if size == 0 || (health && !is_well.load(SeqCst)) {
                            // A user's connection has ended, or the check waits in vain.
                            return if size > 0 {
                                std::future::pending().await
                            };
                        }
                        let answer = format!("{begins}content-length: {}\r\n\r\n{name}", name.len());
                        if stream.write_all(answer.as_bytes()).await.is_err() || begins.contains("close") {
                            return;
                        }
                    }
                });
            }
        });
        Patient { name, address, well, asked }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.name.parse().unwrap(), incarnation: 1, address: self.address.into() }
    }
}

/// Longer than a machine is likely to stall twice in a row: so long, and twice, a sick one is waited for.
const SILENCE: Millis = Millis(1_500);

/// A table whose instances are asked often.
fn asked(generation: u64, stable: &[&Patient], candidate: &[&Patient]) -> RoutingTable {
    let mut of = table(generation, if candidate.is_empty() { 0 } else { 5_000 }, &[], &[]);
    of.stable = stable.iter().map(|p| p.endpoint()).collect();
    of.candidate = candidate.iter().map(|p| p.endpoint()).collect();
    let mut table = of.build();
    for version in &mut Arc::make_mut(&mut table.routes[0]).versions {
        version.health = Some(Check {
            path: Some("/healthz".into()),
            interval: Millis(20),
            timeout: SILENCE,
            healthy_after: 2,
            unhealthy_after: 2,
        });
    }
    table
}

#[tokio::test]
async fn one_that_does_not_answer_is_taken_out_and_let_in_again_and_stable_keeps_half() {
    let patients = [Patient::start("s1").await, Patient::start("s2").await];
    let world = World::start().await;
    world.publish(asked(1, &[&patients[0], &patients[1]], &[])).await;
    let hub = world.hub.clone();
    patients[0].well.store(false, SeqCst);
    let ejected = until("the sick one is ejected", || hub.gateways()[0].ejected.first().cloned()).await;
    assert_eq!(ejected.instance.as_str(), "s1");
    let mut client = Client::to(world.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/", &[]).await.body, "s2");
    }
    patients[1].well.store(false, SeqCst);
    let before = patients[1].asked.load(SeqCst);
    // Whoever is asked once more has twice not answered.
    until("the other is asked in vain", || (patients[1].asked.load(SeqCst) > before + 2).then_some(())).await;
    assert_eq!(hub.gateways()[0].ejected.len(), 1, "stable keeps half");
    assert_eq!(client.get("/", &[]).await.body, "s2");

    patients.iter().for_each(|p| p.well.store(true, SeqCst));
    until("it is readmitted", || hub.gateways()[0].ejected.is_empty().then_some(())).await;
    let events: Vec<Event> = world.hub.drain_events().into_iter().map(|(_, e)| e).collect();
    assert!(matches!(&events[..], [Event::Ejected(a), Event::Readmitted(b)] if a.instance == b.instance), "{events:?}");
}

#[tokio::test]
async fn one_that_hangs_up_after_its_answer_is_well() {
    for begins in ANSWERS {
        let patients = [Patient::who_says("s1", begins).await, Patient::start("s2").await];
        let world = World::start().await;
        let mut table = asked(1, &[&patients[0], &patients[1]], &[]);
        // What is wrong with an answer shows at once; one that is slow to come is not what this is about.
        let versions = &mut Arc::make_mut(&mut table.routes[0]).versions;
        versions.iter_mut().flat_map(|version| &mut version.health).for_each(|check| check.timeout = Millis(30_000));
        world.publish(table).await;
        until("it is asked", || (patients[0].asked.load(SeqCst) > 10).then_some(())).await;
        assert!(world.hub.drain_events().is_empty(), "{begins}");
    }
}

#[tokio::test]
async fn a_candidate_that_is_sick_is_lost_and_a_table_without_a_check_asks_nobody() {
    let (stable, candidate) = (Patient::start("s1").await, Patient::start("c1").await);
    let world = World::start().await;
    world.publish(asked(1, &[&stable], &[&candidate])).await;
    candidate.well.store(false, SeqCst);
    let hub = world.hub.clone();
    until("it is told", || {
        let lost = |(_, event): &(_, Event)| matches!(event, Event::CandidateLost { .. });
        hub.drain_events().iter().any(lost).then_some(())
    })
    .await;
    let mut client = Client::to(world.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/", &[]).await.body, "s1", "stable takes over");
    }
    let mut unasked = asked(2, &[&stable], &[&candidate]);
    Arc::make_mut(&mut unasked.routes[0]).versions.iter_mut().for_each(|version| version.health = None);
    world.publish(unasked).await;
    until("it is readmitted", || hub.gateways()[0].ejected.is_empty().then_some(())).await;
}
