//! Known attacks by which one reader sees two requests where another sees one, as raw bytes on a real socket, before an
//! instance that writes down every byte it gets. Whatever happens, it must not see the second request.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use common::*;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use slipway_core::traffic::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An instance that is no server at all: it writes down what it gets and answers when a request seems to be whole.
struct Recorder {
    address: SocketAddr,
    got: Arc<Mutex<String>>,
}

impl Recorder {
    async fn start(answer: &'static [u8]) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, got) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
        let held = got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, held.clone(), answer));
            }
        });
        Recorder { address, got }
    }

    fn take(&self) -> String {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    async fn world(&self) -> World {
        let world = World::start().await;
        let mut only = table(1, 0, &[], &[]);
        only.stable = vec![Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: self.address.into() }];
        world.publish(only.build()).await;
        world
    }
}

async fn record(mut stream: TcpStream, got: Arc<Mutex<String>>, answer: &'static [u8]) {
    let (mut bytes, mut all) = ([0; 4096], String::new());
    while let Ok(n @ 1..) = stream.read(&mut bytes).await {
        let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
        got.lock().unwrap().push_str(&text);
        all.push_str(&text);
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let chunked = head.contains("transfer-encoding: chunked");
        if !chunked || body.ends_with("0\r\n\r\n") {
            all.clear();
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What the client gets, to the end of the connection.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request whose body hides another one.
fn hiding(head: &str) -> String {
    format!("POST /first HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n")
}

fn framed() -> Vec<(&'static str, String, u16)> {
    let with = |head: &str| hiding(head);
    let chunks = |body: &str| {
        format!(
            "POST /first HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"
        )
    };
    vec![
        ("CL.TE", with("content-length: 5\r\ntransfer-encoding: chunked"), 400),
        ("TE.CL", with("transfer-encoding: chunked\r\ncontent-length: 5"), 400),
        ("CL.CL", with("content-length: 5\r\ncontent-length: 50"), 400),
        ("the same length twice", with("content-length: 5\r\ncontent-length: 5"), 400),
        ("a list of lengths", with("content-length: 5, 5"), 400),
        ("a length with a sign", with("content-length: +5"), 400),
        ("a negative length", with("content-length: -5"), 400),
        ("a length in hexadecimal", with("content-length: 0x5"), 400),
        ("a length with a space in it", with("content-length: 5 0"), 400),
        ("an empty length", with("content-length:"), 400),
        ("a length that overflows", with("content-length: 18446744073709551621"), 400),
        ("TE.TE", with("transfer-encoding: chunked\r\ntransfer-encoding: chunked"), 400),
        ("two codings in two fields", with("transfer-encoding: chunked\r\ntransfer-encoding: identity"), 400),
        ("chunked, identity", with("transfer-encoding: chunked, identity"), 400),
        ("identity, chunked", with("transfer-encoding: identity, chunked"), 400),
        ("gzip, chunked", with("transfer-encoding: gzip, chunked"), 400),
        ("identity", with("transfer-encoding: identity\r\ncontent-length: 5"), 400),
        ("a coding that nearly is chunked", with("transfer-encoding: xchunked\r\ncontent-length: 5"), 400),
        ("a quoted coding", with("transfer-encoding: \"chunked\"\r\ncontent-length: 5"), 400),
        ("a vertical tab before the coding", with("transfer-encoding: \x0bchunked\r\ncontent-length: 5"), 400),
        ("space before the colon", with("transfer-encoding : chunked\r\ncontent-length: 5"), 400),
        ("a tab before the colon", with("content-length\t: 5"), 400),
        ("a folded coding", with("transfer-encoding:\r\n chunked\r\ncontent-length: 5"), 400),
        ("a folded header", with("x: y\r\n\tcontent-length: 5"), 400),
        ("a first header that is folded", "GET / HTTP/1.1\r\n host: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a bare LF in the head", with("x: y\ntransfer-encoding: chunked\r\ncontent-length: 5"), 400),
        ("a bare CR in the head", with("x: y\rtransfer-encoding: chunked\r\ncontent-length: 5"), 400),
        ("LF alone", "GET / HTTP/1.1\nhost: a\n\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("NUL in a value", with("x: a\0b\r\ncontent-length: 5"), 400),
        ("NUL in a name", with("x\0y: a\r\ncontent-length: 5"), 400),
        ("DEL in a value", with("x: a\x7fb\r\ncontent-length: 5"), 400),
        ("a control character in a name", with("x\x01: a\r\ncontent-length: 5"), 400),
        ("a name with a space", with("x y: a\r\ncontent-length: 5"), 400),
        ("an empty name", with(": a\r\ncontent-length: 5"), 400),
        ("a line without a colon", with("content-length 5"), 400),
        ("two hosts", with("host: b\r\ncontent-length: 5"), 400),
        ("no host", "GET /first HTTP/1.1\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a host with a user", "GET / HTTP/1.1\r\nhost: a@b\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a list of hosts", "GET / HTTP/1.1\r\nhost: a, b\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a target against the host", "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a target with a user", "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a target of another scheme", "GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a target without a slash", "GET first HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a target with a fragment", "GET /#x HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a target with a space", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("two spaces", "GET  / HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a tab in the request line", "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a star for something else", "GET * HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a method that is none", "G(T / HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("a method without an end", format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "A".repeat(33)), 400),
        ("HTTP/0.9", "GET /hidden\r\n\r\n".into(), 400),
        ("HTTP/1.2", "GET /hidden HTTP/1.2\r\nhost: a\r\n\r\n".into(), 505),
        ("HTTP/2 in words", "GET /hidden HTTP/2.0\r\nhost: a\r\n\r\n".into(), 505),
        ("a version in small letters", "GET /hidden http/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("HTTP/1.0 in chunks", "POST /first HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 5\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("CONNECT", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 405),
        ("too many headers", with(&format!("{}content-length: 5", "x: y\r\n".repeat(100))), 431),
        ("too large headers", with(&format!("x: {}\r\ncontent-length: 5", "y".repeat(60_000))), 431),
        ("a target without an end", format!("GET /{} HTTP/1.1\r\n", "y".repeat(60_000)), 414),
        ("an upgrade that hides a request", "GET /first HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n".into(), 200),
        ("a chunk size that is none", chunks("x\r\n"), 400),
        ("a chunk size with a sign", chunks("+0\r\n\r\n"), 400),
        ("a chunk size in 0x", chunks("0x0\r\n\r\n"), 400),
        ("a chunk size with a space", chunks("0 \r\n\r\n"), 400),
        ("a chunk size that is empty", chunks(";x\r\n\r\n"), 400),
        ("a chunk size that overflows", chunks("10000000000000000\r\n"), 400),
        ("a chunk size ended by LF", chunks("0\n\n"), 400),
        ("a chunk that is longer", chunks("1\r\nab\r\n0\r\n\r\n"), 400),
        ("a chunk ended by LF", chunks("1\r\na\n0\r\n\r\n"), 400),
        ("LF in an extension", chunks("0;x\n\r\n\r\n"), 400),
        ("CR in an extension", chunks("0;x\ry\r\n\r\n"), 400),
        ("an extension without an end", chunks(&format!("0;{}\r\n\r\n", "x".repeat(300))), 400),
        ("a trailer without a colon", chunks("0\r\nhidden\r\n\r\n"), 400),
        ("a trailer that is folded", chunks("0\r\nx: y\r\n z\r\n\r\n"), 400),
        ("a trailer ended by LF", chunks("0\r\nx: y\n\r\n"), 400),
    ]
}

#[tokio::test]
async fn known_attacks_are_refused_and_the_instance_sees_no_second_request() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    for (name, bytes, status) in framed() {
        let answer = raw(&world, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        let answers = answer.split("HTTP/1.1 ").filter(|a| a.starts_with(|c: char| c.is_ascii_digit())).count();
        assert_eq!(answers, 1, "one answer and the end, {name}: {answer}");
        if status >= 400 {
            assert!(answer.contains("proxy-status: slipway; error=http_request_"), "{name}: {answer}");
        }
        let got = recorder.take();
        assert!(!got.contains("hidden"), "{name}: the instance got {got}");
        assert!(got.matches("HTTP/1.1\r\n").count() <= 1, "{name}: the instance got {got}");
    }
    let sound = raw(&world, b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(sound.starts_with("HTTP/1.1 200 "), "the gateway goes on: {sound}");
}

#[tokio::test]
async fn an_attack_behind_sound_requests_is_answered_after_them() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    let bytes = "GET /one HTTP/1.1\r\nhost: a\r\n\r\nGET /two HTTP/1.1\r\nhost: a\r\n\r\n".to_string()
        + &hiding("content-length: 5\r\ntransfer-encoding: chunked");
    let answer = raw(&world, bytes.as_bytes()).await;
    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|a| &a[..3]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answer}");
    let got = recorder.take();
    assert!(
        got.contains("/one") && got.contains("/two") && !got.contains("/first") && !got.contains("hidden"),
        "{got}"
    );
}

#[tokio::test]
async fn what_asks_for_another_protocol_ends_its_own_connection_and_not_that_of_the_request_before() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    let bytes =
        "GET /one HTTP/1.1\r\nhost: a\r\n\r\nGET /two HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let answer = raw(&world, bytes.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn the_preface_of_http_2_is_one_at_the_front_only() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    let answer = raw(&world, b"GET /one HTTP/1.1\r\nhost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("okHTTP/1.1 505 "), "{answer}");
}

#[tokio::test]
async fn sound_requests_in_unusual_clothes_pass() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    for bytes in [
        "\r\nGET /x HTTP/1.1\r\nHOST:a\r\nconnection: close\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: CHUNKED\r\nconnection: close\r\n\r\n2;a=\"b\"\r\nab\r\n0\r\nx-sum: 1\r\n\r\n",
        "GET http://A:80/x HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: a\r\nconnection: close, Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n",
    ] {
        let answer = raw(&world, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{bytes}: {answer}");
        let got = recorder.take();
        assert!(!got.contains("upgrade") && !got.contains("http2-settings"), "{got}");
    }
}

#[tokio::test]
async fn a_body_in_chunks_arrives_also_with_a_method_that_seldom_has_one() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    for method in ["GET", "DELETE", "POST"] {
        let bytes = format!(
            "{method} /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        );
        let answer = raw(&world, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{method}: {answer}");
        let got = recorder.take();
        assert!(
            got.contains("transfer-encoding: chunked") && got.contains("\r\n2\r\nab\r\n0\r\n\r\n"),
            "{method}: {got}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_the_versions_failure() {
    let bad: &[&'static [u8]] = &[
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
    ];
    for answer in bad {
        let recorder = Recorder::start(answer).await;
        let world = recorder.world().await;
        let shown = String::from_utf8_lossy(answer);
        let got = raw(&world, b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 502 ") && got.contains("error=http_protocol_error"), "{shown}: {got}");
        let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
        assert_eq!((row.failed, row.failed_by_slipway), (1, 0), "{shown}");
    }
}

#[tokio::test]
async fn a_chunk_of_an_answer_that_is_none_breaks_it_off_and_counts() {
    let recorder = Recorder::start(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n").await;
    let world = recorder.world().await;
    let got = raw(&world, b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!got.ends_with("0\r\n\r\n"), "it must not look whole: {got}");
    let row = world.counts("s", "it is counted", |r| r.attempts == 1).await;
    assert_eq!((row.failed, row.failed_by_slipway), (1, 0));
}

#[tokio::test]
async fn headers_of_one_connection_stay_there_both_ways() {
    let answer = b"HTTP/1.1 200 OK\r\nconnection: x-inner, keep-alive\r\nx-inner: 1\r\nkeep-alive: timeout=5\r\nx-outer: 2\r\ncontent-length: 2\r\n\r\nok";
    let recorder = Recorder::start(answer).await;
    let world = recorder.world().await;
    let got = raw(
        &world,
        b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close, x-mine\r\nx-mine: 1\r\nx-yours: 2\r\nte: trailers\r\nproxy-connection: x\r\n\r\n",
    )
    .await;
    assert!(got.contains("x-outer: 2") && !got.contains("x-inner") && !got.contains("keep-alive"), "{got}");
    let seen = recorder.take();
    assert!(seen.contains("x-yours: 2"), "{seen}");
    for name in ["x-mine", "te: ", "proxy-connection", "connection:"] {
        assert!(!seen.contains(&format!("\r\n{name}")), "{name}: {seen}");
    }
}

#[tokio::test]
async fn a_head_of_http_2_is_held_to_the_same_host_and_target() {
    let recorder = Recorder::start(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let world = recorder.world().await;
    let stream = TokioIo::new(TcpStream::connect(world.address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    // Without an authority, as a gateway before this one would pass on what it got by HTTP/1.1.
    for (method, target, host, status) in [
        ("GET", "/x", "a.local:80", 200),
        ("OPTIONS", "*", "a.local", 200),
        ("GET", "/x", "a, b", 400),
        ("GET", "/x", "a,b", 400),
        ("GET", "/x", "a/b", 400),
        ("GET", "/x", "u@a", 400),
        ("GET", "/x", "a b", 400),
        ("GET", "/x", "a?b", 400),
        ("GET", "*", "a.local", 400),
        ("GET", "/x\\y", "a.local", 400),
        ("GET", "/\"x\"", "a.local", 400),
    ] {
        let sent = sender.send_request(request(method, target, &[("host", host)], "")).await.unwrap();
        assert_eq!(sent.status(), status, "{method} {target} {host}");
        let got = recorder.take();
        assert_eq!(got.is_empty(), status == 400, "{method} {target} {host}: {got}");
    }
}

#[tokio::test]
async fn what_is_refused_is_told_by_its_real_reason() {
    let recorder = Recorder::start(OK).await;
    let world = recorder.world().await;
    let chunked =
        |body: &str| format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}").into_bytes();
    let get =
        |target: &[u8], host: &str| [b"GET ", target, b" HTTP/1.1\r\nhost: ", host.as_bytes(), b"\r\n\r\n"].concat();
    for (bytes, why) in [
        (chunked("xyz\r\nabc\r\n0\r\n\r\n"), "a chunk's size is not a number in hexadecimal digits"),
        (chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300))), "a chunk's extension is too long"),
        (chunked("3\r\nabcd\r\n0\r\n\r\n"), "a chunk does not end in CR LF"),
        (chunked("0\r\nno trailer\r\n\r\n"), "a line of the request's headers has no colon"),
        (get(b"/\xff", "a"), "the request's target is not one that can be forwarded"),
        (get(b"/", "shop.local:99999"), "the request's Host is not a host"),
        (get(b"/", "[::1]:65536"), "the request's Host is not a host"),
        (get(b"/", "shop.local:http"), "the request's Host is not a host"),
        (get(b"http://a:99999/", "a:99999"), "the request's target is not one that can be forwarded"),
    ] {
        let said = raw(&world, &bytes).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{why}: {said}");
        let told = format!("proxy-status: slipway; error=http_request_error; details=\"{why}\"");
        assert!(said.contains(&told) && said.contains(&format!("\"message\":\"{why}\"")), "{why}: {said}");
    }
    recorder.take();
    for host in ["shop.local:65535", "shop.local:", "[::1]", "[::1]:80"] {
        let bytes = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert!(raw(&world, bytes.as_bytes()).await.starts_with("HTTP/1.1 200 "), "{host}");
    }
}
