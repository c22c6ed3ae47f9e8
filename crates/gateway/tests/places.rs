//! How many connections instances get, however many requests a client has open.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

use common::*;
use hyper_util::rt::{TokioExecutor, TokioIo};
use slipway_core::traffic::Endpoint;
use slipway_gateway::Tuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn requests_of_one_connection_do_not_take_all_connections_to_instances() {
    const MOST: usize = 4;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Requests that wait for an answer, now and at the most.
    let (waiting, highest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (release, released) = tokio::sync::watch::channel(false);
    let (now, most) = (waiting.clone(), highest.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (now, most, mut released) = (now.clone(), most.clone(), released.clone());
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.unwrap_or(0) > 0 {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    let _ = released.wait_for(|yes| *yes).await;
                    now.fetch_sub(1, SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    let tuning = Tuning { instance_connections: MOST, connect_timeout: PATIENCE, ..quick() };
    let world = World::start_with(tuning).await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = client.unwrap();
    tokio::spawn(connection);
    let ask = || {
        let mut sender = sender.clone();
        let request = http::Request::get("http://shop.local/").body(full("")).unwrap();
        tokio::spawn(async move { sender.send_request(request).await.unwrap().status() })
    };
    let asking: Vec<_> = (0..60).map(|_| ask()).collect();
    // Reported a quarter of a second after the first: time for all the others, if they could.
    world.counts("s", "as many as may are on their way", |r| r.assigned >= MOST as u64).await;
    until("they have arrived", || (waiting.load(SeqCst) >= MOST as u64).then_some(())).await;
    release.send_replace(true);
    for status in asking {
        assert_eq!(status.await.unwrap(), 200);
    }
    assert_eq!(highest.load(SeqCst), MOST as u64);
}

#[tokio::test]
async fn a_wait_for_a_place_is_not_the_versions_time() {
    const REQUESTS: u32 = 8;
    const TAKES: Duration = Duration::from_millis(150);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.unwrap_or(0) > 0 {
                    tokio::time::sleep(TAKES).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    let tuning = Tuning { instance_connections: 1, connect_timeout: PATIENCE, ..quick() };
    let world = Arc::new(World::start_with(tuning).await);
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    let began = Instant::now();
    let ask = |_| {
        let world = world.clone();
        tokio::spawn(async move { world.get("/").await.status })
    };
    for status in (0..REQUESTS).map(ask).collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), 200);
    }
    // They were answered one after another: with their waits they would come to some four times all of this, whoever stood
    // still meanwhile.
    let all = began.elapsed();
    let row = world.counts("s", "all", |row| row.attempts == u64::from(REQUESTS)).await;
    let sum: Duration = row.latency_us.iter().map(|(us, times)| Duration::from_micros(us * times)).sum();
    assert!(sum < all * 2, "{sum:?} of {all:?} in all: {:?}", row.latency_us);
}
