//! Gateways that are invited, and whoever else calls where they do.

mod common;
#[path = "common/invited.rs"]
mod invited;

use std::time::Duration;

use common::*;
use invited::{edge, settings};
use slipway_core::traffic::Generation;
use slipway_gateway::Invitation;
use slipway_gateway::hub::{Hub, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn gateways_join_by_invitation_alone_and_are_expected_after_a_restart() {
    let (dir, stable) = (tempfile::tempdir().unwrap(), Instance::start("s1").await);
    let hub = Hub::open(settings(dir.path(), Duration::from_secs(20))).await.unwrap();
    let at = hub.invited_at().unwrap();
    let invitation = hub.invite("edge-2", at.to_string()).unwrap().unwrap();
    let run = |invitation: &Invitation| {
        tokio::spawn(slipway_gateway::run_with(edge(invitation.clone(), dir.path().join(&invitation.token)), quick()))
    };
    let edge = run(&invitation);
    let traffic = until("it calls", || hub.gateways().first().map(|g| g.traffic)).await;
    hub.publish(table(1, 0, &[&stable], &[]).build());
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    assert_eq!(Client::to(traffic).await.get("/", &[]).await.status, 200);

    // Whoever calls without TLS, or with the invitation of before, hears nothing.
    let mut plain = TcpStream::connect(at).await.unwrap();
    let hello = serde_json::json!({
        "type": "hello", "token": invitation.token, "gateway": "edge-2", "boot": "c", "pid": 1, "traffic": at, "serves": 0,
        "lapsed": [], "ejected": [],
    });
    plain.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // What there may be is an alert of TLS.
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut said)).await.expect("it is hung up on");
    assert!(!said.contains(&b'{'), "{said:?}");
    let newer = hub.invite("edge-2", at.to_string()).unwrap().unwrap();
    until("it is hung up on", || (!hub.gateways()[0].connected).then_some(())).await;
    let renewed = run(&newer);
    until("the newer one calls", || hub.gateways()[0].connected.then_some(())).await;
    let boot = hub.gateways()[0].boot.clone();
    until("the older one is left out", || (hub.gateways()[0].boot == boot).then_some(())).await;

    // Two with one invitation do not take the name from each other.
    let twin = run(&newer);
    let taken = async { until("it is taken", || (hub.gateways()[0].boot != boot).then_some(())).await };
    assert!(tokio::time::timeout(Duration::from_millis(500), taken).await.is_err());
    renewed.abort();
    until("the name is free", || (hub.gateways()[0].boot != boot).then_some(())).await;

    for gateway in [twin, edge] {
        gateway.abort();
        let _ = gateway.await;
    }
    drop(hub);
    let hub = Hub::open(settings(dir.path(), Duration::from_secs(5))).await.unwrap();
    let expected = hub.gateways();
    assert_eq!(
        expected.iter().map(|g| (g.name.as_str(), g.connected, g.sent)).collect::<Vec<_>>(),
        [("edge-2", false, None)]
    );
    assert!(expected[0].counts(), "it may still serve what an earlier control plane said");
    until("it is lost in time", || hub.gateways()[0].lost.map(|_| ())).await;
    hub.forget("edge-2").unwrap();
    assert!(hub.gateways().is_empty() && hub.invited().is_empty());
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_no_invited_gateway_out() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::open(settings(dir.path(), Duration::from_secs(20))).await.unwrap();
    let at = hub.invited_at().unwrap();
    let mut crowd = Vec::new();
    for _ in 0..65 {
        crowd.push(TcpStream::connect(at).await.unwrap());
    }
    let (mut last, mut first) = (crowd.pop().unwrap(), crowd.remove(0));
    let (mut one, mut other) = ([0], [0]);
    tokio::select! {
        biased;
        _ = first.read(&mut one) => {}
        _ = last.read(&mut other) => panic!("who comes last is turned out, as an invited gateway would be"),
    }
    let invitation = hub.invite("edge-2", at.to_string()).unwrap().unwrap();
    let edge = tokio::spawn(slipway_gateway::run_with(edge(invitation, dir.path().join("edge")), quick()));
    until("it is let in", || hub.gateways().first().map(|_| ())).await;
    edge.abort();
}

