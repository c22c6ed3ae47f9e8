//! What passes through: bodies of every framing, upgrades, event streams; and what becomes of them at a switch.

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use slipway_core::traffic::{Endpoint, Limits};
use slipway_core::units::Millis;
use slipway_gateway::Tuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

async fn next_part(body: &mut hyper::body::Incoming) -> Option<String> {
    let frame = body.frame().await?.ok()?;
    Some(String::from_utf8_lossy(frame.data_ref()?).into_owned())
}

#[tokio::test]
async fn long_connections_and_downloads_stay_where_they_are_across_a_switch() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    world.publish(table(1, 10_000, &[&stable], &[&candidate]).build()).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://shop.local/socket", stream).await.unwrap();
    let (mut events_on, mut download_on) = (Client::to(world.address).await, Client::to(world.address).await);
    let mut events = events_on.send(request("GET", "/events", &[], "")).await.unwrap().into_body();
    let mut download = download_on.send(request("GET", "/download", &[], "")).await.unwrap().into_body();

    world.publish(table(2, 0, &[&stable], &[&candidate]).build()).await;
    assert_eq!(world.get("/").await.body, "s1");
    socket.send(Message::text("still there?")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "c1 heard still there?");
    for body in [&mut events, &mut download] {
        for _ in 0..20 {
            assert!(next_part(body).await.unwrap().contains("c1"));
        }
    }
    // The instance leaves the table altogether, as it does when it is about to be stopped.
    world.publish(table(3, 0, &[&stable], &[]).build()).await;
    socket.send(Message::text("and now?")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "c1 heard and now?");
    assert!(next_part(&mut download).await.unwrap().contains("c1"));
    let row = world.counts("c", "upgrade and events count at their head", |r| r.attempts == 2).await;
    assert_eq!((row.assigned, row.failed), (3, 0));
    assert!(row.latency_us.iter().map(|(_, n)| n).sum::<u64>() <= 1, "their latency says nothing");
}

#[tokio::test]
async fn the_drain_limits_end_what_a_switch_left_behind_ordinary_requests_first() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    // The longer one is not over by the time at which all is seen that the shorter one ends.
    let limits = Limits { drain: Millis(100), drain_long: Millis(5_000), ..Limits::default() };
    let mut on = table(1, 10_000, &[&stable], &[&candidate]);
    on.limits = limits.clone();
    world.publish(on.build()).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://shop.local/socket", stream).await.unwrap();
    let mut client = Client::to(world.address).await;
    let mut download = client.send(request("GET", "/download", &[], "")).await.unwrap().into_body();
    let address = world.address;
    let silent = tokio::spawn(async move { Client::to(address).await.get("/silent", &[]).await });
    until("all have arrived", || (candidate.seen() == 3).then_some(())).await;

    let mut off = table(2, 0, &[&stable], &[&candidate]);
    off.limits = limits;
    world.publish(off.build()).await;
    let end = loop {
        match download.frame().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_some_and(|e| e.is_err()), "cut, and visibly so");
    let cut = silent.await.unwrap();
    assert_eq!(cut.status, 502);
    assert!(cut.header("proxy-status").contains("connection_terminated"));
    socket.send(Message::text("hello")).await.unwrap();
    assert!(socket.next().await.unwrap().is_ok(), "the longer limit is not over");
    while let Some(Ok(_)) = socket.next().await {}
    let row = world.counts("c", "cut by Slipway, not failed by the version", |r| r.failed_by_slipway == 2).await;
    assert_eq!(row.failed, 0);
}

#[tokio::test]
async fn a_connection_that_carried_an_event_stream_has_the_shorter_limit_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let held = asked.clone();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            let held = held.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                    held.lock().unwrap().push(number);
                    // What is asked for else is answered by silence.
                    if bytes[..n].starts_with(b"GET /events ") {
                        let answer =
                            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: 1\n\n";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    let stable = Instance::start("s1").await;
    let world = World::start_with(Tuning { idle_upstream: PATIENCE, ..quick() }).await;
    let mut on = table(1, 10_000, &[&stable], &[]);
    on.candidate = vec![Endpoint { instance: "c1".parse().unwrap(), incarnation: 1, address: address.into() }];
    on.limits = Limits { drain: Millis(50), drain_long: Millis(3_600_000), ..Limits::default() };
    world.publish(on.build()).await;
    assert_eq!(world.get("/events").await.body, "data: 1\n\n");
    let gateway = world.address;
    let silent = tokio::spawn(async move { Client::to(gateway).await.get("/silent", &[]).await });
    until("both have arrived", || (asked.lock().unwrap().len() == 2).then_some(())).await;
    // On the long way the client may have the answer before the connection is back.
    assert!(!quick().fast || *asked.lock().unwrap() == [1, 1], "it went on the same connection");

    on.generation = 2;
    on.epoch = 2;
    on.weight_bp = 0;
    world.publish(on.build()).await;
    let cut = tokio::time::timeout(PATIENCE, silent).await.expect("it has the shorter limit").unwrap();
    assert_eq!(cut.status, 502);
}

