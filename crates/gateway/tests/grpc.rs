//! gRPC through the gateway: real clients and servers (tonic) on both sides.

mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/secure.rs"]
mod secure;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::task::{Context, Poll};

use bytes::Bytes;
use common::*;
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use raw::Raw;
use secure::{put, secure, shake};
use slipway_core::traffic::{Endpoint, Limits, Protocol, Sticky};
use slipway_core::units::Millis;
use tokio::net::TcpListener;
use tonic::codegen::{Service, tokio_stream};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{
    ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService,
};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Messages = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, Status>> + Send>>;

/// A gRPC service: `Say` answers its name, or the status that it is asked for; `Chat` answers every message, and says how many
/// there were in its trailers; `Tell` answers one message with as many as it asks for, `Gather` many with all of them at once.
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
            let mut heard = 0;
            let answered = request.into_inner().map(move |message| {
                let text = String::from_utf8_lossy(&message?).into_owned();
                heard += 1;
                match text.as_str() {
                    "break" => Err(ended(Code::DataLoss, heard)),
                    // A stream that ends well, with more than its status in the trailers.
                    "end" => Err(ended(Code::Ok, heard)),
                    _ => Ok(Bytes::from(format!("{name}: {text}"))),
                }
            });
            Ok(Response::new(Box::pin(answered) as Messages))
        })
    }
}

/// What a stream ends with.
fn ended(code: Code, heard: u64) -> Status {
    let mut trailers = MetadataMap::new();
    trailers.insert("x-heard", heard.to_string().parse().unwrap());
    trailers.insert_bin("x-heard-bin", MetadataValue::from_bytes(&[0, 255, heard as u8]));
    Status::with_metadata(code, "as asked", trailers)
}

impl ServerStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Boxed<Result<Response<Messages>, Status>>;
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.seen.fetch_add(1, SeqCst);
        let name = self.name.clone();
        Box::pin(async move {
            let wanted: u64 = String::from_utf8_lossy(request.get_ref()).parse().unwrap();
            let told = (0..wanted).map(move |n| Ok(Bytes::from(format!("{name}: {n}"))));
            Ok(Response::new(Box::pin(tokio_stream::iter(told)) as Messages))
        })
    }
}

impl ClientStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Boxed<Result<Response<Bytes>, Status>>;
    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        self.seen.fetch_add(1, SeqCst);
        let name = self.name.clone();
        Box::pin(async move {
            let (mut messages, mut all) = (request.into_inner(), format!("{name}:"));
            while let Some(message) = messages.message().await? {
                all.push_str(&format!(" {}", String::from_utf8_lossy(&message)));
            }
            Ok(Response::new(Bytes::from(all)))
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
                "/test.Echo/Tell" => grpc.server_streaming(service, request).await,
                "/test.Echo/Gather" => grpc.client_streaming(service, request).await,
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
    _port: Port,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Called {
    fn start(name: &str) -> Called {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let port = Port::new();
        let listener = port.listen().into_std().unwrap();
        let (address, seen) = (port.address, Arc::new(AtomicU64::new(0)));
        let echo = Echo { name: name.into(), seen: seen.clone() };
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            Server::builder().add_service(echo).serve_with_incoming(incoming).await.unwrap();
        });
        Called { name: name.into(), address, seen, _port: port, runtime: Some(runtime) }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.name.parse().unwrap(), incarnation: 1, address: self.address.into() }
    }
}