#[tokio::test]
async fn invited_gateways_can_call_once_nobody_else_has_the_address() {
    let (dir, port) = (tempfile::tempdir().unwrap(), Port::new());
    let (at, taken) = (port.address, port.listen());
    let mut settings = settings(dir.path(), Duration::from_secs(20));
    settings.invited.as_mut().unwrap().listen = Some(at);
    let hub = Hub::open(settings).await.expect("it drives all the same");
    assert_eq!(hub.invited_at(), Some(at));
    let invitation = hub.invite("edge-2", at.to_string()).unwrap().unwrap();
    let edge = tokio::spawn(slipway_gateway::run_with(edge(invitation, dir.path().join("edge")), quick()));
    // Whoever has it takes the call, and says nothing.
    let call = taken.accept().await.unwrap();
    assert!(hub.gateways().is_empty());
    drop((taken, call));
    until("it is let in", || hub.gateways().first().map(|_| ())).await;
    edge.abort();
}

#[tokio::test]
async fn a_gateway_that_joins_another_control_plane_serves_nothing_of_the_first() {
    let (dir, there) = (tempfile::tempdir().unwrap(), Instance::start("s1").await);
    let mut served = Vec::new();
    for (folder, publishes) in [("one", true), ("one", false), ("two", false)] {
        let hub = Hub::open(settings(&dir.path().join(folder), Duration::from_secs(20))).await.unwrap();
        let invitation = hub.invite("edge-2", hub.invited_at().unwrap().to_string()).unwrap().unwrap();
        let config = edge(invitation, dir.path().join("edge"));
        let edge = tokio::spawn(slipway_gateway::run_with(config, quick()));
        let traffic = until("it calls", || hub.gateways().iter().find(|g| g.connected).map(|g| g.traffic)).await;
        if publishes {
            hub.publish(table(1, 0, &[&there], &[]).build());
            assert!(hub.wait_acked(Generation(1), PATIENCE).await);
        }
        served.push(Client::to(traffic).await.get("/", &[]).await.body == "s1");
        edge.abort();
        let _ = edge.await;
    }
    assert_eq!(served, [true, true, false], "its own control plane's table, after a start too, and nobody else's");
}

/// Whoever is overtaken may be held by much that is under way.
#[tokio::test]
async fn a_hub_that_is_ended_hears_nobody_though_somebody_holds_it_still() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::open(settings(dir.path(), Duration::from_secs(20))).await.unwrap();
    let at = hub.invited_at().unwrap();
    let invitation = hub.invite("edge-2", at.to_string()).unwrap().unwrap();
    let edge = tokio::spawn(slipway_gateway::run_with(edge(invitation, dir.path().join("edge")), quick()));
    until("it calls", || hub.gateways().first().filter(|g| g.connected).map(drop)).await;
    drop(hub.ends_with());
    until("it is hung up on", || (!hub.gateways()[0].connected).then_some(())).await;
    let bind = || std::net::TcpListener::bind(at).ok();
    until("another can listen there", bind).await;
    edge.abort();
}

#[tokio::test]
async fn gateways_find_the_newest_start_though_an_earlier_one_writes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let of = |start: u64| Settings { start, ..settings(dir.path(), Duration::from_secs(20)) };
    let newest = Hub::open(of(6)).await.unwrap();
    let late = Hub::open(of(5)).await.unwrap();
    let written =
        || serde_json::from_slice::<serde_json::Value>(&std::fs::read(dir.path().join("control.json")).ok()?).ok();
    until("it is written again", || (written()?["start"] == 6).then_some(())).await;
    assert_eq!(written().unwrap()["address"], newest.address().to_string());
    drop(late);
}