#[tokio::test]
async fn an_upload_streams_while_it_is_being_sent() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await
        .unwrap();
    let mut heard = String::new();
    while !heard.contains("hello") {
        let mut bytes = [0; 1024];
        let n = client.read(&mut bytes).await.unwrap();
        assert!(n > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    client.write_all(b"5\r\nworld\r\n0\r\n\r\n").await.unwrap();
    while !heard.ends_with("0\r\n\r\n") {
        let mut bytes = [0; 1024];
        let n = client.read(&mut bytes).await.unwrap();
        assert!(n > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    assert!(heard.contains("world"));
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut bytes = [0; 1024];
    let n = client.read(&mut bytes).await.unwrap();
    assert!(bytes[..n].starts_with(b"HTTP/1.1 100 Continue\r\n"), "{}", String::from_utf8_lossy(&bytes[..n]));
    client.write_all(b"hello").await.unwrap();
    let mut heard = String::new();
    while !heard.ends_with("hello") {
        let n = client.read(&mut bytes).await.unwrap();
        assert!(n > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    assert!(heard.contains("200 OK"));
}

/// Sends one request as bytes and returns all of the answer's bytes.
async fn raw(world: &World, request: &str) -> String {
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn answers_without_a_body_keep_their_form() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let end = "host: a\r\nconnection: close\r\n\r\n";
    let head = raw(&world, &format!("HEAD /x HTTP/1.1\r\n{end}")).await;
    assert!(head.contains("content-length: 2") && head.ends_with("\r\n\r\n"), "{head}");
    let streamed = raw(&world, &format!("HEAD /download HTTP/1.1\r\n{end}")).await;
    assert!(!streamed.contains("content-length: 0"), "{streamed}");
    let nothing = raw(&world, &format!("GET /nothing HTTP/1.1\r\n{end}")).await;
    assert!(nothing.starts_with("HTTP/1.1 204") && !nothing.contains("transfer-encoding"), "{nothing}");
    let unchanged = raw(&world, &format!("GET /unchanged HTTP/1.1\r\n{end}")).await;
    assert!(unchanged.starts_with("HTTP/1.1 304") && unchanged.contains("etag: \"1\""), "{unchanged}");
    let old = raw(&world, "GET /x HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200") && old.ends_with("s1"), "{old}");
    let old = raw(&world, "GET /headers HTTP/1.0\r\n\r\n").await;
    assert!(old.contains("\nhost: \n"), "HTTP/1.1 needs a Host: {old}");
    let absolute = raw(&world, &format!("GET http://a/headers HTTP/1.1\r\n{end}")).await;
    assert!(absolute.contains("\nhost: a\n"), "{absolute}");
    let other = raw(&world, &format!("GET http://b.local/headers HTTP/1.1\r\n{end}")).await;
    assert!(other.starts_with("HTTP/1.1 400"), "the target says the same as the Host: {other}");
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_arrives_whole() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nto the very end").await;
        }
    });
    let world = World::start().await;
    let mut only = table(1, 0, &[], &[]);
    let instance = "s1".parse().unwrap();
    only.stable = vec![slipway_core::traffic::Endpoint { instance, incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    assert_eq!(world.get("/").await.body, "to the very end");
    let row = world.counts("s", "it is whole", |r| r.attempts == 1).await;
    assert_eq!(row.failed, 0);
}

#[tokio::test]
async fn instances_see_where_a_request_came_from_and_nothing_of_the_clients_connection() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = [
        ("host", "shop.local:8080"),
        ("connection", "x-secret, keep-alive"),
        ("x-secret", "1"),
        ("x-forwarded-for", "9.9.9.9"),
        ("traceparent", trace),
    ];
    let reply = Client::to(world.address).await.get("/headers", &sent).await;
    let mut expected = vec![
        "forwarded: for=127.0.0.1;host=\"shop.local:8080\";proto=http".to_string(),
        "host: shop.local:8080".into(),
        format!("traceparent: {trace}"),
        "via: 1.1 slipway".into(),
        "x-forwarded-for: 9.9.9.9, 127.0.0.1".into(),
        "x-forwarded-host: shop.local:8080".into(),
        "x-forwarded-proto: http".into(),
    ];
    expected.sort();
    assert_eq!(reply.body.lines().filter(|l| !l.starts_with("content-length")).collect::<Vec<_>>(), expected);
}
