//! The other process of the console's benchmark: a real control plane, store, API and console over services that exist
//! in memory only, fifty of which are rolled out for as long as it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_control::ports::{Artifacts, GatewayView, NoReceivers, Router};
use slipway_control::{By, Clock, Control, Parts, ReleaseRequest};
use slipway_core::instance::Pending;
use slipway_core::names::Digest;
use slipway_core::traffic::link::{CountRow, Event, ObjectiveCount};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};
use slipway_registry::Blobs;
use slipway_server::App;
use slipway_store::Store;
use slipway_target::fake::FakeTarget;
use tokio::sync::mpsc;

/// The token that it is asked with.
pub const TOKEN: &str = "a-token-of-the-benchmark";

/// A gateway that serves whatever it is handed at once and counts requests that nobody sends.
#[derive(Default)]
struct Gateway {
    table: Mutex<RoutingTable>,
    counts: Mutex<BTreeMap<String, CountRow>>,
    nudges: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    fn nudge(&self) {
        let nudges = locked(&self.nudges).clone();
        nudges.iter().for_each(|nudge| nudge());
    }

    /// A second's requests of everything that is split.
    fn tick(&self) {
        let table = locked(&self.table).clone();
        let mut counts = locked(&self.counts);
        for route in table.routes.iter().filter(|route| route.split.shares().len() > 1) {
            for share in route.split.shares() {
                let key = format!("{} {} {:?} {}", route.service, route.environment, route.epoch, share.version);
                let row = counts.entry(key).or_insert_with(|| CountRow {
                    service: route.service.clone(),
                    environment: route.environment.clone(),
                    epoch: route.epoch,
                    version: share.version.clone(),
                    cohort: None,
                    assigned: 0,
                    users: 0,
                    attempts: 0,
                    failed: 0,
                    failed_by_slipway: 0,
                    injected: 0,
                    mirrored: false,
                    objectives: vec![ObjectiveCount { name: "errors".into(), n: 0, bad: 0, bad_keys: 0 }],
                    latency_us: vec![(1_000, 0)],
                });
                let requests = u64::from(share.weight.bp()) / 100;
                (row.assigned, row.users, row.attempts) =
                    (row.assigned + requests, row.users + requests, row.attempts + requests);
                row.objectives[0].n = row.attempts;
                row.latency_us[0].1 = row.attempts;
            }
        }
        drop(counts);
        self.nudge();
    }
}

impl Router for Gateway {
    fn publish(&self, table: RoutingTable) {
        *locked(&self.table) = table;
        self.nudge();
    }
    fn renew(&self, _: Generation, _: Millis) {}
    fn gateways(&self) -> Vec<GatewayView> {
        let acked = locked(&self.table).generation;
        vec![GatewayView {
            name: "crowd".into(),
            connected: true,
            acked,
            in_flight: Some(vec![]),
            ..GatewayView::default()
        }]
    }
    fn counts(&self) -> Vec<CountRow> {
        locked(&self.counts).values().cloned().collect()
    }
    fn take_events(&self) -> Vec<(String, Event)> {
        Vec::new()
    }
    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        locked(&self.nudges).push(nudge);
    }
}

struct Kept(Blobs);

impl Artifacts for Kept {
    fn path<'a>(&'a self, digest: &'a Digest) -> Pending<'a, Option<PathBuf>> {
        let path = self.0.path(digest);
        Box::pin(async move { path })
    }
}

/// What is declared of a service.
pub fn file(service: &str) -> String {
    format!(
        "service: {service}\ntraffic: {{ host: {service}.local }}\nrun: {{ command: [\"./it\"] }}\nhealth: {{ http: /healthz }}\n\
         objectives:\n  - {{ name: errors, bad: failed, at_most: 1%, tolerate: 0.001% }}\n\
         environments:\n  production: {{ instances: 2, strategy: {{ canary: {{ steps: [10%, 100%], step_limit: 1h, verify: 1s }} }} }}\n"
    )
}

