//! A control plane with a real store, a target in memory, and a gateway that acknowledges at once.
#![allow(dead_code, reason = "not every test file uses everything")]

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_control::ports::{Artifacts, GatewayView, NoReceivers, Prober, Router};
use slipway_control::views::LaneNow;
use slipway_control::{By, Clock, Control, Parts, ReleaseRequest};
use slipway_core::instance::Pending;
use slipway_core::journal::Entry;
use slipway_core::names::{Digest, LaneId, RolloutId, VersionName};
use slipway_core::rollout::Probing;
use slipway_core::traffic::link::{CountRow, Event, Follows};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Weight};
use slipway_store::{Filter, Store};
use slipway_target::fake::FakeTarget;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::watch;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

const FILE: &str = r#"
service: shop
run: { command: ["./shop"] }
health: { http: /healthz }
smoke: [{ name: it answers, http: { path: /, expect: { status: 200 } } }]
traffic: { host: shop.local, path: / }
objectives: [{ name: errors, bad: failed, at_most: 1% }]
environments:
  production:
    instances: 2
    drill: { every: 7d }
    strategy: { canary: { steps: [10%, 100%], verify: 1s, standby: 1h } }
"#;

pub fn name<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn shop() -> LaneId {
    LaneId { service: name("shop"), environment: name("production") }
}

/// A gateway that serves whatever it is given, at once, and remembers what was in the journal at that moment.
pub struct Gateway {
    store: Store,
    published: Mutex<Vec<(RoutingTable, u64)>>,
    nudge: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
    events: Mutex<Vec<Event>>,
    follows: Mutex<Option<Follows>>,
    invited: Mutex<Vec<String>>,
}

impl Gateway {
    /// Tells the control plane of something.
    pub fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.wake();
    }

    /// Says, for as long as it is there, that it has taken a place.
    pub fn follow(&self, follows: Follows) {
        *self.follows.lock().unwrap() = Some(follows);
        self.wake();
    }

    fn wake(&self) {
        self.nudge.lock().unwrap().iter().for_each(|nudge| nudge());
    }

    fn all(&self) -> MutexGuard<'_, Vec<(RoutingTable, u64)>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of a version in every table so far, each with the journal's head when it came.
    pub fn shares(&self, version: &str) -> Vec<(Weight, u64)> {
        let version: VersionName = name(version);
        let route =
            |table: &RoutingTable| table.routes.iter().find(|r| r.lane() == shop()).map(|r| r.split.weight(&version));
        self.all().iter().map(|(table, head)| (route(table).unwrap_or(Weight::ZERO), *head)).collect()
    }

    /// How many instances every table so far had to offer.
    pub fn offered(&self) -> Vec<usize> {
        let endpoints = |table: &RoutingTable| {
            table.routes.iter().flat_map(|r| &r.versions).map(|v| v.endpoints.len()).sum::<usize>()
        };
        self.all().iter().map(|(table, _)| endpoints(table)).collect()
    }

    /// The share that a version has now.
    pub fn share(&self, version: &str) -> Weight {
        self.shares(version).last().map_or(Weight::ZERO, |(weight, _)| *weight)
    }
}

impl Router for Gateway {
    fn publish(&self, table: RoutingTable) {
        let head = self.store.journal_head();
        self.all().push((table, head));
        self.wake();
    }
    fn renew(&self, _: Generation, _: Millis) {}
    fn gateways(&self) -> Vec<GatewayView> {
        vec![GatewayView {
            name: "g".into(),
            connected: true,
            follows: self.follows.lock().unwrap().clone(),
            acked: self.all().last().map(|(table, _)| table.generation).unwrap_or_default(),
            in_flight: Some(vec![]),
            ..GatewayView::default()
        }]
    }
    fn counts(&self) -> Vec<CountRow> {
        Vec::new()
    }
    fn take_events(&self) -> Vec<(String, Event)> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        events.into_iter().map(|event| ("g".to_string(), event)).collect()
    }
    fn called_at(&self, address: Option<&str>) -> Result<String, String> {
        Ok(address.unwrap_or("192.0.2.1:7071").to_string())
    }
    fn invite(&self, name: &str, _: &str) -> Result<serde_json::Value, String> {
        self.invited.lock().unwrap().push(name.to_string());
        Ok(serde_json::Value::Null)
    }
    fn invited(&self) -> Vec<String> {
        self.invited.lock().unwrap().clone()
    }
    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        *self.nudge.lock().unwrap() = Some(nudge);
    }
}

