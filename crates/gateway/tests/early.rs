//! Instances that answer before they have read all of a request, and hang up with the rest unread: what they said reaches the
//! client, and is counted as what it is.

mod common;

use std::net::SocketAddr;

use common::*;
use slipway_core::traffic::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads a request's head and a little, answers, and hangs up: with bytes unread that is a reset.
async fn hasty(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                // Something of the body is there, and stays unread.
                stream.readable().await?;
                stream.write_all(answer.as_bytes()).await
            });
        }
    });
    address
}

/// What comes back for a request with a body of this length, of which so much is sent.
async fn post(world: &World, length: usize, sent: usize) -> String {
    let (mut read, mut write) = TcpStream::connect(world.address).await.unwrap().into_split();
    let head =
        format!("POST /login HTTP/1.1\r\nhost: shop.local\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let writing = tokio::spawn(async move {
        let whole = [head.as_bytes(), &vec![b'x'; sent]].concat();
        // It is hung up on before all of it is taken.
        let _ = write.write_all(&whole).await;
        write
    });
    let mut said = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&said).contains("nope") {
            let mut bytes = [0; 4096];
            match read.read(&mut bytes).await {
                Ok(n @ 1..) => said.extend_from_slice(&bytes[..n]),
                _ => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer");
    writing.abort();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_read_is_passed_on_and_no_failure() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope",
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\nnope",
    ] {
        let address = hasty(answer).await;
        let world = World::start().await;
        let mut only = table(1, 0, &[], &[]);
        only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
        world.publish(only.build()).await;
        let mut asked = 0;
        // The last of them sends a part and then nothing more: that does not hold up the answer.
        for (length, sent) in [(8 << 20, 8 << 20), (8 << 20, 8 << 20), (1 << 20, 1 << 20), (8 << 20, 512 << 10)] {
            for _ in 0..5 {
                let said = post(&world, length, sent).await;
                assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("nope"), "{length}, {sent}: {said}");
                assert!(!said.contains("proxy-status"), "{said}");
                asked += 1;
            }
        }
        let row = world.counts("s", "all are counted", |r| r.attempts == asked).await;
        assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "{row:?}");
    }
}

#[tokio::test]
async fn whoever_hangs_up_on_a_request_without_an_answer_has_failed() {
    let address = hasty("").await;
    let world = World::start().await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    world.publish(only.build()).await;
    let said = post(&world, 8 << 20, 8 << 20).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 502 "), "{said}");
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!(row.failed, 1, "{row:?}");
}
