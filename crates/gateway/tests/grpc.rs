//! HTTP/2 and gRPC through the gateway: real gRPC clients and servers (tonic) on both sides, and clients of HTTP/2 before
//! instances of HTTP/1.1.

mod common;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use common::*;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use slipway_core::traffic::{Endpoint, Limits, Protocol, Sticky};
use slipway_core::units::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Service, tokio_stream};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages as they are, so that no schema has to be compiled.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Messages = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, Status>> + Send>>;

/// A gRPC service: `Say` answers its name, or the status that it is asked for; `Chat` answers every message.
#[derive(Clone)]
struct Echo {
    name: String,
    seen: Arc<AtomicU64>,
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Boxed<Result<Response<Bytes>, Status>>;
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.seen.fetch_add(1, SeqCst);
        let name = self.name.clone();
        Box::pin(async move {
            let te = request.metadata().get("te").is_some();
            let told = request.metadata().get("x-forwarded-proto").map(|v| v.to_str().unwrap().to_string());
            let text = String::from_utf8_lossy(request.get_ref()).into_owned();
            if let Some(code) = text.strip_prefix("status ") {
                return Err(Status::new(Code::from(code.parse::<i32>().unwrap()), "as asked"));
            }
            if text == "never" {
                std::future::pending::<()>().await;
            }
            let mut response = Response::new(Bytes::from(format!("{name}: {text}")));
            response.metadata_mut().insert("x-te", te.to_string().parse().unwrap());
            response.metadata_mut().insert("x-proto", told.unwrap_or_default().parse().unwrap());
            Ok(response)
        })
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Boxed<Result<Response<Messages>, Status>>;
    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        self.seen.fetch_add(1, SeqCst);
        let name = self.name.clone();
        Box::pin(async move {
            let answered = request.into_inner().map(move |message| {
                let text = String::from_utf8_lossy(&message?).into_owned();
                if text == "break" {
                    Err(Status::data_loss("as asked"))
                } else {
                    Ok(Bytes::from(format!("{name}: {text}")))
                }
            });
            Ok(Response::new(Box::pin(answered) as Messages))
        })
    }
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = Boxed<Result<Self::Response, Self::Error>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw);
            Ok(match request.uri().path() {
                "/test.Echo/Say" => grpc.unary(service, request).await,
                _ => grpc.streaming(service, request).await,
            })
        })
    }
}

/// A real gRPC server, on a runtime of its own so that all of it ends with it.
struct Called {
    name: String,
    address: SocketAddr,
    seen: Arc<AtomicU64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Called {
    fn start(name: &str) -> Called {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let echo = Echo { name: name.into(), seen: seen.clone() };
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            Server::builder().add_service(echo).serve_with_incoming(incoming).await.unwrap();
        });
        Called { name: name.into(), address, seen, runtime: Some(runtime) }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.name.parse().unwrap(), incarnation: 1, address: self.address.into() }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(|runtime| runtime.shutdown_background());
    }
}

fn called(generation: u64, weight_bp: u16, stable: &[&Called], candidate: &[&Called]) -> TableOf {
    let mut table = table(generation, weight_bp, &[], &[]);
    table.stable = stable.iter().map(|c| c.endpoint()).collect();
    table.candidate = candidate.iter().map(|c| c.endpoint()).collect();
    table.protocol = Protocol::H2c;
    table
}

/// A real gRPC client of the gateway's plain port.
async fn channel(world: &World) -> tonic::client::Grpc<Channel> {
    let channel = Channel::from_shared(format!("http://{}", world.address)).unwrap().connect().await.unwrap();
    tonic::client::Grpc::new(channel)
}

async fn say(grpc: &mut tonic::client::Grpc<Channel>, text: &str, user: &str) -> Result<Response<Bytes>, Status> {
    grpc.ready().await.unwrap();
    let mut request = Request::new(Bytes::from(text.to_string()));
    request.metadata_mut().insert("x-user", user.parse().unwrap());
    grpc.unary(request, "/test.Echo/Say".parse().unwrap(), Raw).await
}

#[tokio::test]
async fn a_call_goes_through_and_its_status_decides_what_it_counts_for() {
    let stable = Called::start("s1");
    let world = World::start().await;
    world.publish(called(1, 0, &[&stable], &[]).build()).await;
    let mut grpc = channel(&world).await;
    let reply = say(&mut grpc, "hello", "ann").await.unwrap();
    assert_eq!(reply.get_ref(), "s1: hello");
    let told = |name: &str| reply.metadata().get(name).map(|v| v.to_str().unwrap().to_string());
    assert_eq!((told("x-te").as_deref(), told("x-proto").as_deref()), (Some("true"), Some("http")));
    for code in [1, 3, 5, 7, 8, 9, 16, 2, 13, 14] {
        let status = say(&mut grpc, &format!("status {code}"), &format!("user {code}")).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::from(code), "as asked"), "{status:?}");
    }
    let row = world.counts("s", "all are counted", |r| r.attempts == 11).await;
    assert_eq!(
        (row.assigned, row.failed, row.failed_by_slipway),
        (11, 3, 0),
        "UNKNOWN, INTERNAL and UNAVAILABLE failed"
    );
    assert!(world.hub.gateways()[0].ejected.is_empty());
}