/// A control plane with services that exist in memory only.
pub struct Crowd {
    control: Control,
    gateway: Arc<Gateway>,
    artifact: Digest,
    /// Where its API listens.
    pub address: std::net::SocketAddr,
    _farewells: mpsc::Receiver<slipway_server::Farewell>,
    _folder: tempfile::TempDir,
}

impl Crowd {
    /// One that knows no service yet.
    pub async fn start() -> anyhow::Result<Crowd> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(folder.path()).await?;
        store.insert_token("bench", TOKEN, Timestamp(1)).await?;
        let blobs = Blobs::open(folder.path().join("artifacts"))?;
        let gateway = Arc::new(Gateway::default());
        let control = Control::start(Parts {
            store: store.clone(),
            target: Arc::new(FakeTarget::new()),
            router: gateway.clone(),
            prober: Arc::new(()),
            artifacts: Arc::new(Kept(blobs.clone())),
            receivers: Arc::new(NoReceivers),
            clock: Clock::starting(Timestamp(0)),
        })
        .await?;
        let (farewell, farewells) = mpsc::channel(1);
        let app = App {
            control: control.clone(),
            known: Default::default(),
            challenges: Default::default(),
            blobs,
            farewell,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, slipway_server::router(app)).await });

        let artifact = Digest::of(b"it");
        let upload = reqwest::Client::new().put(format!("http://{address}/api/v1/artifacts/{artifact}"));
        upload.bearer_auth(TOKEN).body("it").send().await?.error_for_status()?;
        Ok(Crowd { control, gateway, artifact, address, _farewells: farewells, _folder: folder })
    }

    /// Releases a version of so many services.
    async fn release(&self, services: usize, version: &str) -> anyhow::Result<()> {
        let by = By::once("user:bench");
        for n in 0..services {
            let request = ReleaseRequest {
                file: Some(file(&name(n))),
                service: None,
                version: version.parse().ok(),
                artifact: Some(self.artifact.clone()),
                config_only: false,
                environment: "production".parse()?,
                strategy: None,
                supersede: false,
                overriding: None,
            };
            self.control.release(request, &by).await?;
        }
        Ok(())
    }

    /// Makes so many services serve.
    pub async fn serve(&self, services: usize) -> anyhow::Result<()> {
        self.release(services, "1.0.0").await?;
        until(&self.control, |serving, _| serving == services).await
    }

    /// Begins to roll so many of them out, until each splits its traffic.
    pub async fn roll(&self, moving: usize) -> anyhow::Result<()> {
        self.release(moving, "1.1.0").await?;
        until(&self.control, |_, split| split == moving).await
    }

    /// Has requests counted, for ever.
    pub async fn count(&self) -> ! {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.gateway.tick();
        }
    }
}

/// What the service with a number is called.
pub fn name(n: usize) -> String {
    format!("service-{n:03}")
}

/// Serves until it is killed. Prints its address once `services` serve and `moving` of them are rolled out.
pub async fn serve(services: usize, moving: usize) -> anyhow::Result<()> {
    let crowd = Crowd::start().await?;
    crowd.serve(services).await?;
    crowd.roll(moving).await?;
    println!("{}", crowd.address);
    crowd.count().await
}

/// Waits until so many lanes serve, and so many split their traffic.
async fn until(control: &Control, holds: impl Fn(usize, usize) -> bool) -> anyhow::Result<()> {
    let waiting = async {
        loop {
            let (lanes, mut serving, mut split) = (control.known(), 0, 0);
            for id in &lanes {
                let Some(now) = control.lane(id).await? else { continue };
                serving += usize::from(now.lane.stable.is_some() && now.lane.open.is_none());
                split += usize::from(now.split.len() > 1);
            }
            if holds(serving, split) {
                return Ok(());
            }
            // Looking costs more, the more there are.
            tokio::time::sleep(Duration::from_millis(100 + lanes.len() as u64 / 5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), waiting).await?
}
