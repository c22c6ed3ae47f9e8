//! A client's connection from its first byte to its end, through the whole gateway to an instance and back.
//!
//! The instance is a listener that reads with [`crate::plain`]. What it gets are requests that the client sent, in
//! their order, whole, each framed in one way, with nothing in them that belongs to another connection; and the client
//! gets no more answers than it sent requests.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use slipway_core::traffic::{
    Counted, CountedBad, Endpoint, Epoch, Generation, Limits, Match, Protocol, Role, Route, RoutingTable, Split,
    Sticky, VersionRoute,
};
use slipway_core::units::Weight;
use slipway_gateway::inspect::{Unheard, passed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::plain::{self, Request, Rest};

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest body that the route takes.
const BODY_LIMIT: u64 = 1 << 16;
/// Only a gateway that hangs takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the instance answers.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// The same where it was asked for the head.
const OK_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";

thread_local! {
    static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

/// Plays `bytes` as a client.
pub fn run(bytes: &[u8]) {
    SCENE.with_borrow_mut(|scene| scene.get_or_insert_with(Scene::start).play(bytes));
}

/// A gateway with an instance behind it.
struct Scene {
    runtime: Runtime,
    gateway: Unheard,
    got: Got,
    _folder: tempfile::TempDir,
}

/// What the instance got: requests, or bytes that are none.
type Got = Arc<Mutex<Vec<Result<Request, Vec<u8>>>>>;

impl Scene {
    fn start() -> Scene {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let got = Got::default();
        let gateway = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(listen(listener, got.clone()));
            let gateway = Unheard::start(folder.path()).expect("a gateway");
            gateway.apply(table(address)).await;
            gateway
        });
        Scene { runtime, gateway, got, _folder: folder }
    }

    fn play(&mut self, bytes: &[u8]) {
        let two = bytes.starts_with(PREFACE);
        let by_guard = passed(bytes, 1);
        let (sent, rest) = if two { (Vec::new(), Rest::Nothing) } else { plain::requests(&bytes[..by_guard.bytes]) };
        let answered = self.runtime.block_on(async {
            let (far, near) = tokio::io::duplex(1 << 16);
            let client = SocketAddr::from(([127, 0, 0, 1], 9));
            let both = async { tokio::join!(self.gateway.serve(near, client), talk(far, bytes, &sent)).1 };
            tokio::time::timeout(PATIENCE, both).await.expect("the gateway ends the connection")
        });
        let got = std::mem::take(&mut *self.got.lock().unwrap_or_else(PoisonError::into_inner));
        if !two {
            let told = answers(&answered, &sent).unwrap_or_else(|| {
                panic!("an answer that is none: {}", String::from_utf8_lossy(&answered));
            });
            assert!(told <= sent.len() + 1, "{told} answers to {} requests, then {rest:?}", sent.len());
        }
        let mut outstanding = sent.iter();
        for request in got {
            let request = request.unwrap_or_else(|bytes| {
                panic!("the instance got what is no request: {:?}", String::from_utf8_lossy(&bytes));
            });
            sound(&request);
            let known = two || outstanding.any(|sent| is(sent, &request));
            assert!(known, "the instance got a request that the client did not send: {request:?}\nof {sent:?}");
        }
    }
}

/// Whether the instance's request is the client's.
fn is(sent: &Request, got: &Request) -> bool {
    let same_target = !sent.target.starts_with('/') || sent.target == got.target;
    sent.method == got.method && sent.body == got.body && same_target
}

/// Whether a request is fit for an instance.
fn sound(request: &Request) {
    let count = |name| request.values(name).count();
    assert_eq!(request.minor, 1, "{request:?}");
    assert_eq!(count("host"), 1, "{request:?}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "framed in two ways: {request:?}");
    assert_eq!((count("x-forwarded-for"), count("x-forwarded-proto"), count("via")), (1, 1, 1), "{request:?}");
    for name in ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "expect"] {
        assert_eq!(count(name), 0, "{name} goes no further: {request:?}");
    }
    assert!(request.values("te").all(|value| value == b"trailers"), "{request:?}");
    assert!(request.values("connection").all(|value| value == b"upgrade"), "{request:?}");
    assert_eq!(count("connection"), count("upgrade"), "{request:?}");
    assert!(request.target.starts_with('/') || request.target == "*", "{request:?}");
    assert!(request.body.len() as u64 <= BODY_LIMIT, "over the route's limit");
    let aliased = |name: &str| name.contains('_') && name.replace('_', "-").starts_with("x-forwarded-");
    assert!(!request.headers.iter().any(|(name, _)| aliased(name)), "{request:?}");
    let session =
        |value: &[u8]| value.split(|b| *b == b';').any(|pair| pair.trim_ascii().starts_with(b"slipway-session="));
    assert!(!request.values("cookie").any(session), "the console's session goes to no service: {request:?}");
}

