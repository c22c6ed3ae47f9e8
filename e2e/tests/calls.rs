//! A service of gRPC through the whole program: real calls (tonic) before, during and after rollouts, judged by their status.

#[path = "../../crates/gateway/tests/common/raw.rs"]
mod raw;

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use raw::Raw;
use slipway_e2e::{Options, Slipway, until};
use tokio::net::TcpListener;
use tonic::codegen::{Service, tokio_stream};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Messages = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, Status>> + Send>>;

/// `Say` answers the version, or INTERNAL where the build is `broken`; `Chat` answers every message with it.
#[derive(Clone)]
struct Echo(String);

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Boxed<Result<Response<Bytes>, Status>>;
    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let version = self.0.clone();
        let broken = Path::new("broken").exists();
        Box::pin(async move {
            if broken { Err(Status::internal(version)) } else { Ok(Response::new(Bytes::from(version))) }
        })
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Boxed<Result<Response<Messages>, Status>>;
    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let version = self.0.clone();
        let answered = request.into_inner().map(move |message| message.map(|_| Bytes::from(version.clone())));
        Box::pin(async move { Ok(Response::new(Box::pin(answered) as Messages)) })
    }
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
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

/// An instance: this program, as the declared file starts it.
#[tokio::test]
#[ignore = "is started by Slipway"]
async fn instance() {
    let Ok(port) = std::env::var("PORT") else { return };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("its port");
    let echo = Echo(std::env::var("VERSION").expect("a version"));
    Server::builder().add_service(echo).serve_with_incoming(TcpIncoming::from(listener)).await.expect("it serves");
}

async fn channel(slipway: &Slipway) -> tonic::client::Grpc<Channel> {
    let to = Channel::from_shared(slipway.traffic_url()).expect("an address");
    let channel = to.origin(http::Uri::from_static("http://echo.local")).connect().await.expect("a gateway");
    tonic::client::Grpc::new(channel)
}

async fn say(grpc: &mut tonic::client::Grpc<Channel>, user: u64) -> Result<Bytes, Status> {
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let mut request = Request::new(Bytes::from("hello"));
    request.metadata_mut().insert("x-user", format!("user {user}").parse().expect("a value"));
    grpc.unary(request, http::uri::PathAndQuery::from_static("/test.Echo/Say"), Raw).await.map(Response::into_inner)
}

/// Calls that go on, by many users; how many were answered, and those that were not, with the status that they got.
struct Calls {
    answered: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
    failed: Arc<std::sync::Mutex<Vec<Status>>>,
}

impl Calls {
    async fn begin(slipway: &Slipway) -> Calls {
        let mut grpc = channel(slipway).await;
        let (answered, failed) = (Arc::<AtomicU64>::default(), Arc::<std::sync::Mutex<Vec<Status>>>::default());
        let (count, told) = (answered.clone(), failed.clone());
        let task = tokio::spawn(async move {
            for user in 0.. {
                match say(&mut grpc, user).await {
                    Ok(_) => drop(count.fetch_add(1, Relaxed)),
                    Err(status) => told.lock().expect("nobody panics with it").push(status),
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
        Calls { answered, task, failed }
    }

    fn end(self) -> (u64, Vec<Status>) {
        self.task.abort();
        (self.answered.load(Relaxed), std::mem::take(&mut self.failed.lock().expect("nobody panics with it")))
    }
}

async fn release(slipway: &Slipway, version: &str, file: &str) -> serde_json::Value {
    let build = slipway.scratch().join(version);
    std::fs::create_dir_all(&build).expect("a folder");
    std::fs::write(build.join(file), version).expect("a build");
    let released = slipway.release(version, &build, "production", &[]).await.expect("it runs");
    released.json().unwrap_or_else(|error| panic!("{error}\n{released}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_grpc_goes_out_and_one_whose_calls_fail_goes_back() {
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    let program = std::env::current_exe().expect("this program");
    let file = format!(
        "service: echo\n\
         run: {{ command: [{program:?}, --exact, instance, --ignored, --nocapture] }}\n\
         health: {{ tcp: true, interval: 100ms, healthy_after: 1 }}\n\
         traffic: {{ host: echo.local, path: /, sticky: {{ header: X-User }}, protocol: h2c }}\n\
         objectives: [{{ name: errors, bad: failed, at_most: 1%, tolerate: 0.5% }}]\n\
         environments:\n  production: {{ instances: 1, strategy: {{ canary: {{ steps: [50%, 100%], verify: 1s }} }} }}\n"
    );
    std::fs::write(slipway.scratch().join("slipway.yaml"), file).expect("a declared file");
    let first = release(&slipway, "1.0.0", "sound").await;
    assert_eq!(first["outcome"], "succeeded", "{first:#}");

    // A stream that begins before the release stays where it is.
    let mut grpc = channel(&slipway).await;
    let (said, heard) = tokio::sync::mpsc::channel::<Bytes>(1);
    grpc.ready().await.expect("it is connected");
    let heard = tokio_stream::wrappers::ReceiverStream::new(heard);
    let chat = http::uri::PathAndQuery::from_static("/test.Echo/Chat");
    let mut chat = grpc.streaming(Request::new(heard), chat, Raw).await.expect("a stream").into_inner();
    let calls = Calls::begin(&slipway).await;
    let second = release(&slipway, "1.1.0", "sound").await;
    assert_eq!(second["outcome"], "succeeded", "{second:#}");
    said.send(Bytes::from("still there?")).await.expect("it is open");
    assert_eq!(chat.message().await.expect("an answer").expect("a message"), "1.0.0");
    let (answered, failed) = calls.end();
    assert!(answered > 100 && failed.is_empty(), "{answered} answered: {failed:?}");
    // The last shift, of those who were held back, follows success.
    until("everybody is given it", async || (say(&mut grpc, 1).await.expect("an answer") == "1.1.0").then_some(()))
        .await
        .expect("it is");

    let calls = Calls::begin(&slipway).await;
    let third = release(&slipway, "1.2.0", "broken").await;
    assert_eq!(third["outcome"], "rolled_back", "{third:#}");
    until("everybody is answered by the one before", async || {
        let mut of_twenty = 0;
        for user in 0..20 {
            of_twenty += u32::from(say(&mut grpc, user).await.is_ok_and(|version| version == "1.1.0"));
        }
        (of_twenty == 20).then_some(())
    })
    .await
    .expect("it went back");
    let (_, failed) = calls.end();
    assert!(!failed.is_empty(), "nobody was given it");
    let by_it = |status: &Status| (status.code(), status.message()) == (Code::Internal, "1.2.0");
    assert!(failed.iter().all(by_it), "only what it answered itself failed: {failed:?}");
    drop(said);
    slipway.down().await.expect("everything ends");
}
