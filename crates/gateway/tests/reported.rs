//! Reports of outcomes by way of the gateway: strangers do not keep those who may report from it, and where the gateway is makes
//! no difference.

mod common;
#[path = "common/invited.rs"]
mod invited;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::Duration;

use common::*;
use invited::{edge, settings};
use slipway_core::traffic::Generation;
use slipway_gateway::hub::{Hub, Settings};
use slipway_gateway::{Config, Control};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

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

/// What the API says to all that it is asked.
const REFUSED: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\nretry-after: 7\r\n\
                       content-length: 13\r\n\r\n{\"ask\": \"on\"}";

/// An API that refuses, and what it was asked.
async fn refusing() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, (tell, asked)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = String::new();
            while !heard.ends_with("]}") {
                let mut piece = [0; 1 << 10];
                let size = stream.read(&mut piece).await.unwrap();
                heard.push_str(std::str::from_utf8(&piece[..size]).unwrap());
            }
            // Before whoever is answered looks.
            let _ = tell.send(heard);
            stream.write_all(REFUSED.as_bytes()).await.unwrap();
            tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
        }
    });
    (at, asked)
}

#[tokio::test]
async fn a_gateway_that_joined_passes_reports_on_as_the_data_folders_own_does() {
    let (dir, stable, (api, mut asked)) = (tempfile::tempdir().unwrap(), Instance::start("s1").await, refusing().await);
    let hub = Hub::open(Settings { api: Some(api), ..settings(dir.path(), Duration::from_secs(20)) }).await.unwrap();
    let invitation = hub.invite("edge-2", hub.invited_at().unwrap().to_string()).unwrap().unwrap();
    let joined = edge(invitation, dir.path().join("edge"));
    let control = Control::Beside(dir.path().join("control.json"));
    let (name, state_dir) = ("local".to_string(), dir.path().join("local"));
    let own = Config { control, name, state_dir, ..joined.clone() };
    let running = [joined, own].map(|config| tokio::spawn(slipway_gateway::run_with(config, quick())));
    hub.publish(table(1, 0, &[&stable], &[]).build());
    until("both call", || (hub.gateways().len() == 2).then_some(())).await;
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    let said = async |at: SocketAddr, headers: &[(&str, &str)]| {
        let asks = request("POST", "/.slipway/outcomes", headers, r#"{"outcomes": [{"id": "a"}]}"#);
        Client::to(at).await.call(asks).await.unwrap()
    };
    let mut told = Vec::new();
    for gateway in hub.gateways() {
        let answer = said(gateway.traffic, &[("authorization", "Bearer x"), ("cookie", "slipway=ann")]).await;
        let heard = asked.try_recv().unwrap_or_else(|_| panic!("the API was not asked: {answer:?}"));
        assert!(heard.contains("authorization: Bearer x") && heard.contains(r#""key":"ann""#), "{heard}");
        let told_by = [answer.header("content-type"), answer.header("retry-after"), &answer.body];
        told.push((gateway.name, answer.status, told_by.map(str::to_string), heard));
    }
    let [(joined, status, headers, heard), (local, ..)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((joined.as_str(), local.as_str()), ("edge-2", "local"));
    assert_eq!(
        (*status, headers.each_ref().map(String::as_str)),
        (429, ["application/problem+json", "7", r#"{"ask": "on"}"#])
    );
    assert_eq!((status, headers, heard), (&told[1].1, &told[1].2, &told[1].3));

    // With nobody there to decide, nothing is taken.
    let at = hub.gateways()[0].traffic;
    assert_eq!(said(at, &[]).await.status, 401);
    drop(hub);
    let away = said(at, &[("authorization", "Bearer x")]).await;
    assert_eq!((away.status, away.header("retry-after")), (503, "1"), "{away:?}");
    assert!(away.body.contains("the control plane does not answer; send it again"), "{away:?}");
    running.iter().for_each(|gateway| gateway.abort());
}
