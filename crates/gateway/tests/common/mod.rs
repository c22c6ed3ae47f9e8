//! A gateway, a hub and instances on real sockets, and a client that sees what a user would see.
#![allow(dead_code)] // each test file uses its own part

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use slipway_core::traffic::{
    Counted, CountedBad, Endpoint, Epoch, Generation, InjectedFault, Limits, Match, Mirror, Protocol, Role, Route,
    RoutingTable, Split, Sticky, VersionRoute,
};
use slipway_core::units::{Millis, Weight};
use slipway_gateway::hub::Hub;
use slipway_gateway::{Config, Control, Tuning};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

pub type Body = BoxBody<Bytes, std::io::Error>;

/// Long enough for a slow machine; only a broken test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds.
pub async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A port that is nobody else's for as long as this is held, whether somebody listens there or not.
#[derive(Debug)]
pub struct Port {
    pub address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    pub fn new() -> Port {
        let held = socket();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Port { address: held.local_addr().unwrap(), _held: held }
    }

    /// Listens there.
    pub fn listen(&self) -> tokio::net::TcpListener {
        let socket = socket();
        socket.bind(self.address).unwrap();
        socket.listen(1024).unwrap()
    }
}

/// One that may have the address of another that does not listen.
fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket
}

/// One gateway and its hub.
pub struct World {
    pub dir: TempDir,
    pub hub: Hub,
    pub address: SocketAddr,
    pub tuning: Tuning,
    pub tls: Option<slipway_gateway::tls::Tls>,
    /// Whether it writes an access log; where it does, every request goes the long way.
    pub logs: bool,
    _port: Port,
    running: Option<JoinHandle<Result<(), slipway_gateway::Error>>>,
}

impl World {
    pub async fn start() -> World {
        World::start_with(quick()).await
    }

    /// With an access log, whichever way is tested.
    pub async fn start_logging() -> World {
        World::start_as(quick(), None, true).await
    }

    pub async fn start_with(tuning: Tuning) -> World {
        let logs = !tuning.fast;
        World::start_as(tuning, None, logs).await
    }

    pub async fn start_secure(tuning: Tuning, tls: Option<slipway_gateway::tls::Tls>) -> World {
        let logs = !tuning.fast;
        World::start_as(tuning, tls, logs).await
    }

    async fn start_as(tuning: Tuning, tls: Option<slipway_gateway::tls::Tls>, logs: bool) -> World {
        let dir = tempfile::tempdir().unwrap();
        let hub = hub_at(&dir, "control.json").await;
        let port = Port::new();
        let mut world = World { dir, hub, address: port.address, tuning, tls, logs, _port: port, running: None };
        world.start_gateway();
        let hub = world.hub.clone();
        until("the gateway calls", || hub.gateways().first().map(|_| ())).await;
        world
    }

    /// Another control plane, which gateways find by the file of this name.
    pub async fn another_hub(&self, file: &str) -> Hub {
        hub_at(&self.dir, file).await
    }

    pub fn config(&self) -> Config {
        Config {
            listen: self.address,
            state_dir: self.dir.path().join("gateway"),
            control: Control::Beside(self.dir.path().join("control.json")),
            name: "gw".into(),
            access_log: self.logs.then(|| self.dir.path().join("access.log")),
            tls: self.tls.clone(),
        }
    }

    pub fn start_gateway(&mut self) {
        self.running = Some(tokio::spawn(slipway_gateway::run_with(self.config(), self.tuning.clone())));
    }

