//! The API over a real store and a real control plane, with a target and a gateway that exist in memory only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use slipway_control::ports::{self, Artifacts, GatewayView, NoReceivers};
use slipway_control::{Clock, Control, Parts};
use slipway_core::instance::Pending;
use slipway_core::names::Digest;
use slipway_core::traffic::link::{CountRow, Event};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};
use slipway_registry::Blobs;
use slipway_server::{App, Farewell};
use slipway_store::Store;
use slipway_target::fake::FakeTarget;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tower::ServiceExt;

const TOKEN: &str = "a-token-for-fuzzing";
/// Where folders are made that need no disk, where there is such a place.
const MEMORY: &str = "/dev/shm";

/// One gateway that serves whatever it is handed at once.
#[derive(Default)]
struct Gateway {
    acked: Mutex<Generation>,
    nudges: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

impl ports::Router for Gateway {
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

/// An API that is called without a socket.
pub(crate) struct Api {
    /// Absent once it has ended.
    runtime: Option<Runtime>,
    router: Router,
    control: Control,
    farewells: mpsc::Receiver<Farewell>,
    _folder: tempfile::TempDir,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Api {
    /// An API that knows nothing yet.
    pub(crate) fn start() -> Api {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir_in(MEMORY).or_else(|_| tempfile::tempdir()).expect("a folder");
        let (router, control, farewells) = runtime.block_on(async {
            let store = Store::open(folder.path()).await.expect("a store");
            store.insert_token("tester", TOKEN, Timestamp(1)).await.expect("a token");
            let blobs = Blobs::open(folder.path().join("artifacts")).expect("a folder of artifacts");
            let control = Control::start(Parts {
                store,
                target: Arc::new(FakeTarget::new()),
                router: Arc::new(Gateway::default()),
                prober: Arc::new(()),
                artifacts: Arc::new(Kept(blobs.clone())),
                receivers: Arc::new(NoReceivers),
                clock: Clock::starting(Timestamp(0)),
            });
            let control = control.await.expect("a control plane");
            let (farewell, farewells) = mpsc::channel(1);
            let app = App {
                control: control.clone(),
                known: Default::default(),
                challenges: Default::default(),
                blobs,
                farewell,
            };
            (slipway_server::router(app), control, farewells)
        });
        Api { runtime: Some(runtime), router, control, farewells, _folder: folder }
    }

    /// Sends a request with a token that may do everything, and waits for the whole answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("authorization", format!("Bearer {TOKEN}")).body(Body::from(body)).ok()?;
        // Whoever asks it to end is not obeyed.
        while self.farewells.try_recv().is_ok() {}
        let router = self.router.clone();
        Some(self.runtime.as_ref()?.block_on(async move {
            let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.expect("a whole answer").to_bytes().to_vec();
            Answer { status: parts.status, headers: parts.headers, body }
        }))
    }

    /// Stops everything that it does by itself.
    pub(crate) fn end(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.control.stop());
        }
    }
}

impl Drop for Api {
    /// The last one is dropped as its thread ends, where a runtime finds nothing any more that its tasks need to be dropped.
    fn drop(&mut self) {
        std::mem::forget(self.runtime.take());
    }
}
