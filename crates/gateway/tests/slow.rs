//! Clients that take their time: who sends too little of a body, who does not read, who is one too many.

mod common;
#[path = "common/secure.rs"]
mod secure;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use secure::{address, put, secure_with, shake};
use slipway_core::traffic::Endpoint;
use slipway_gateway::Tuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn to_the_end(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const HEAD: &[u8] = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let stable = Instance::start("s1").await;
    let world = World::start_with(Tuning { body_idle: Duration::from_millis(80), ..quick() }).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    // An instance that answers only when it has all of it.
    let begun = String::from_utf8_lossy(HEAD).replace("/echo", "/silent") + "a few bytes";
    client.write_all(begun.as_bytes()).await.unwrap();
    let answer = to_the_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let row = world.counts("s", "it was assigned", |r| r.assigned == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "a client's doing is nobody's failure");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_and_one_that_comes_fast_enough_is_not() {
    let stable = Instance::start("s1").await;
    let grace = Duration::from_millis(400);
    let world = World::start_with(Tuning { body_grace: grace, body_rate: 400, ..quick() }).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(&String::from_utf8_lossy(HEAD).replace("/echo", "/silent").into_bytes()).await.unwrap();
    let (mut reads, mut writes) = client.split();
    let mut answer = [0; 16];
    let read = async {
        reads.read_exact(&mut answer).await.unwrap();
    };
    let trickle = async {
        // A byte each 5 ms is never idle.
        while writes.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = read => {}
        () = trickle => {}
        () = tokio::time::sleep(PATIENCE) => panic!("it is never given up"),
    }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));

    let mut client = TcpStream::connect(world.address).await.unwrap();
    // What comes with the head is enough for seconds in which nothing comes, as on a machine that stands still.
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 30000\r\n\r\n";
    client.write_all(format!("{head}{}", "x".repeat(10_000)).as_bytes()).await.unwrap();
    // Longer than the grace.
    for _ in 0..20 {
        tokio::time::sleep(grace / 10).await;
        client.write_all(&[b'x'; 1_000]).await.unwrap();
    }
    let answer = to_the_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.len() > 30_000, "{answer}");
}

/// What an HTTP/2 client is answered that sends a part of its body, and from then on a byte each 5 ms, or none.
async fn answered_by_two<S>(stream: S, trickles: bool) -> u16
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = made.unwrap();
    tokio::spawn(connection);
    let (feed, body) = tokio::sync::mpsc::channel::<Bytes>(1);
    let sent = tokio::spawn(async move {
        while feed.send(Bytes::from_static(b"x")).await.is_ok() && trickles {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::future::pending::<()>().await;
        drop(feed);
    });
    // An instance that answers only when it has all of it.
    let request = http::Request::post("http://shop.local/silent").header("content-length", "1000");
    let body = Fed { body, ends_badly: false }.boxed();
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request.body(body).unwrap())).await;
    sent.abort();
    answer.expect("it is given up").unwrap().status().as_u16()
}

#[tokio::test]
async fn a_body_that_stops_coming_or_trickles_by_http_2_is_given_up_without_tls_and_with_it() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "shop", &["shop.local"], 30);
    let stable = Instance::start("s1").await;
    let idle = Tuning { body_idle: Duration::from_millis(80), ..quick() };
    let rate = Tuning { body_grace: Duration::from_millis(100), body_rate: 4_000, ..quick() };
    for (trickles, tuning) in [(false, idle), (true, rate)] {
        let world = secure_with(folder.path(), tuning).await;
        world.publish(table(1, 0, &[&stable], &[]).build()).await;
        let plain = TcpStream::connect(world.address).await.unwrap();
        assert_eq!(answered_by_two(plain, trickles).await, 408, "trickles: {trickles}");
        let shaken = shake(&world, "shop.local", &["h2"], rustls::ALL_VERSIONS).await;
        assert_eq!(answered_by_two(shaken, trickles).await, 408, "by TLS, trickles: {trickles}");
        let row = world.counts("s", "they were assigned", |r| r.assigned == 2).await;
        assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "a client's doing is nobody's failure");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_and_so_is_one_that_nothing_follows() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "shop", &["shop.local"], 30);
    let stable = Instance::start("s1").await;
    // A handshake comes to its end within it on a slow machine, too.
    let tuning = Tuning { header_timeout: Duration::from_secs(4), ..quick() };
    let world = secure_with(folder.path(), tuning).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    // Nothing, and the head of a record that promises a hello of 512 bytes.
    let unended = async |begun: &[u8]| {
        let mut client = TcpStream::connect(address(&world)).await.unwrap();
        client.write_all(begun).await.unwrap();
        assert_eq!(to_the_end(&mut client).await, "", "it is closed without a word");
    };
    let unfollowed = async |protocol: &str| {
        let mut shaken = shake(&world, "shop.local", &[protocol], rustls::ALL_VERSIONS).await;
        let mut rest = Vec::new();
        // Without a close_notify: whoever says nothing is told nothing.
        let _ = tokio::time::timeout(PATIENCE, shaken.read_to_end(&mut rest)).await.expect("the connection is closed");
        assert!(rest.is_empty(), "{protocol}: {rest:?}");
    };
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    tokio::join!(unended(b""), unended(hello), unfollowed("http/1.1"), unfollowed("h2"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up_at_once_or_behind_a_whole_request() {
    let stable = Instance::start("s1").await;
    let world = World::start_with(Tuning { header_timeout: Duration::from_secs(3), ..quick() }).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let answers = async |before: &str| {
        let mut client = TcpStream::connect(world.address).await.unwrap();
        client.write_all(format!("{before}GET / HTTP/1.1\r\nhost: a\r\nx-").as_bytes()).await.unwrap();
        to_the_end(&mut client).await.matches("HTTP/1.1 200 ").count()
    };
    assert_eq!(tokio::join!(answers(""), answers("GET / HTTP/1.1\r\nhost: a\r\n\r\n")), (0, 1));
}

#[tokio::test]
async fn a_head_in_many_pieces_is_answered() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.set_nodelay(true).unwrap();
    for byte in b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = to_the_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// An instance that answers every request with more than any buffer holds, and says when that broke off.
async fn generous() -> (std::net::SocketAddr, tokio::sync::mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (told, broke_off)) = (listener.local_addr().unwrap(), tokio::sync::mpsc::channel(1));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
                while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
                let _ = told.send(()).await;
            });
        }
    });
    (address, broke_off)
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_is_nobodys_failure() {
    let (address, mut broke_off) = generous().await;
    let world = World::start_with(Tuning { write_idle: Duration::from_millis(100), ..quick() }).await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::timeout(PATIENCE, broke_off.recv()).await.expect("the instance is let go").unwrap();
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (0, 0));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_rest_go_on() {
    let stable = Instance::start("s1").await;
    let world = World::start_with(Tuning { connections: 2, ..quick() }).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let (mut one, mut two) = (Client::to(world.address).await, Client::to(world.address).await);
    assert_eq!((one.get("/", &[]).await.status, two.get("/", &[]).await.status), (200, 200));
    let mut third = TcpStream::connect(world.address).await.unwrap();
    third.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = to_the_end(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("error=connection_limit_reached"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    assert_eq!((one.get("/", &[]).await.status, two.get("/", &[]).await.status), (200, 200));
    drop(two);
    // As soon as there is a place.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut next = TcpStream::connect(world.address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        if to_the_end(&mut next).await.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "no place becomes free");
    }
}
