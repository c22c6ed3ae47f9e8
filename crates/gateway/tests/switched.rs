//! Connections that change to another protocol, and offers to do so.

mod common;

use std::time::Duration;

use common::*;
use slipway_core::traffic::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// More than sockets hold.
const WORDS: usize = 24 << 20;

#[tokio::test]
async fn what_a_client_says_after_the_instance_has_said_its_last_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, mut hears) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: words\r\n\r\n";
        stream.write_all(agreed).await.unwrap();
        stream.shutdown().await.unwrap();
        // It takes its time, so that what the client says does not fit where it waits.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut words = Vec::new();
        stream.read_to_end(&mut words).await.unwrap();
        heard.send(words.len()).await.unwrap();
    });
    let world = World::start().await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let asks = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: words\r\n\r\n";
    client.write_all(asks).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("its last word").unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    client.write_all(&vec![b'x'; WORDS]).await.unwrap();
    client.shutdown().await.unwrap();
    let words = tokio::time::timeout(PATIENCE, hears.recv()).await.expect("the client is heard to its end");
    assert_eq!(words, Some(WORDS));
}

#[tokio::test]
async fn an_offer_of_http_2_beside_another_is_left_out() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let headers = [("connection", "upgrade"), ("upgrade", "h2c, words, H2"), ("http2-settings", "AAMAAABkAAQAAP__")];
    let seen = Client::to(world.address).await.get("/headers", &headers).await.body;
    assert!(seen.lines().any(|line| line == "upgrade: words"), "{seen}");
    assert!(!seen.contains("http2-settings") && !seen.contains("h2"), "{seen}");
    let headers = [("connection", "upgrade"), ("upgrade", "h2c,h2"), ("http2-settings", "AAMAAABkAAQAAP__")];
    let mut client = Client::to(world.address).await;
    let seen = client.get("/headers", &headers).await.body;
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
    assert_eq!(client.get("/", &[]).await.status, 200, "nothing was agreed to: the connection goes on");
}
