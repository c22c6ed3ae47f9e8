//! An API over a real store and a real control plane, with a target and a gateway that exist in memory only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use slipway_control::ports::{Artifacts, GatewayView, NoReceivers, Router};
use slipway_control::{Clock, Control, Parts};
use slipway_core::instance::Pending;
use slipway_core::names::Digest;
use slipway_core::rights::Rights;
use slipway_core::traffic::link::{CountRow, Event};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};
use slipway_registry::Blobs;
use slipway_server::{App, Farewell};
use slipway_store::{Store, TokenRecord};
use slipway_target::fake::FakeTarget;
use tokio::sync::mpsc;

pub const TOKEN: &str = "a-token-for-tests";
/// May look, and do nothing.
pub const ONLOOKER: &str = "an-onlookers-token";
/// How long a test waits for something that takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A service that is verified for a second, and held for ever where evidence is asked for.
pub const FILE: &str = r#"
service: shop
run: { command: ["./shop"] }
health: { http: /healthz }
objectives:
  - { name: errors, bad: failed, at_most: 1% }
environments:
  quick: { instances: 1, strategy: { blue-green: { verify: 1s, standby: 1h } } }
  careful: { instances: 2, strategy: { canary: { steps: [10%, 100%], step_limit: 10m, verify: 1m } } }
"#;

/// One gateway that serves whatever it is handed at once.
#[derive(Default)]
struct Gateway {
    acked: Mutex<Generation>,
    nudges: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

impl Router for Gateway {
    fn publish(&self, table: RoutingTable) {
        *self.acked.lock().unwrap_or_else(PoisonError::into_inner) = table.generation;
        let nudges = self.nudges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nudges.iter().for_each(|nudge| nudge());
    }
    fn renew(&self, _: Generation, _: Millis) {}
    fn gateways(&self) -> Vec<GatewayView> {
        let acked = *self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        vec![GatewayView {
            name: "gw".into(),
            connected: true,
            acked,
            in_flight: Some(vec![]),
            ..GatewayView::default()
        }]
    }
    fn counts(&self) -> Vec<CountRow> {
        Vec::new()
    }
    fn take_events(&self) -> Vec<(String, Event)> {
        Vec::new()
    }
    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.nudges.lock().unwrap_or_else(PoisonError::into_inner).push(nudge);
    }
}

struct Kept(Blobs);

impl Artifacts for Kept {
    fn path<'a>(&'a self, digest: &'a Digest) -> Pending<'a, Option<PathBuf>> {
        let path = self.0.path(digest);
        Box::pin(async move { path })
    }
}

/// An API that listens.
pub struct Api {
    pub url: String,
    pub http: reqwest::Client,
    /// Streams end when this is dropped.
    pub farewells: mpsc::Receiver<Farewell>,
    pub store: Store,
    _folder: tempfile::TempDir,
}

impl Api {
    pub async fn start() -> Api {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.insert_token("tester", TOKEN, Timestamp(1)).await.unwrap();
        let rights = Rights::default();
        let onlooker = TokenRecord { name: "onlooker".to_string(), rights, created_at: Timestamp(1) };
        assert!(store.create_token(&onlooker, ONLOOKER, "user:tester").await.unwrap());
        let blobs = Blobs::open(folder.path().join("artifacts")).unwrap();
        let control = Control::start(Parts {
            store: store.clone(),
            target: Arc::new(FakeTarget::new()),
            router: Arc::new(Gateway::default()),
            prober: Arc::new(()),
            artifacts: Arc::new(Kept(blobs.clone())),
            receivers: Arc::new(NoReceivers),
            clock: Clock::starting(Timestamp(0)),
        })
        .await
        .unwrap();
        let (farewell, farewells) = mpsc::channel(1);
        let router = slipway_server::router(App {
            control,
            known: Default::default(),
            challenges: Default::default(),
            blobs,
            farewell,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Api { url, http: reqwest::Client::new(), farewells, store, _folder: folder }
    }

    /// A request with the token.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN)
    }

    /// What an endpoint needs of a token, as one without rights is told.
    pub async fn right(&self, method: &Method, url: &str) -> String {
        let request = self.http.request(method.clone(), url).bearer_auth(ONLOOKER);
        let answer = request.send().await.unwrap();
        if answer.status().as_u16() != 403 {
            return "token".to_string();
        }
        let problem: Value = answer.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap();
        let right = detail.split("may not ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
        format!("token that may {right}")
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).send().await.unwrap();
        assert!(answer.status().is_success(), "GET {path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.ask(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    /// Uploads an artifact; its digest.
    pub async fn upload(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        let put = self.ask(Method::PUT, &format!("/artifacts/{digest}")).body(bytes.to_vec());
        assert!(put.send().await.unwrap().status().is_success());
        digest
    }

    /// What is posted to release a version.
    pub async fn release(&self, version: &str, environment: &str) -> Value {
        let artifact = self.upload(version.as_bytes()).await;
        json!({ "file": FILE, "version": version, "artifact": artifact, "environment": environment })
    }

    /// A rollout, once it looks like this.
    pub async fn rollout_until(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let rollout = self.get(&format!("/rollouts/{id}")).await;
            if holds(&rollout) {
                return rollout;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}: {rollout}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Status and JSON of an answer.
pub async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status}: {e}: {text}")))
}
