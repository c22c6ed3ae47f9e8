//! Whose doing it is that a request comes to nothing while both sides still speak: the client's, the instance's, or nobody's.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use slipway_core::traffic::{Endpoint, Limits};
use slipway_core::units::Millis;
use slipway_gateway::Tuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What an instance does once it has read a request's head.
#[derive(Clone, Copy)]
enum Does {
    /// Answers these bytes, and reads on.
    Says(&'static [u8]),
    /// Reads nothing more.
    Stops,
    /// Answers once this many bytes of a body have come.
    Waits(usize),
}

/// An instance by hand, and what became of its connections.
struct ByHand {
    address: SocketAddr,
    closed: Arc<Mutex<usize>>,
}

impl ByHand {
    async fn start(does: Does) -> ByHand {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, closed) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
        let told = closed.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move {
                    let _ = attend(&mut stream, does).await;
                    *told.lock().unwrap() += 1;
                });
            }
        });
        ByHand { address, closed }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: self.address.into() }
    }

    fn closed(&self) -> usize {
        *self.closed.lock().unwrap()
    }
}

async fn attend(stream: &mut TcpStream, does: Does) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    match does {
        Does::Says(answer) => stream.write_all(answer).await?,
        Does::Stops => std::future::pending().await,
        Does::Waits(mut left) => {
            while left > 0 {
                let mut bytes = [0; 4096];
                left = left.saturating_sub(stream.read(&mut bytes).await?);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    }
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

async fn serve(instance: &ByHand, tuning: Tuning, limits: Limits) -> World {
    let world = World::start_with(tuning).await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![instance.endpoint()];
    only.limits = limits;
    world.publish(only.build()).await;
    world
}

/// Reads until the text has come.
async fn hear(client: &mut TcpStream, text: &str) -> String {
    let mut heard = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&heard).contains(text) {
            let mut bytes = [0; 4096];
            match client.read(&mut bytes).await {
                Ok(n @ 1..) => heard.extend_from_slice(&bytes[..n]),
                _ => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it is said");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Reads to the end, however the connection ends.
async fn to_the_end(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // It may end by a reset.
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// When an answer has come on a machine that stands still for a while, too.
const SOON: Millis = Millis(2_500);
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nso far";

#[tokio::test]
async fn what_a_client_does_wrong_after_the_answer_has_begun_is_no_failure_of_the_version() {
    let instance = ByHand::start(Does::Says(BEGUN)).await;
    let world = serve(&instance, quick(), Limits { body_bytes: 100, ..Limits::default() }).await;
    let too_much = format!("80\r\n{}\r\n", "x".repeat(128));
    let wrongs = ["no chunk\r\n", &*too_much, ""];
    for (number, wrong) in wrongs.into_iter().enumerate() {
        let mut client = TcpStream::connect(world.address).await.unwrap();
        client.write_all(CHUNKED.as_bytes()).await.unwrap();
        assert!(hear(&mut client, "so far").await.starts_with("HTTP/1.1 200 "));
        client.write_all(wrong.as_bytes()).await.unwrap();
        if wrong.is_empty() {
            client.shutdown().await.unwrap();
        }
        to_the_end(&mut client).await;
        let row = world.counts("s", "it is counted", |r| r.attempts == number as u64 + 1).await;
        assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "{wrong:?}: {row:?}");
    }
}

#[tokio::test]
async fn an_instance_that_waits_for_the_client_in_the_middle_of_its_answer_is_not_silent() {
    let instance = ByHand::start(Does::Says(BEGUN)).await;
    let limits = Limits { response: SOON, ..Limits::default() };
    let pause = SOON.as_duration() * 6 / 5;
    let world = serve(&instance, Tuning { body_idle: pause * 2, ..quick() }, limits).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(CHUNKED.as_bytes()).await.unwrap();
    hear(&mut client, "so far").await;
    // It goes on within its own limit, when the instance's is over.
    for _ in 0..2 {
        tokio::time::sleep(pause).await;
        client.write_all(b"5\r\nagain\r\n").await.expect("the connection goes on");
    }
    // And then no more: that is the client's doing, also where the instance would have gone on.
    to_the_end(&mut client).await;
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "{row:?}");
    until("the instance is let go", || (instance.closed() == 1).then_some(())).await;
}

#[tokio::test]
async fn an_instance_that_stops_reading_a_request_has_failed() {
    let instance = ByHand::start(Does::Stops).await;
    let world = serve(&instance, quick(), Limits { response: Millis(300), ..Limits::default() }).await;
    let (mut read, mut write) = TcpStream::connect(world.address).await.unwrap().into_split();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n").await;
        // It is hung up on before all of it is taken.
        while write.write_all(&[b'x'; 65_536]).await.is_ok() {}
    });
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, read.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 504");
    writing.abort();
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0), "{row:?}");
}