impl Drop for Called {
    /// Afterwards it has ended, and its connections with it.
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        // No runtime is dropped where another one runs.
        let _ = std::thread::spawn(move || drop(runtime)).join();
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

/// A real gRPC client of the gateway's TLS port.
async fn secure_channel(world: &World) -> tonic::client::Grpc<Channel> {
    let shaken = shake(world, "shop.local", &["h2"], rustls::ALL_VERSIONS).await;
    let shaken = Arc::new(std::sync::Mutex::new(Some(TokioIo::new(shaken))));
    let connect = tower::service_fn(move |_: http::Uri| {
        let taken = shaken.lock().unwrap().take();
        async move { taken.ok_or_else(|| std::io::Error::other("one connection is enough")) }
    });
    let channel = Channel::from_static("https://shop.local").connect_with_connector(connect).await.unwrap();
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
async fn every_kind_of_call_goes_through_with_its_own_trailers_without_tls_and_with_it() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "shop", &["shop.local"], 30);
    let stable = Called::start("s1");
    let world = secure(folder.path()).await;
    world.publish(called(1, 0, &[&stable], &[]).build()).await;
    for (mut grpc, proto) in [(channel(&world).await, "http"), (secure_channel(&world).await, "https")] {
        let reply = say(&mut grpc, "hello", "ann").await.unwrap();
        assert_eq!(reply.get_ref(), "s1: hello");
        assert_eq!(reply.metadata().get("x-proto").unwrap(), proto);

        let path = |method: &str| format!("/test.Echo/{method}").parse().unwrap();
        grpc.ready().await.unwrap();
        let told = grpc.server_streaming(Request::new(Bytes::from("500")), path("Tell"), Raw).await.unwrap();
        let told: Vec<Bytes> = told.into_inner().map(|message| message.unwrap()).collect().await;
        assert_eq!(told, (0..500).map(|n| Bytes::from(format!("s1: {n}"))).collect::<Vec<_>>());

        grpc.ready().await.unwrap();
        let parts = tokio_stream::iter((0..500).map(|n| Bytes::from(n.to_string())));
        let gathered = grpc.client_streaming(Request::new(parts), path("Gather"), Raw).await.unwrap().into_inner();
        let all: Vec<String> = (0..500).map(|n: u64| n.to_string()).collect();
        assert_eq!(gathered, format!("s1: {}", all.join(" ")));

        for (last, code) in [("end", None), ("break", Some(Code::DataLoss))] {
            grpc.ready().await.unwrap();
            let said = tokio_stream::iter(["a", "b", last].map(Bytes::from));
            let mut heard = grpc.streaming(Request::new(said), path("Chat"), Raw).await.unwrap().into_inner();
            for expected in ["s1: a", "s1: b"] {
                assert_eq!(heard.message().await.unwrap().unwrap(), expected);
            }
            let trailers = match (heard.message().await, code) {
                (Ok(None), None) => heard.trailers().await.unwrap().expect("trailers"),
                (Err(status), Some(code)) => {
                    assert_eq!((status.code(), status.message()), (code, "as asked"));
                    status.metadata().clone()
                }
                other => panic!("{last}: {other:?}"),
            };
            assert_eq!(trailers.get("x-heard").unwrap(), "3", "{last}: {trailers:?}");
            assert_eq!(trailers.get_bin("x-heard-bin").unwrap().to_bytes().unwrap(), &[0, 255, 3][..]);
        }
    }
    let row = world.counts("s", "all are counted", |r| r.attempts == 10).await;
    assert_eq!((row.assigned, row.failed, row.failed_by_slipway), (10, 2, 0), "data loss is the version's");
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
    small.limits = Limits { body_bytes: 100, ..Limits::default() };
    world.publish(small.build()).await;
    assert_eq!(say(&mut grpc, &"x".repeat(1000), "ann").await.unwrap_err().code(), Code::ResourceExhausted);
    let mut brief = called(2, 0, &[&stable], &[]);
    brief.epoch = 1;
    brief.limits = Limits { response: Millis(100), drain_long: Millis(100), ..Limits::default() };
    world.publish(brief.build()).await;
    assert_eq!(say(&mut grpc, "never", "ann").await.unwrap_err().code(), Code::DeadlineExceeded);
    let row = world.counts("s", "the silence is the version's", |r| r.failed == 1).await;
    assert_eq!(row.failed_by_slipway, 0);
    let (mut dead, nobody) = (called(3, 0, &[], &[]), Port::new());
    dead.stable = vec![Endpoint { instance: "s2".parse().unwrap(), incarnation: 1, address: nobody.address.into() }];
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
    for user in 0..20 {
        assert_eq!(say(&mut grpc, "x", &format!("user {user}")).await.unwrap().get_ref(), "s1: x", "stable takes over");
    }
}
