//! What HTTP/2 alone can do: calls of gRPC that are quiet for long, answers whose client grants no window, trailers.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use slipway_core::traffic::{Endpoint, Limits, Protocol};
use slipway_core::units::Millis;
use slipway_gateway::Tuning;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// An instance of HTTP/2: answers at once, late, or never, as the path says; and the trailers of the requests it had.
async fn instance() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, trailers) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let told = trailers.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = told.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let told = told.clone();
                async move {
                    let path = request.uri().path().to_string();
                    let came = request.into_body().collect().await;
                    let came = came.ok().and_then(|body| body.trailers().cloned()).unwrap_or_default();
                    told.lock().unwrap().extend(came.keys().map(|name| name.to_string()));
                    match &*path {
                        "/late" => tokio::time::sleep(Duration::from_millis(500)).await,
                        "/never" => std::future::pending().await,
                        _ => {}
                    }
                    let answer = http::Response::builder().header("content-type", "application/grpc");
                    Ok::<_, std::io::Error>(answer.header("grpc-status", "0").body(full("")).unwrap())
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, trailers)
}

async fn serve(address: SocketAddr, tuning: Tuning, limits: Limits) -> World {
    let world = World::start_with(tuning).await;
    let mut only = table(1, 0, &[], &[]);
    only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() }];
    (only.protocol, only.limits) = (Protocol::H2c, limits);
    world.publish(only.build()).await;
    world
}

async fn client(address: SocketAddr, window: u32) -> SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = Builder::new(TokioExecutor::new());
    let made = builder.initial_stream_window_size(window).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.unwrap();
    tokio::spawn(connection);
    sender
}

/// A body that comes as it is fed.
fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (feed, mut frames) = mpsc::channel::<Frame<Bytes>>(4);
    let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx).map(|next| next.map(Ok)));
    (feed, StreamBody::new(frames).boxed())
}

fn call(path: &str, limit: Option<&str>, body: Body) -> http::Request<Body> {
    let mut request =
        http::Request::post(format!("http://shop.local{path}")).header("content-type", "application/grpc");
    if let Some(limit) = limit {
        request = request.header("grpc-timeout", limit);
    }
    request.body(body).unwrap()
}

#[tokio::test]
async fn a_call_has_its_own_time_for_its_first_word_and_not_that_of_ordinary_requests() {
    let (address, _) = instance().await;
    let short = Limits { response: Millis(100), ..Limits::default() };
    let world = serve(address, quick(), short.clone()).await;
    let mut sender = client(world.address, 65_535).await;
    let status = |answer: http::Response<Incoming>| answer.headers()["grpc-status"].to_str().unwrap().to_string();
    for limit in [None, Some("1H")] {
        let late = sender.send_request(call("/late", limit, full("x"))).await.unwrap();
        assert_eq!(status(late), "0", "{limit:?}");
    }
    let row = world.counts("s", "both are counted", |r| r.attempts == 2).await;
    assert_eq!(row.failed, 0, "{row:?}");
    let never = sender.send_request(call("/never", Some("200m"), full("x"))).await.unwrap();
    assert_eq!(status(never), "4", "DEADLINE_EXCEEDED, by the call's own");
    let world = serve(address, quick(), Limits { drain_long: Millis(200), ..short }).await;
    let never = client(world.address, 65_535).await.send_request(call("/never", None, full("x"))).await.unwrap();
    assert_eq!(status(never), "4", "by the limit of what goes on for long");
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!(row.failed, 1, "{row:?}");
}

#[tokio::test]
async fn a_call_whose_first_byte_does_not_come_is_given_up() {
    let (address, _) = instance().await;
    // The first byte of one that begins follows its head within it, also on a machine that stands still for a while.
    let idle = Duration::from_millis(2_500);
    let world = serve(address, Tuning { body_idle: idle, ..quick() }, Limits::default()).await;
    let mut sender = client(world.address, 65_535).await;
    let (_feed, body) = fed();
    let answer = sender.send_request(call("/", None, body)).await.unwrap();
    assert_eq!(answer.headers()["grpc-message"], "the request's body stopped coming");
    // One that has begun may be quiet for as long as both like.
    let (feed, body) = fed();
    feed.send(Frame::data("x".into())).await.unwrap();
    let quiet = async {
        tokio::time::sleep(idle * 2).await;
        drop(feed);
    };
    let (answer, ()) = tokio::join!(sender.send_request(call("/", None, body)), quiet);
    assert_eq!(answer.unwrap().headers()["grpc-status"], "0");
}

#[tokio::test]
async fn trailers_of_a_request_do_not_say_who_the_client_is() {
    let (address, trailers) = instance().await;
    let world = serve(address, quick(), Limits::default()).await;
    let (feed, body) = fed();
    feed.send(Frame::data("x".into())).await.unwrap();
    let mut said = http::HeaderMap::new();
    for name in ["x-forwarded-for", "x_forwarded_host", "forwarded", "via", "slipway-synthetic", "x-checksum"] {
        said.insert(name, "1".parse().unwrap());
    }
    feed.send(Frame::trailers(said)).await.unwrap();
    drop(feed);
    let answer = client(world.address, 65_535).await.send_request(call("/", None, body)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(*trailers.lock().unwrap(), ["x-checksum"]);
}

#[tokio::test]
async fn an_answer_that_no_window_is_granted_to_is_let_go_alone() {
    let stable = Instance::start("s1").await;
    let world = World::start_with(Tuning { write_idle: Duration::from_millis(200), ..quick() }).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let get = |path: &str| http::Request::get(format!("http://shop.local{path}")).body(full("")).unwrap();
    // Without any window, and with one that the client does not renew.
    for (window, attempts) in [(0, 1), (50, 3)] {
        let mut sender = client(world.address, window).await;
        let untaken = sender.send_request(get("/download")).await.unwrap();
        let row = world.counts("s", "it is let go", |r| r.attempts == attempts).await;
        assert_eq!((row.failed, row.failed_by_slipway), (0, 0), "{row:?}");
        assert_eq!(sender.send_request(get("/nothing")).await.unwrap().status(), 204, "the connection goes on");
        let mut body = untaken.into_body();
        let end = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_some_and(|end| end.is_err()), "it is not taken for whole");
    }
}