#[tokio::test]
async fn a_client_that_pauses_has_its_own_limit_and_not_the_instances() {
    let instance = ByHand::start(Does::Waits(10)).await;
    let world = serve(&instance, quick(), Limits { response: SOON, ..Limits::default() }).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await.unwrap();
    // Twice as long as the instance may take.
    tokio::time::sleep(SOON.as_duration() * 2).await;
    client.write_all(b"world").await.unwrap();
    let answer = hear(&mut client, "ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_coming_after_the_answer_is_given_up() {
    let nope = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\n\r\nnope";
    let instance = ByHand::start(Does::Says(nope)).await;
    let tuning = Tuning { body_idle: SOON.as_duration(), ..quick() };
    let world = serve(&instance, tuning, Limits::default()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhello").await.unwrap();
    let answer = to_the_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("nope"), "{answer}");
    until("the instance is let go", || (instance.closed() == 1).then_some(())).await;
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "{row:?}");
}

#[tokio::test]
async fn who_calls_himself_grpc_has_limits_all_the_same_where_the_service_speaks_http_1() {
    let grpc = "content-type: application/grpc\r\n";
    // A body that never comes.
    let instance = ByHand::start(Does::Waits(10)).await;
    let tuning = Tuning { body_idle: Duration::from_millis(80), ..quick() };
    // Its own limit is the one that is over.
    let patient = Limits { response: SOON, ..Limits::default() };
    let world = serve(&instance, tuning.clone(), patient).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{grpc}content-length: 10\r\n\r\nhello");
    client.write_all(head.as_bytes()).await.unwrap();
    let answer = hear(&mut client, "grpc-status").await;
    assert!(answer.contains("the request's body stopped coming"), "{answer}");
    // An answer that falls silent.
    let instance = ByHand::start(Does::Says(BEGUN)).await;
    let world = serve(&instance, tuning, Limits { response: Millis(100), ..Limits::default() }).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{grpc}\r\n").as_bytes()).await.unwrap();
    to_the_end(&mut client).await;
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0), "{row:?}");
}

#[tokio::test]
async fn a_drain_limit_cuts_what_began_before_it_and_not_what_stable_got_instead_since() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    let limits = Limits { drain: Millis(700), ..Limits::default() };
    let mut on = table(1, 0, &[&stable], &[]);
    on.limits = limits.clone();
    world.publish(on.build()).await;
    let address = world.address;
    let ask = |path: &'static str| tokio::spawn(async move { Client::to(address).await.get(path, &[]).await });
    let before = ask("/silent");
    until("it has arrived", || (stable.seen() == 1).then_some(())).await;
    // Nothing is to go to stable any more, and the candidate has no instance: all of it does.
    let mut off = table(2, 10_000, &[&stable], &[]);
    off.limits = limits;
    world.publish(off.build()).await;
    let mut client = Client::to(world.address).await;
    let mut since = client.send(request("GET", "/download", &[], "")).await.unwrap().into_body();
    assert_eq!(before.await.unwrap().status, 502, "its time is over");
    // More than had come by then.
    for _ in 0..150 {
        let frame = http_body_util::BodyExt::frame(&mut since).await.expect("it goes on");
        assert!(frame.is_ok(), "{frame:?}");
    }
}
