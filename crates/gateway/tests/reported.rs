//! Reports of outcomes by way of the gateway: strangers do not keep those who may report from it.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As many reports as are passed on at once, and a few more.
const MANY: usize = 40;
const HEAD: &str = "POST /.slipway/outcomes HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n";

/// An API that takes whatever it is sent, and how often it was asked.
async fn api() -> (SocketAddr, Arc<AtomicU64>) {
    let instance = Instance::start("api").await;
    let (address, seen) = (instance.address, instance.seen.clone());
    // It runs for as long as the test does.
    std::mem::forget(instance);
    (address, seen)
}

/// A gateway that knows where the API is.
async fn world(api: SocketAddr) -> (World, Instance) {
    let (stable, mut world) = (Instance::start("s1").await, World::start().await);
    world.kill_gateway().await;
    let file = world.dir.path().join("control.json");
    let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    content["api"] = api.to_string().into();
    std::fs::write(&file, content.to_string()).unwrap();
    let before = world.hub.gateways()[0].boot.clone();
    world.start_gateway();
    let hub = world.hub.clone();
    until("it is back", || hub.gateways().into_iter().find(|g| g.boot != before && g.connected)).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    (world, stable)
}

async fn report(world: &World, body: &'static str) -> u16 {
    let headers = [("authorization", "Bearer x")];
    let request = request("POST", "/.slipway/outcomes", &headers, body);
    Client::to(world.address).await.call(request).await.unwrap().status
}

#[tokio::test]
async fn whoever_does_not_say_who_he_is_is_told_so_at_once() {
    let (address, seen) = api().await;
    let (world, _stable) = world(address).await;
    for _ in 0..MANY {
        let mut client = TcpStream::connect(world.address).await.unwrap();
        client.write_all(format!("{HEAD}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 401");
    }
    assert_eq!(seen.load(SeqCst), 0);
}

#[tokio::test]
async fn batches_that_are_slow_to_come_keep_no_other_from_the_api() {
    let (address, seen) = api().await;
    let (world, _stable) = world(address).await;
    let mut slow = Vec::new();
    for _ in 0..MANY {
        let mut client = TcpStream::connect(world.address).await.unwrap();
        let head = format!("{HEAD}authorization: Bearer y\r\nexpect: 100-continue\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        // It is said where the body is waited for.
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 100");
        slow.push(client);
    }
    assert_eq!(report(&world, r#"{"outcomes": []}"#).await, 200);
    assert_eq!(seen.load(SeqCst), 1);
}

#[tokio::test]
async fn a_batch_of_more_values_than_a_thousand_outcomes_have_is_refused() {
    let (address, seen) = api().await;
    let (world, _stable) = world(address).await;
    let many: &'static str = Box::leak(format!("{{\"outcomes\": [{}{{}}]}}", "{},".repeat(100_000)).into_boxed_str());
    assert_eq!(report(&world, many).await, 413);
    assert_eq!(seen.load(SeqCst), 0);
    let enough: &'static str = Box::leak(format!("{{\"outcomes\": [{}{{}}]}}", "{},".repeat(999)).into_boxed_str());
    assert_eq!(report(&world, enough).await, 200);
}
