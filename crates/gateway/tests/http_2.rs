//! Clients of HTTP/2 before instances of HTTP/1.1.

mod common;

use std::net::SocketAddr;

use common::*;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of HTTP/2 that knows beforehand that it is spoken.
async fn two(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = made.unwrap();
    tokio::spawn(connection);
    sender
}

fn asked(method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> http::Request<Body> {
    let mut request = http::Request::builder().method(method).uri(format!("http://shop.local{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(full(body)).unwrap()
}

#[tokio::test]
async fn a_client_of_http_2_reaches_an_instance_of_http_1() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut sender = two(world.address).await;
    let echoed = sender.send_request(asked("POST", "/echo", &[], "hello")).await.unwrap();
    assert_eq!(echoed.into_body().collect().await.unwrap().to_bytes(), "hello");
    let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")];
    let seen = sender.send_request(asked("GET", "/headers", &crumbs, "")).await.unwrap();
    let seen = String::from_utf8(seen.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    for line in [
        "cookie: a=1; b=2",
        "host: shop.local",
        "x-forwarded-host: shop.local",
        "x-forwarded-proto: http",
        "via: 2.0 slipway",
    ] {
        assert!(seen.lines().any(|l| l == line), "{line}: {seen}");
    }
    assert!(!seen.contains("te: "), "{seen}");
    // A download that never ends does not hold up the rest of the connection.
    let mut download = sender.send_request(asked("GET", "/download", &[], "")).await.unwrap().into_body();
    assert!(download.frame().await.unwrap().is_ok());
    let fail = sender.send_request(asked("GET", "/fail", &[], "")).await.unwrap();
    assert_eq!(fail.status(), 500);
    let row = world.counts("s", "the failure is counted", |r| r.failed == 1).await;
    assert_eq!(row.assigned, 4);
}

#[tokio::test]
async fn http_2_has_limits_and_the_same_defences() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut sender = two(world.address).await;
    for headers in [&[("host", "other.local")][..], &[("content-length", "0"), ("content-length", "0")]] {
        let refused = sender.send_request(asked("GET", "/", headers, "")).await;
        assert!(refused.is_err() || refused.is_ok_and(|r| r.status() == 400), "{headers:?}");
    }
    let large = "x".repeat(60_000);
    let refused = two(world.address).await.send_request(asked("GET", "/", &[("x-large", &large)], "")).await;
    assert!(refused.is_err() || refused.is_ok_and(|r| r.status() == 431));
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("x", "y"), 101).collect();
    let refused = two(world.address).await.send_request(asked("GET", "/", &many, "")).await.unwrap();
    assert_eq!(refused.status(), 431, "as by HTTP/1.1");
    assert_eq!(stable.seen(), 0);
    let crumbs: Vec<(&str, &str)> = std::iter::repeat_n(("cookie", "a=b"), 101).collect();
    assert_eq!(sender.send_request(asked("GET", "/", &crumbs, "")).await.unwrap().status(), 200, "a cookie in pieces");
    assert_eq!(sender.send_request(asked("GET", "/", &[], "")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_the_connection() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for i in 0..300u32 {
        // GET http://a/, and then "cancel".
        bytes.extend(frame(1, 5, i * 2 + 1, b"\x82\x84\x86\x41\x01a"));
        bytes.extend(frame(3, 0, i * 2 + 1, &[0, 0, 0, 8]));
    }
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    // The connection may end by a reset, since more was sent than was read.
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the connection ends");
    let (mut rest, mut said, mut streams) = (&answer[..], None, None);
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        if rest[3] == 7 && rest.len() >= 17 {
            said = Some(u32::from_be_bytes([rest[13], rest[14], rest[15], rest[16]]));
        }
        if rest[3] == 4 && rest.len() >= 9 + length {
            let setting = |s: &[u8]| (s[1], u32::from_be_bytes([s[2], s[3], s[4], s[5]]));
            streams = streams.or(rest[9..9 + length].chunks(6).map(setting).find(|s| s.0 == 3));
        }
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    assert_eq!(streams, Some((3, 128)), "so many streams at once");
    assert_eq!(said, Some(11), "told to calm down: {answer:?}");
    assert!(stable.seen() < 100, "the instance was spared: {}", stable.seen());
    assert_eq!(world.get("/").await.status, 200);
}
