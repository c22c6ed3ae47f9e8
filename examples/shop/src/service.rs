//! What the shop answers to each request. Long answers live in [`crate::streams`].

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::behaviour::Behaviour;
use crate::outcomes::Reporter;
use crate::streams;

pub type Body = BoxBody<Bytes, Infallible>;

const X_VERSION: HeaderName = HeaderName::from_static("x-version");
const X_INSTANCE: HeaderName = HeaderName::from_static("x-instance");
/// The exit code of a crash on purpose.
const CRASHED: i32 = 3;
/// Largest request body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// The shop while it runs.
pub struct Shop {
    behaviour: Behaviour,
    /// Customers' requests so far.
    requests: AtomicU64,
    orders: AtomicU64,
    reporter: Option<Reporter>,
    /// Turns true when the shop is asked to stop; long answers end then, and drop their copy.
    closing: watch::Receiver<bool>,
}

impl Shop {
    pub fn new(behaviour: Behaviour, closing: watch::Receiver<bool>) -> Self {
        let reporter = Reporter::start(&behaviour);
        Self { behaviour, requests: AtomicU64::new(0), orders: AtomicU64::new(0), reporter, closing }
    }
}

/// Answers one request, and signs the answer.
pub async fn answer(shop: Arc<Shop>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = match misbehave(&shop, &request).await {
        Some(failure) => failure,
        None => route(&shop, request).await,
    };
    let signs = [(X_VERSION, &shop.behaviour.version), (X_INSTANCE, &shop.behaviour.instance)];
    for (name, value) in signs {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn route(shop: &Shop, request: Request<Incoming>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => greeting(shop),
        (&Method::GET | &Method::HEAD, "/healthz") => match shop.behaviour.never_healthy {
            true => json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"healthy": false})),
            false => json_answer(StatusCode::OK, &json!({"healthy": true})),
        },
        (&Method::GET | &Method::HEAD, "/ready") => json_answer(StatusCode::OK, &json!({"ready": true})),
        (&Method::GET | &Method::HEAD, "/version") => json_answer(
            StatusCode::OK,
            &json!({"version": shop.behaviour.version, "instance": shop.behaviour.instance}),
        ),
        (&Method::POST, "/login") => log_in(shop, request).await,
        (&Method::GET, "/cart") => cart(&request),
        (&Method::POST, "/checkout") => check_out(shop, &request),
        (&Method::GET, "/slow") => {
            tokio::time::sleep(Duration::from_millis(query(&request, "ms").unwrap_or(1000))).await;
            json_answer(StatusCode::OK, &json!({"ok": true}))
        }
        (&Method::GET, "/download") => {
            let (mb, seconds) = (query(&request, "mb").unwrap_or(1), query(&request, "seconds").unwrap_or(1));
            streams::download(mb, seconds)
        }
        (&Method::GET, "/events") => streams::events(shop.behaviour.version.clone(), shop.closing.clone()),
        (&Method::GET, "/ws") => streams::web_socket(request, shop.closing.clone()),
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"error": "the shop has no such page"})),
    }
}

/// Delays, crashes or fails where the shop's behaviour says so.
async fn misbehave(shop: &Shop, request: &Request<Incoming>) -> Option<Response<Body>> {
    let bad = &shop.behaviour;
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/version") && bad.outage_file.as_ref().is_some_and(|file| file.exists()) {
        return Some(json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": "the database is down"})));
    }
    if !matches!(path, "/" | "/checkout" | "/slow") {
        return None;
    }
    let count = shop.requests.fetch_add(1, Relaxed) + 1;
    if bad.crash_after.is_some_and(|n| count >= n) || happens(bad.crash_rate) {
        eprintln!("shop crashes on purpose at request {count}");
        std::process::exit(CRASHED);
    }
    if bad.slow_ms > 0 && happens(bad.slow_rate) {
        tokio::time::sleep(Duration::from_millis(bad.slow_ms)).await;
    }
    if happens(bad.fail_rate) || bad.fail_for_user.as_deref().is_some_and(|user| session(request) == Some(user)) {
        return Some(json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "the shop failed on purpose"})));
    }
    None
}

fn happens(rate: f64) -> bool {
    rate > 0.0 && rand::random::<f64>() < rate
}

fn session(request: &Request<Incoming>) -> Option<&str> {
    let cookies = request.headers().get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix("session="))
}

fn greeting(shop: &Shop) -> Response<Body> {
    let version = &shop.behaviour.version;
    let page = format!("<!doctype html><title>Shop</title><h1>Welcome to the shop</h1><p>version {version}</p>\n");
    respond(StatusCode::OK, "text/html; charset=utf-8", page)
}

async fn log_in(shop: &Shop, request: Request<Incoming>) -> Response<Body> {
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
    let asked: Option<Value> = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    match asked.as_ref().and_then(|asked| asked["user"].as_str()).filter(|user| !user.is_empty()) {
        None => json_answer(StatusCode::BAD_REQUEST, &json!({"ok": false, "error": "send {\"user\": NAME}"})),
        Some(_) if shop.behaviour.smoke_fail => {
            json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"ok": false, "error": "nobody can log in"}))
        }
        Some(user) => json_answer(StatusCode::OK, &json!({"ok": true, "token": format!("token-{user}")})),
    }
}

fn cart(request: &Request<Incoming>) -> Response<Body> {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match token.and_then(|value| value.strip_prefix("Bearer token-")) {
        Some(user) => json_answer(StatusCode::OK, &json!({"user": user, "items": []})),
        None => json_answer(StatusCode::UNAUTHORIZED, &json!({"error": "log in first"})),
    }
}

fn check_out(shop: &Shop, request: &Request<Incoming>) -> Response<Body> {
    let order = shop.orders.fetch_add(1, Relaxed) + 1;
    let lost = happens(shop.behaviour.lose_orders);
    if let Some(reporter) = &shop.reporter {
        reporter.order(order, session(request), lost);
    }
    json_answer(StatusCode::OK, &json!({"ok": true, "order": order}))
}

fn query(request: &Request<Incoming>, key: &str) -> Option<u64> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(k, _)| *k == key).find_map(|(_, v)| v.parse().ok())
}

/// An answer of JSON.
pub fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    respond(status, "application/json", format!("{body}\n"))
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