/// Sends everything, waits for the answers to what was whole, says that no more comes, and reads to the end.
async fn talk(stream: DuplexStream, bytes: &[u8], sent: &[Request]) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut answered = Vec::new();
    let writing = async {
        // The gateway may have closed before it took everything.
        let _ = to.write_all(bytes).await;
        to
    };
    let reading = async {
        while answers(&answered, sent).is_some_and(|told| told < sent.len()) {
            if from.read_buf(&mut answered).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    let (mut to, ()) = tokio::join!(writing, reading);
    let _ = to.shutdown().await;
    while from.read_buf(&mut answered).await.unwrap_or(0) > 0 {}
    answered
}

/// How many final answers `bytes` hold, the last of them perhaps in part; `None` where they are none.
fn answers(bytes: &[u8], sent: &[Request]) -> Option<usize> {
    let (mut told, mut at) = (0, 0);
    while at < bytes.len() {
        let mut room = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut room);
        let Ok(httparse::Status::Complete(length)) = head.parse(&bytes[at..]) else { return Some(told) };
        at += length;
        let status = head.code?;
        if status < 200 {
            continue;
        }
        let length = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
        let length: usize = std::str::from_utf8(length?.value).ok()?.parse().ok()?;
        let headless = sent.get(told).is_some_and(|request| request.method == "HEAD");
        at += if headless { 0 } else { length };
        if at > bytes.len() {
            return Some(told);
        }
        told += 1;
    }
    Some(told)
}

async fn listen(listener: TcpListener, got: Got) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(instance(stream, got.clone()));
    }
}

async fn instance(mut stream: TcpStream, got: Got) {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let (requests, rest) = plain::requests(&bytes);
        let taken = requests.last().map_or(0, |last| last.end);
        let heads: Vec<bool> = requests.iter().map(|request| request.method == "HEAD").collect();
        got.lock().unwrap_or_else(PoisonError::into_inner).extend(requests.into_iter().map(Ok));
        bytes.drain(..taken);
        if rest == Rest::Broken {
            got.lock().unwrap_or_else(PoisonError::into_inner).push(Err(bytes));
            return;
        }
        for head in heads {
            if stream.write_all(if head { OK_HEAD } else { OK }).await.is_err() {
                return;
            }
        }
    }
}

/// One route that covers everything, split between two versions that live at `address`, and one without instances.
fn table(address: SocketAddr) -> RoutingTable {
    let version = |name: &str, role, endpoints| VersionRoute {
        version: name.parse().expect("a version"),
        role,
        endpoints,
        protocol: Protocol::Http1,
        health: None,
    };
    let endpoint = |instance: &str| Endpoint {
        instance: instance.parse().expect("a name"),
        incarnation: 1,
        address: address.into(),
    };
    let route = |service: &str, host: Option<&str>, versions: Vec<VersionRoute>, split| Route {
        service: service.parse().expect("a name"),
        environment: "production".parse().expect("a name"),
        matches: vec![Match { host: host.map(str::to_string), path: "/".into(), rank: 0 }],
        epoch: Epoch(1),
        split,
        fallback: None,
        lease: None,
        salt: "salt".into(),
        sticky: Sticky { cookie: Some("session".into()), header: Some("x-user".into()) },
        versions,
        objectives: vec![Counted { name: "errors".into(), bad: CountedBad::Failed }],
        limits: Limits { body_bytes: BODY_LIMIT, ..Limits::default() },
        cohorts: Vec::new(),
        maintenance: None,
    };
    let (stable, candidate) = ("1.0.0".parse().expect("a version"), "1.1.0".parse().expect("a version"));
    let half = Weight::from_bp(5_000).expect("half");
    let served = vec![
        version("1.0.0", Role::Stable, vec![endpoint("s1")]),
        version("1.1.0", Role::Candidate, vec![endpoint("c1")]),
    ];
    let empty = vec![version("1.0.0", Role::Stable, Vec::new())];
    let all = Split::all("1.0.0".parse().expect("a version"));
    let routes = vec![
        route("shop", None, served, Split::between(candidate, half, stable)).into(),
        route("empty", Some("empty"), empty, all).into(),
    ];
    RoutingTable { generation: Generation(1), routes }
}