/// Every artifact; where it is held, it takes its time as long as a group goes on.
pub struct Shelf {
    store: Store,
    held: watch::Sender<bool>,
    /// Whoever looks next is held, too.
    next: AtomicBool,
    asked: AtomicBool,
    empty: AtomicBool,
}

/// Probes nobody; panics when it is told to.
#[derive(Default)]
pub struct Jumpy(AtomicBool);

impl Jumpy {
    pub fn startle(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has panicked since.
    pub fn is_calm(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

impl Prober for Jumpy {
    fn probe(&self, _: &LaneId, _: Option<Probing>) {
        assert!(!self.0.swap(false, Ordering::Relaxed), "it was startled");
    }
    fn counts(&self) -> Vec<CountRow> {
        Vec::new()
    }
    fn on_change(&self, _: Arc<dyn Fn() + Send + Sync>) {}
}

impl Shelf {
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Whoever looks next takes its time.
    pub fn hold_next(&self) {
        self.hold();
        self.next.store(true, Ordering::Relaxed);
    }

    /// No artifact is here any more.
    pub fn empty(&self) {
        self.empty.store(true, Ordering::Relaxed);
    }

    pub fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// Whether somebody waits, or has waited.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Artifacts for Shelf {
    fn path<'a>(&'a self, _: &'a Digest) -> Pending<'a, Option<PathBuf>> {
        Box::pin(async {
            let next = self.next.swap(false, Ordering::Relaxed);
            if next || *self.held.borrow() && !self.store.open_groups().await.unwrap().is_empty() {
                self.asked.store(true, Ordering::Relaxed);
                let _ = self.held.subscribe().wait_for(|held| !held).await;
            }
            (!self.empty.load(Ordering::Relaxed)).then(|| PathBuf::from("artifact"))
        })
    }
}

/// What is asked for when a version of the shop is to be released.
pub fn request(version: &str) -> ReleaseRequest {
    ReleaseRequest {
        file: Some(FILE.into()),
        service: None,
        version: Some(name(version)),
        config_only: false,
        artifact: Some(Digest::of(version.as_bytes())),
        environment: name("production"),
        strategy: None,
        supersede: false,
        overriding: None,
    }
}

/// All of it together.
pub struct World {
    pub control: Control,
    pub gateway: Arc<Gateway>,
    pub target: Arc<FakeTarget>,
    pub shelf: Arc<Shelf>,
    pub prober: Arc<Jumpy>,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> World {
        World::on(tempfile::tempdir().unwrap(), Arc::new(FakeTarget::new()), Millis(0)).await
    }

    async fn on(folder: tempfile::TempDir, target: Arc<FakeTarget>, later: Millis) -> World {
        let store = Store::open(folder.path()).await.unwrap();
        let gateway = Arc::new(Gateway {
            store: store.clone(),
            published: Mutex::default(),
            nudge: Mutex::default(),
            events: Mutex::default(),
            follows: Mutex::default(),
            invited: Mutex::default(),
        });
        let shelf = Arc::new(Shelf {
            store: store.clone(),
            held: watch::Sender::new(false),
            next: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            empty: AtomicBool::new(false),
        });
        let prober = Arc::new(Jumpy::default());
        let clock = Clock::starting(store.newest_at().await.unwrap().plus(later));
        let parts = Parts {
            store,
            target: target.clone(),
            router: gateway.clone(),
            prober: prober.clone(),
            artifacts: shelf.clone(),
            receivers: Arc::new(NoReceivers),
            clock,
        };
        World { control: Control::start(parts).await.unwrap(), gateway, target, shelf, prober, folder }
    }

    /// The control plane ends and another one starts on what is kept, while instances go on.
    pub async fn restart(self) -> World {
        let target = self.target.clone();
        self.restart_with(target, Millis(0)).await
    }

    /// The same so much later.
    pub async fn restart_after(self, length: Millis) -> World {
        let target = self.target.clone();
        self.restart_with(target, length).await
    }

    /// The same after a reboot of the machine: nothing runs any more.
    pub async fn reboot(self) -> World {
        self.restart_with(Arc::new(FakeTarget::new()), Millis(0)).await
    }

    async fn restart_with(self, target: Arc<FakeTarget>, later: Millis) -> World {
        let World { control, gateway, shelf, folder, .. } = self;
        control.stop().await;
        control.store().close().await;
        drop((control, gateway, shelf));
        // The old control plane's last tasks let go of the folder in their own time.
        let store = until("the folder is free", async || Store::open(folder.path()).await.ok()).await;
        store.close().await;
        drop(store);
        World::on(folder, target, later).await
    }

    pub async fn release(&self, version: &str) -> RolloutId {
        self.ask(version, false).await
    }

    pub async fn ask(&self, version: &str, supersede: bool) -> RolloutId {
        self.ask_as(version, supersede, &By::once("user:ann")).await
    }

    pub async fn ask_as(&self, version: &str, supersede: bool, by: &By) -> RolloutId {
        let request = ReleaseRequest { supersede, ..request(version) };
        self.control.release(request, by).await.unwrap()
    }

    pub async fn now(&self) -> LaneNow {
        self.control.lane(&shop()).await.unwrap().unwrap()
    }

    /// How a rollout ended or stands, as its row has it.
    pub async fn state_kept(&self, id: &RolloutId) -> String {
        let row = self.control.store().rollout(id).await.unwrap().unwrap();
        serde_json::from_str::<serde_json::Value>(&row.doc).unwrap()["state"].to_string()
    }

    /// Waits for a rollout's end and says how it came out.
    pub async fn end(&self, id: &RolloutId) -> String {
        until(&format!("{id} ends"), async || self.control.store().rollout(id).await.ok()??.outcome).await
    }

    /// Releases a version that is to serve everyone.
    pub async fn serving(&self, version: &str) {
        let id = self.release(version).await;
        assert_eq!(self.end(&id).await, "succeeded");
        assert_eq!(self.gateway.share(version), Weight::ALL);
    }

    /// Releases a version beside one that serves already; a person answers for it, since nobody asks for anything.
    pub async fn promoted(&self, version: &str) {
        let id = self.release(version).await;
        self.divided(version).await;
        self.control
            .command(&shop(), slipway_control::Command::Promote { step: None }, &By::once("user:ann"))
            .await
            .unwrap();
        assert_eq!(self.end(&id).await, "succeeded");
        assert_eq!(self.gateway.share(version), Weight::ALL);
    }

    /// Waits until a version has a share of the traffic that is not all of it.
    pub async fn divided(&self, version: &str) {
        until("the traffic is divided", async || (self.gateway.share(version).bp() == 1_000).then_some(())).await;
    }

    /// Every entry, oldest first.
    pub async fn journal(&self) -> Vec<Entry> {
        let filter = Filter { after: Some(0), limit: Some(10_000), ..Filter::default() };
        self.control.store().entries(&filter).await.unwrap()
    }

    /// The numbers of the entries of a kind.
    pub async fn entries(&self, kind: &str) -> Vec<u64> {
        self.journal().await.iter().filter(|e| e.fact.kind == kind).map(|e| e.seq).collect()
    }

    /// Runs a statement past the store.
    pub async fn sql(&self, statement: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("slipway.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Nothing can be written any more, until [`World::mend_store`].
    pub async fn break_store(&self) {
        self.sql("CREATE TRIGGER broken BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END")
            .await;
    }

    pub async fn mend_store(&self) {
        self.sql("DROP TRIGGER broken").await;
    }
}

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// The instances that the target has.
pub fn ids(world: &World) -> Vec<slipway_core::names::InstanceId> {
    use slipway_core::instance::Target;
    world.target.instances().into_iter().map(|instance| instance.id).collect()
}