#[tokio::test]
async fn a_stream_goes_both_ways_at_once_and_stays_where_it_is_across_a_switch() {
    let (stable, candidate) = (Called::start("s1"), Called::start("c1"));
    let world = World::start().await;
    let limits = Limits { drain: Millis(50), ..Limits::default() };
    let mut on = called(1, 10_000, &[&stable], &[&candidate]);
    on.limits = limits.clone();
    world.publish(on.build()).await;
    let mut grpc = channel(&world).await;
    grpc.ready().await.unwrap();
    let (say, said) = tokio::sync::mpsc::channel::<Bytes>(1);
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let answer = grpc.streaming(Request::new(said), "/test.Echo/Chat".parse().unwrap(), Raw).await.unwrap();
    let mut heard = answer.into_inner();
    for i in 0..3 {
        say.send(Bytes::from(format!("{i}"))).await.unwrap();
        assert_eq!(heard.next().await.unwrap().unwrap(), format!("c1: {i}"));
    }
    let mut off = called(2, 0, &[&stable], &[&candidate]);
    off.limits = limits;
    world.publish(off.build()).await;
    // An ordinary request's drain limit is over several times before this is through.
    for i in 3..30 {
        say.send(Bytes::from(format!("{i}"))).await.unwrap();
        assert_eq!(heard.next().await.unwrap().unwrap(), format!("c1: {i}"));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    say.send(Bytes::from("break")).await.unwrap();
    assert_eq!(heard.next().await.unwrap().unwrap_err().code(), Code::DataLoss);
    let row = world.counts("c", "it counts at its end", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0));
}

#[tokio::test]
async fn what_the_gateway_says_itself_is_a_status() {
    let stable = Called::start("s1");
    let world = World::start().await;
    let mut grpc = channel(&world).await;
    let status = say(&mut grpc, "hello", "ann").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the gateway has not been told any routes yet"));
    let why = status.metadata().get("proxy-status").map(|v| v.to_str().unwrap().to_string()).unwrap_or_default();
    assert!(why.contains("error=destination_unavailable"), "{status:?}");
    let mut small = called(1, 0, &[&stable], &[]);
    small.limits = Limits { body_bytes: 100, response: Millis(100), drain_long: Millis(100), ..Limits::default() };
    world.publish(small.build()).await;
    assert_eq!(say(&mut grpc, &"x".repeat(1000), "ann").await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(say(&mut grpc, "never", "ann").await.unwrap_err().code(), Code::DeadlineExceeded);
    let row = world.counts("s", "the silence is the version's", |r| r.failed == 1).await;
    assert_eq!(row.failed_by_slipway, 0);
    let mut dead = called(2, 0, &[], &[]);
    dead.stable =
        vec![Endpoint { instance: "s2".parse().unwrap(), incarnation: 1, address: dead_address().await.into() }];
    world.publish(dead.build()).await;
    assert_eq!(say(&mut grpc, "hello", "ann").await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_user_stays_on_a_version_and_calls_are_counted_for_it() {
    let (stable, candidate) = (Called::start("s1"), Called::start("c1"));
    let world = World::start().await;
    let mut split = called(1, 5_000, &[&stable], &[&candidate]);
    split.sticky = Sticky { cookie: None, header: Some("x-user".into()) };
    world.publish(split.build()).await;
    let mut grpc = channel(&world).await;
    let mut first = Vec::new();
    for round in 0..3 {
        for user in 0..20 {
            let reply = say(&mut grpc, "x", &format!("user {user}")).await.unwrap().into_inner();
            if round == 0 { first.push(reply) } else { assert_eq!(first[user], reply) }
        }
    }
    let c = world.counts("c", "all are counted", |r| r.attempts == candidate.seen.load(SeqCst)).await;
    let s = world.counts("s", "all are counted", |r| r.attempts == stable.seen.load(SeqCst)).await;
    assert_eq!((c.assigned + s.assigned, c.failed + s.failed), (60, 0));
    assert!(c.assigned > 0 && s.assigned > 0, "{c:?} {s:?}");
    drop(candidate);
    until("the candidate is gone", || std::net::TcpStream::connect(split.candidate[0].address.to_string()).err()).await;
    for user in 0..20 {
        assert_eq!(say(&mut grpc, "x", &format!("user {user}")).await.unwrap().get_ref(), "s1: x", "stable takes over");
    }
}

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