    /// Ends the gateway without a word, as SIGKILL would.
    pub async fn kill_gateway(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    /// Resolves when the gateway ended by itself.
    pub async fn gateway_ended(&mut self) -> Result<(), slipway_gateway::Error> {
        self.running.take().unwrap().await.unwrap()
    }

    pub async fn publish(&self, table: RoutingTable) {
        let generation = table.generation;
        self.hub.publish(table);
        assert!(self.hub.wait_acked(generation, PATIENCE).await, "the gateway did not acknowledge {generation:?}");
    }

    pub async fn get(&self, path: &str) -> Reply {
        Client::to(self.address).await.get(path, &[]).await
    }

    /// Waits until the summed counts of one version satisfy the condition.
    pub async fn counts(
        &self,
        version: &str,
        what: &str,
        enough: impl Fn(&slipway_core::traffic::link::CountRow) -> bool,
    ) -> slipway_core::traffic::link::CountRow {
        let hub = self.hub.clone();
        until(what, || hub.counts().into_iter().find(|r| r.version.as_str() == version && enough(r))).await
    }
}

/// Its token is its own: whoever calls where another's was, which has gone, is a stranger.
async fn hub_at(dir: &TempDir, file: &str) -> Hub {
    Hub::bind(dir.path().join(file), dir.path().to_string_lossy()).await.unwrap()
}

/// Short intervals, so that tests need not wait. `short_way.rs` holds all tests once more, for the short way.
pub fn quick() -> Tuning {
    Tuning {
        fast: module_path!().starts_with("short_way"),
        probe_first: Duration::from_millis(20),
        probe_longest: Duration::from_millis(50),
        table_wait: Duration::from_millis(300),
        ..Tuning::default()
    }
}

/// A table with one route for any host: the candidate `c` has `weight_bp`, stable `s` the rest.
pub struct TableOf {
    pub generation: u64,
    pub epoch: u64,
    pub weight_bp: u16,
    pub stable: Vec<Endpoint>,
    pub candidate: Vec<Endpoint>,
    pub lease: Option<Millis>,
    pub limits: Limits,
    pub sticky: Sticky,
    pub protocol: Protocol,
    pub faults: Vec<InjectedFault>,
    pub mirror: Option<Mirror>,
}

pub fn table(generation: u64, weight_bp: u16, stable: &[&Instance], candidate: &[&Instance]) -> TableOf {
    let endpoints = |of: &[&Instance]| of.iter().map(|i| i.endpoint()).collect();
    TableOf {
        generation,
        epoch: generation,
        weight_bp,
        stable: endpoints(stable),
        candidate: endpoints(candidate),
        lease: None,
        limits: Limits::default(),
        sticky: Sticky::default(),
        protocol: Protocol::Http1,
        faults: Vec::new(),
        mirror: None,
    }
}

impl TableOf {
    pub fn route(&self) -> Route {
        let (s, c) = ("s".parse().unwrap(), "c".parse().unwrap());
        let version = |name: &str, role, endpoints: &Vec<Endpoint>| VersionRoute {
            version: name.parse().unwrap(),
            role,
            endpoints: endpoints.clone(),
            protocol: self.protocol,
            health: None,
        };
        Route {
            service: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            matches: vec![Match { host: None, path: "/".into(), rank: 0 }],
            epoch: Epoch(self.epoch),
            split: Split::between(c, Weight::from_bp(self.weight_bp).unwrap(), s),
            fallback: self.lease.map(|_| Split::all("s".parse().unwrap())),
            lease: self.lease,
            salt: "salt".into(),
            sticky: self.sticky.clone(),
            versions: vec![version("s", Role::Stable, &self.stable), version("c", Role::Candidate, &self.candidate)],
            cohorts: Vec::new(),
            maintenance: None,
            faults: self.faults.clone(),
            mirror: self.mirror.clone(),
            objectives: vec![
                Counted { name: "errors".into(), bad: CountedBad::Failed },
                Counted { name: "latency".into(), bad: CountedBad::SlowerThan(Millis(5_000)) },
            ],
            limits: self.limits.clone(),
        }
    }

    pub fn build(&self) -> RoutingTable {
        RoutingTable { generation: Generation(self.generation), routes: vec![self.route().into()] }
    }
}

/// A real HTTP server that says its name.
pub struct Instance {
    pub name: String,
    pub address: SocketAddr,
    pub seen: Arc<AtomicU64>,
    port: Arc<Port>,
    running: Mutex<Option<tokio_util::sync::DropGuard>>,
}

impl Instance {
    /// Answers its name, or what the path asks for: see `answer`.
    pub async fn start(name: &str) -> Instance {
        Instance::on(name, Arc::new(Port::new())).await
    }

    /// One of the same name where this one was.
    pub async fn again(&self) -> Instance {
        Instance::on(&self.name, self.port.clone()).await
    }

    async fn on(name: &str, port: Arc<Port>) -> Instance {
        let (listener, address) = (port.listen(), port.address);
        let (seen, name) = (Arc::new(AtomicU64::new(0)), name.to_string());
        let stop = tokio_util::sync::CancellationToken::new();
        let (held, counter, said) = (stop.clone(), seen.clone(), name.clone());
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! { () = held.cancelled() => return, a = listener.accept() => a };
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(serve(stream, said.clone(), counter.clone(), held.clone()));
            }
        });
        Instance { name, address, seen, port, running: Mutex::new(Some(stop.drop_guard())) }
    }

    /// Ends it: connections break, new ones are refused.
    pub async fn kill(&self) {
        drop(self.running.lock().unwrap().take());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline);
        }
    }

    pub fn seen(&self) -> u64 {
        self.seen.load(SeqCst)
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.name.parse().unwrap(), incarnation: 1, address: self.address.into() }
    }
}

