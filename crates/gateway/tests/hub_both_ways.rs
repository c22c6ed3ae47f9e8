//! The control plane's end of the link to a gateway that has as much to say as it is to be told.

mod common;

use std::sync::Arc;

use common::*;
use slipway_core::traffic::link::{FromGateway, Hello, ToGateway};
use slipway_core::traffic::{Generation, READS, RoutingTable};
use slipway_gateway::hub::Hub;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;

/// Routes, each of them long: more than sockets hold.
const MANY: usize = 4_000;

#[tokio::test]
async fn a_gateway_is_heard_while_it_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::bind(dir.path().join("control.json"), "secret").await.unwrap();
    let route = table(1, 0, &[], &[]).route();
    let routes = (0..MANY).map(|number| {
        let mut route = route.clone();
        route.service = format!("shop-{number}").parse().unwrap();
        route.salt = "x".repeat(2_000);
        route.matches[0].host = Some(format!("{number}.local"));
        Arc::new(route)
    });
    hub.publish(RoutingTable { generation: Generation(1), routes: routes.collect() });
    // Its own side holds little, so that not much need be told, and said and heard, before more would not go out.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 << 10).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = BufReader::new(socket.connect(hub.address()).await.unwrap());
    let hello = FromGateway::Hello(Hello {
        token: "secret".into(),
        gateway: "gw".into(),
        boot: "a".into(),
        pid: std::process::id(),
        traffic: hub.address(),
        serves: Generation(0),
        serves_part: Generation(0),
        lapsed: vec![],
        ejected: vec![],
        machine: None,
        takes_changes: true,
        reads: READS,
        more: false,
        program: None,
        draining: false,
        predecessors: vec![],
    });
    let line = |message: &FromGateway| format!("{}\n", serde_json::to_string(message).unwrap());
    stream.get_mut().write_all(line(&hello).as_bytes()).await.unwrap();
    // It has begun to be told.
    let mut told = String::new();
    stream.read_line(&mut told).await.unwrap();
    let report = line(&FromGateway::Trouble { trouble: Some("x".repeat(1 << 18)) }).repeat(5);
    let said = tokio::time::timeout(PATIENCE, stream.get_mut().write_all(report.as_bytes())).await;
    said.expect("all of it is heard").expect("it is not hung up on");
    loop {
        told.clear();
        let read = tokio::time::timeout(PATIENCE, stream.read_line(&mut told)).await.expect("it is told the rest");
        assert!(read.unwrap() > 0, "it was hung up on");
        if let ToGateway::Change(change) = serde_json::from_str(&told).unwrap()
            && change.generation == Generation(1)
            && !change.more
        {
            return;
        }
    }
}
