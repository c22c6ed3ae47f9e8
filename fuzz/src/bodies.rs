//! Bodies at the API, over a real store and a real control plane: a request ends in what was asked or in a problem that
//! says what is wrong, and never in a failure of Slipway's own.
//!
//! The input is a request as people write one down: a line with method and path, headers, an empty line, the body. A
//! header `pad` appends so many spaces to the body, so that a small input can be a large request.

use std::cell::RefCell;

use serde_json::Value;
use slipway_core::names::Digest;
use slipway_core::spec;
use slipway_server::WireProblem;

use crate::world::{Answer, Api};

/// After so many requests the world begins anew, since what was accepted is kept.
const REQUESTS: usize = 256;
/// Largest body of JSON, as the API's page says.
const BODY_LIMIT: usize = 2 << 20;
/// Most that is appended.
const MOST_PAD: usize = 5 << 20;
/// What every world has as an artifact.
const BUILD: &[u8] = b"the build";
/// The service that every world has.
const FILE: &str = include_str!("../shop.yaml");

thread_local! {
    static WORLD: RefCell<Option<(Api, usize)>> = const { RefCell::new(None) };
}

/// Sends what `bytes` say.
pub fn run(bytes: &[u8]) {
    let Some(request) = Request::read(bytes) else { return };
    WORLD.with_borrow_mut(|world| {
        let (api, left) = world.get_or_insert_with(|| (settled(), REQUESTS));
        *left -= 1;
        send(api, &request);
        if *left == 0
            && let Some((api, _)) = world.take()
        {
            api.end();
        }
    });
}

/// A world in which one service was released.
fn settled() -> Api {
    let mut api = Api::start();
    let digest = Digest::of(BUILD).to_string();
    let put = api.ask("PUT", &format!("/api/v1/artifacts/{digest}"), &[], BUILD.to_vec()).expect("a request");
    assert!(put.status.is_success());
    let release = serde_json::json!({ "file": FILE, "version": "1.0.0", "artifact": digest, "environment": "quick" });
    let json = [("content-type", "application/json")];
    let released = api.ask("POST", "/api/v1/releases", &json, release.to_string().into_bytes()).expect("a request");
    assert!(released.status.is_success(), "{}", String::from_utf8_lossy(&released.body));
    api
}

struct Request<'a> {
    method: &'static str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
}

impl<'a> Request<'a> {
    fn read(bytes: &'a [u8]) -> Option<Request<'a>> {
        let head = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
        let mut lines = std::str::from_utf8(&bytes[..head]).ok()?.lines();
        let (method, path) = lines.next()?.split_once(' ')?;
        let method = *["POST", "PUT", "DELETE"].iter().find(|m| **m == method)?;
        let mut headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
        let mut body = bytes.get(head + 2..).unwrap_or_default().to_vec();
        if let Some(pad) = headers.iter().find(|(name, _)| *name == "pad").and_then(|(_, n)| n.parse::<usize>().ok()) {
            body.resize(body.len() + pad.min(MOST_PAD), b' ');
        }
        headers.retain(|(name, _)| ["idempotency-key", "content-type"].contains(name));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", "application/json"));
        }
        Some(Request { method, path, headers, body })
    }
}

/// Sends it and looks at the answer.
fn send(api: &mut Api, request: &Request) {
    let mut ask = || api.ask(request.method, request.path, &request.headers, request.body.clone());
    // A path that no client could send.
    let Some(answer) = ask() else { return };
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!answer.status.is_server_error(), "{} {}: {told}", request.method, request.path);
    let uploads = request.path.starts_with("/api/v1/artifacts/");
    if answer.status.is_success() {
        assert!(uploads || request.body.len() <= BODY_LIMIT, "{} takes {} bytes", request.path, request.body.len());
        if has(&answer, "json") {
            serde_json::from_slice::<Value>(&answer.body).unwrap_or_else(|e| panic!("{e}: {told}"));
        }
        let keyed = request.headers.iter().any(|(name, _)| *name == "idempotency-key");
        let again = keyed.then(ask).flatten();
        if let Some(again) = again.filter(|again| again.headers.contains_key("idempotent-replayed")) {
            assert_eq!((again.status, &again.body), (answer.status, &answer.body), "asked again, it is not the same");
        }
    } else if request.path.starts_with("/api/") {
        is_problem(&answer, &told);
    }
    if request.path == "/api/v1/check" && request.method == "POST" && request.body.len() <= BODY_LIMIT {
        let accepts = std::str::from_utf8(&request.body).is_ok_and(|text| spec::parse(text).is_ok());
        assert_eq!(answer.status.is_success(), accepts, "{told}");
    }
}

fn is_problem(answer: &Answer, told: &str) {
    assert!(answer.status.is_client_error(), "{}: {told}", answer.status);
    assert!(has(answer, "application/problem+json"), "{}: {told}", answer.status);
    let problem: WireProblem = serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {told}"));
    assert_eq!(problem.status, answer.status.as_u16(), "{told}");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(!problem.code.is_empty() && problem.code.chars().all(plain), "{told}");
    assert_eq!(problem.r#type, format!("urn:slipway:problem:{}", problem.code), "{told}");
    assert!(!problem.title.is_empty(), "{told}");
    assert!(problem.mistakes.iter().all(|m| m.line > 0 && m.column > 0), "{told}");
}

fn has(answer: &Answer, content: &str) -> bool {
    answer.headers.get("content-type").and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(content))
}