/// Answers on one connection until `held` is cancelled.
pub async fn serve<S>(stream: S, name: String, seen: Arc<AtomicU64>, held: tokio_util::sync::CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let dying = held.clone();
    let service = service_fn(move |request| {
        seen.fetch_add(1, SeqCst);
        answer(name.clone(), request, dying.clone())
    });
    let server = hyper::server::conn::http1::Builder::new();
    let served = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::select! { () = held.cancelled() => {}, _ = served => {} }
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

async fn answer(
    name: String,
    request: Request<Incoming>,
    stop: tokio_util::sync::CancellationToken,
) -> Result<Response<Body>, std::io::Error> {
    let path = request.uri().path().to_string();
    let reply = |status: u16, body: Body| {
        Ok(Response::builder().status(status).header("x-version", name.clone()).body(body).unwrap())
    };
    match path.as_str() {
        "/headers" => {
            let mut lines: Vec<String> =
                request.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap_or("?"))).collect();
            lines.sort();
            reply(200, full(lines.join("\n")))
        }
        "/echo" => {
            let body = request.into_body().map_err(std::io::Error::other).boxed();
            reply(200, body)
        }
        "/fail" => reply(500, full("broken")),
        "/drop" => Err(std::io::Error::other("hung up")),
        "/never" => {
            stop.cancelled().await;
            Err(std::io::Error::other("hung up"))
        }
        "/silent" => std::future::pending().await,
        "/nothing" => reply(204, Empty::new().map_err(|never| match never {}).boxed()),
        "/unchanged" => {
            let mut response = reply(304, Empty::new().map_err(|never| match never {}).boxed())?;
            response.headers_mut().insert("etag", "\"1\"".parse().unwrap());
            Ok(response)
        }
        "/stuck" | "/quiet" => {
            let (feed, body) = tokio::sync::mpsc::channel::<Bytes>(4);
            tokio::spawn(async move {
                let _ = feed.send(Bytes::from("data: so far\n\n")).await;
                feed.closed().await;
            });
            let kind = if path == "/quiet" { "text/event-stream" } else { "text/plain" };
            let body = Fed { body, ends_badly: false }.boxed();
            Ok(Response::builder().header("content-type", kind).body(body).unwrap())
        }
        "/events" | "/download" | "/cut" => {
            let (feed, body) = tokio::sync::mpsc::channel::<Bytes>(4);
            let ends_badly = path == "/cut";
            tokio::spawn(async move {
                for i in 0..if ends_badly { 3 } else { 100_000 } {
                    if feed.send(Bytes::from(format!("data: {name} {i}\n\n"))).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            let body = Fed { body, ends_badly }.boxed();
            let kind = if path == "/events" { "text/event-stream" } else { "application/octet-stream" };
            Ok(Response::builder().header("content-type", kind).body(body).unwrap())
        }
        "/socket" => {
            let key = request.headers()["sec-websocket-key"].as_bytes().to_vec();
            let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(&key);
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(request).await.unwrap();
                serve_socket(name, TokioIo::new(upgraded), stop).await;
            });
            Ok(Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-accept", accept)
                .body(full(""))
                .unwrap())
        }
        _ => reply(200, full(name.clone())),
    }
}

async fn serve_socket(
    name: String,
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    stop: tokio_util::sync::CancellationToken,
) {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role::Server;
    let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Server, None).await;
    loop {
        let next = tokio::select! { () = stop.cancelled() => return, next = socket.next() => next };
        let Some(Ok(message)) = next else { return };
        if message.is_text() {
            let said = format!("{name} heard {}", message.into_text().unwrap());
            if socket.send(Message::text(said)).await.is_err() {
                return;
            }
        }
    }
}

/// A body that is handed on as it comes.
pub struct Fed {
    pub body: tokio::sync::mpsc::Receiver<Bytes>,
    pub ends_badly: bool,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        let bad = self.ends_badly;
        self.body.poll_recv(cx).map(|next| match next {
            Some(bytes) => Some(Ok(http_body::Frame::data(bytes))),
            None if bad => Some(Err(std::io::Error::other("died"))),
            None => None,
        })
    }
}

/// What a user sees.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn cookie(&self) -> Option<String> {
        self.headers.get("set-cookie").map(|v| v.to_str().unwrap().split(';').next().unwrap().to_string())
    }
}

/// One keep-alive connection to the gateway.
pub struct Client {
    sender: SendRequest<Body>,
}

impl Client {
    /// Connects, as soon as somebody listens.
    pub async fn to(address: SocketAddr) -> Client {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{address}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Client { sender }
    }

    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.call(request("GET", path, headers, "")).await.unwrap()
    }

    /// The whole answer, or why it did not come whole.
    pub async fn call(&mut self, request: Request<Body>) -> Result<Reply, hyper::Error> {
        let response = self.send(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "shop.local");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(full(body)).unwrap()
}

/// How often each of `names` answered.
pub fn tally(names: impl IntoIterator<Item = String>) -> HashMap<String, u64> {
    let mut tally = HashMap::new();
    for name in names {
        *tally.entry(name).or_default() += 1;
    }
    tally
}
