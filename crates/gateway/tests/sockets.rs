//! Instances on Unix sockets, beside others on ports.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

use common::*;
use futures_util::{SinkExt, StreamExt};
use slipway_core::address::Address;
use slipway_core::traffic::Endpoint;
use slipway_core::traffic::link::Event;
use tokio::net::{TcpStream, UnixListener};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::{CancellationToken, DropGuard};

/// An instance on a socket; its end leaves the file.
struct OnSocket {
    seen: Arc<AtomicU64>,
    _running: DropGuard,
}

impl OnSocket {
    fn start(path: &Path) -> OnSocket {
        OnSocket::on(UnixListener::bind(path).unwrap())
    }

    fn on(listener: UnixListener) -> OnSocket {
        let (seen, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let (counter, held) = (seen.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, "s1".into(), counter.clone(), held.clone()));
            }
        }));
        OnSocket { seen, _running: stop.drop_guard() }
    }
}

fn endpoint(name: &str, socket: &Path) -> Endpoint {
    let address = Address::unix(socket.to_str().unwrap()).unwrap();
    Endpoint { instance: name.parse().unwrap(), incarnation: 1, address }
}

#[tokio::test]
async fn requests_bodies_and_web_sockets_reach_an_instance_on_a_socket() {
    let world = World::start().await;
    let path = world.dir.path().join("s1");
    let instance = OnSocket::start(&path);
    let port = Instance::start("c1").await;
    let mut both = table(1, 5_000, &[], &[&port]);
    both.stable = vec![endpoint("s1", &path)];
    world.publish(both.build()).await;
    let mut client = Client::to(world.address).await;
    let mut answers = Vec::new();
    for i in 0..100 {
        let text = "x".repeat(i * 1_000);
        let reply = client.call(request("POST", "/echo", &[], "").map(|_| full(text.clone()))).await.unwrap();
        assert_eq!((reply.status, reply.body.len()), (200, text.len()));
        answers.push(client.get("/", &[]).await.body);
    }
    let seen = tally(answers);
    assert!(seen["s1"] > 20 && seen["c1"] > 20, "{seen:?}");
    assert_eq!(world.counts("s", "all are counted", |r| r.attempts == instance.seen.load(SeqCst)).await.failed, 0);

    let mut only = table(2, 0, &[], &[]);
    only.stable = vec![endpoint("s1", &path)];
    world.publish(only.build()).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://shop.local/socket", stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("s1 heard hello"));
}

#[tokio::test]
async fn one_that_has_gone_is_ejected_and_is_back_when_it_listens_again() {
    let world = World::start().await;
    let path = world.dir.path().join("s1");
    let (instance, other) = (OnSocket::start(&path), Instance::start("s2").await);
    let mut two = table(1, 0, &[&other], &[]);
    two.stable.push(endpoint("s1", &path));
    world.publish(two.build()).await;
    drop(instance);
    // Once with the file that the dead one left, once without.
    for file_is_there in [true, false] {
        if !file_is_there {
            std::fs::remove_file(&path).unwrap();
        }
        let mut client = Client::to(world.address).await;
        for _ in 0..20 {
            assert_eq!(client.get("/", &[]).await.body, "s2");
        }
        let hub = world.hub.clone();
        until("it is ejected", || (hub.gateways()[0].ejected.len() == 1).then_some(())).await;
        let _ = std::fs::remove_file(&path);
        let again = OnSocket::start(&path);
        until("it is readmitted", || hub.gateways()[0].ejected.is_empty().then_some(())).await;
        until("it gets requests", || (again.seen.load(SeqCst) > 0).then_some(()).or_else(|| poke(&world))).await;
        drop(again);
    }
    let events: Vec<Event> = world.hub.drain_events().into_iter().map(|(_, e)| e).collect();
    assert!(matches!(&events[..4], [Event::Ejected(_), Event::Readmitted(_), Event::Ejected(_), Event::Readmitted(_)]));
}

/// Sends a request without waiting for it.
fn poke(world: &World) -> Option<()> {
    let address = world.address;
    tokio::spawn(async move { Client::to(address).await.get("/", &[]).await });
    None
}
