//! The gateway's shared state, and the few ways in which it changes: a newer table, a renewal, a lease that ran out.
//!
//! A change swaps everything that is served at once and then waits until no request is between looking at the old
//! state and being handed to a connection. Only after that is a table acknowledged.

mod folder;
mod leasing;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use slipway_core::names::InstanceId;
use slipway_core::traffic::link::{Ejection, Follows};
use slipway_core::traffic::{Generation, RoutingTable, TableChange};

use crate::access_log::{self, AccessLog};
use crate::api::{Passing, Way};
use crate::clock::{self, Suspensions};
use crate::connection;
use crate::count::Counts;
use crate::eject;
use crate::events::Events;
use crate::inject::Terms;
use crate::lease::Leases;
use crate::maintenance::Held;
use crate::outcomes::Reports;
use crate::places::Places;
use crate::pulse::Pulse;
use crate::served::Served;
use crate::server::Tuning;
use crate::table_store::{Rest, TableStore};
use crate::tls::Certificates;
use crate::upstream::Upstream;

/// Everything that the gateway's tasks share.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Its name, stable over restarts.
    pub(crate) name: String,
    /// New at every start.
    pub(crate) boot: String,
    /// Limits and intervals.
    pub(crate) tuning: Tuning,
    /// What it counts.
    pub(crate) counts: Counts,
    /// What the control plane should know at once.
    pub(crate) events: Events,
    /// Where requests are written down, if anywhere.
    pub(crate) access_log: Option<AccessLog>,
    /// Cancelled to drain: nothing new is accepted.
    pub(crate) closing: CancellationToken,
    /// Cancelled once another process serves in this one's place: nothing new is accepted, and connections end as they
    /// come to an end by themselves.
    pub(crate) draining: CancellationToken,
    /// Whether another process is being handed everything: until it is clear which of the two serves, the control plane is
    /// not called anew.
    pub(crate) handing_over: watch::Sender<bool>,
    /// Whom this process has followed, once it serves.
    pub(crate) follows: std::sync::OnceLock<Follows>,
    /// Told when the control plane is to be called anew, since it may take another process for this gateway.
    pub(crate) call_anew: Notify,
    /// Whether the control plane has let this gateway in, and the link is up.
    pub(crate) connected: AtomicBool,
    /// How long the drain may take.
    pub(crate) drain_limit: Mutex<Duration>,
    /// Cancelled to cut whatever still runs.
    pub(crate) stopped: CancellationToken,
    /// Cancelled to end: nothing of the gateway goes on.
    pub(crate) ended: CancellationToken,
    /// Cancelled when the control plane has been told the last counts.
    pub(crate) told_all: CancellationToken,
    /// Client connections and tunnels.
    pub(crate) running: TaskTracker,
    /// Requests that are held by maintenance.
    pub(crate) held: Held,
    /// Reports of outcomes on their way to the API.
    pub(crate) reports: Reports,
    /// Questions of those who issue certificates. Anybody may ask them, so they take no report's place.
    pub(crate) proofs: Passing,
    /// What TLS is spoken with, if it is.
    pub(crate) certificates: std::sync::OnceLock<Arc<Certificates>>,
    /// How questions get to the control plane's API, as it last said.
    pub(crate) api: Mutex<Option<Way>>,
    /// Whether the control plane has said which table is the newest.
    pub(crate) in_step: watch::Sender<bool>,
    /// Whether this process stood still.
    pub(crate) pulse: Pulse,
    /// What bounds connections to instances.
    pub(crate) places: Places,
    /// Requests that took the short way.
    pub(crate) short_way: AtomicU64,
    served: ArcSwap<Served>,
    tables: watch::Sender<()>,
    dispatch: RwLock<()>,
    control: tokio::sync::Mutex<Control>,
    leases_changed: Notify,
    /// Something could not be written.
    unwritten: Arc<AtomicBool>,
    store: TableStore,
    /// Instances that left the table while they were answering.
    leaving: Mutex<Vec<Arc<Upstream>>>,
}

#[derive(Debug, Default)]
struct Control {
    table: Option<Arc<RoutingTable>>,
    /// Whether that is all of the table of its number.
    is_whole: bool,
    /// When it was said, in milliseconds since the machine's boot.
    said_ms: u64,
    leases: Leases,
    terms: Terms,
    suspensions: Suspensions,
}

/// What is being written.
#[must_use = "whoever acknowledges it waits for it"]
struct Writing(oneshot::Receiver<()>);

impl Writing {
    /// Waits until it is, or cannot be.
    async fn done(self) {
        // It is told by letting go, however it ends.
        let _ = self.0.await;
    }
}

impl Gateway {
    /// A gateway that serves what `store` remembers.
    pub(crate) fn start(name: String, tuning: Tuning, store: TableStore, access_log: Option<AccessLog>) -> Gateway {
        let ended = CancellationToken::new();
        let gateway = Gateway {
            places: Places::new(tuning.instance_connections.min(connection::room())),
            name,
            boot: format!("{:016x}", rand::random::<u64>()),
            tuning,
            counts: Counts::default(),
            events: Events::default(),
            access_log,
            closing: CancellationToken::new(),
            draining: CancellationToken::new(),
            handing_over: watch::Sender::new(false),
            follows: Default::default(),
            call_anew: Notify::new(),
            connected: AtomicBool::default(),
            drain_limit: Mutex::new(Duration::from_secs(30)),
            stopped: ended.child_token(),
            ended,
            told_all: CancellationToken::new(),
            running: TaskTracker::new(),
            held: Held::default(),
            reports: Reports::default(),
            proofs: Passing::default(),
            certificates: Default::default(),
            api: Mutex::default(),
            in_step: watch::Sender::new(false),
            pulse: Pulse::default(),
            tables: watch::Sender::new(()),
            short_way: AtomicU64::new(0),
            served: ArcSwap::default(),
            dispatch: RwLock::new(()),
            control: tokio::sync::Mutex::default(),
            leases_changed: Notify::new(),
            unwritten: Arc::default(),
            store,
            leaving: Mutex::default(),
        };
        gateway.restore()
    }

    fn restore(mut self) -> Gateway {
        let Some(found) = self.store.read() else { return self };
        self.control.get_mut().restore(found);
        self.swap_unlocked();
        self
    }

    fn swap_unlocked(&mut self) {
        let control = self.control.get_mut();
        if let Some(table) = &control.table {
            let before = self.served.load_full();
            let now =
                Served::build(table.clone(), (&control.leases, &control.terms), &before, &self.counts, &self.stopped);
            self.served.store(Arc::new(now));
        }
    }

    /// Changes whenever something else is served.
    pub(crate) fn tables(&self) -> watch::Receiver<()> {
        self.tables.subscribe()
    }

    /// What is served at this instant.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// What a request is to be routed by: what is served, once a process that stood still has caught up.
    pub(crate) async fn current(&self) -> Arc<Served> {
        if self.is_behind() {
            self.catch_up().await;
        }
        self.served()
    }

    /// Holds off the next change while a request is handed to a connection; `None` where `seen` is no longer what is
    /// served, or this process stood still since, and the request has to be routed again. Must not be held over an await.
    pub(crate) fn dispatch(&self, seen: &Served) -> Option<RwLockReadGuard<'_, ()>> {
        let guard = self.dispatch.read().unwrap_or_else(PoisonError::into_inner);
        (self.served.load().sequence == seen.sequence && !self.is_behind()).then_some(guard)
    }

    /// What a change makes of the table that was applied last; `None` where it changes another.
    pub(crate) async fn changed(&self, change: TableChange) -> Option<RoutingTable> {
        let control = self.control.lock().await;
        if change.from.is_some() && !control.is_whole {
            return None;
        }
        change.apply(control.table.as_deref())
    }

    /// Serves `table` if it is newer and holds together. The generation that is served afterwards, by every request
    /// that is dispatched from now on; `None` where the table makes no sense, or is older than what there is only a part of. Its leases run from `said_ms` on, in
    /// milliseconds since the machine's boot.
    pub(crate) async fn apply(&self, table: RoutingTable, said_ms: u64) -> Option<Generation> {
        if let Err(error) = table.check() {
            tracing::warn!(generation = table.generation.0, %error, "a routing table does not hold together: ignored");
            return None;
        }
        let mut control = self.control.lock().await;
        let served = self.served.load().generation();
        // What was restored may be less than the table of that number.
        let is_same = || control.is_whole && control.table.as_deref() == Some(&table);
        if table.generation < served || (table.generation == served && is_same()) {
            return control.is_whole.then_some(served);
        }
        control.wake_up();
        let (now, age) = (Instant::now(), clock::elapsed(said_ms));
        control.leases.start(&table, |term| now + term.saturating_sub(age));
        control.terms.start(&table, now, access_log::now());
        let table = Arc::new(table);
        (control.table, control.is_whole, control.said_ms) = (Some(table.clone()), true, said_ms);
        self.swap(&control);
        // Whoever takes the table in may be cancelled while it waits for the disk, for which nobody else is to wait.
        self.leases_changed.notify_one();
        let written = self.write(&control);
        drop(control);
        written.done().await;
        self.counts.forget_unused();
        tracing::info!(generation = table.generation.0, "serving a new routing table");
        Some(table.generation)
    }

    /// Puts table and lapses in force; afterwards nothing is dispatched by what was served before.
    fn swap(&self, control: &Control) {
        let Some(table) = &control.table else { return };
        let before = self.served.load_full();
        let now = Arc::new(Served::build(
            table.clone(),
            (&control.leases, &control.terms),
            &before,
            &self.counts,
            &self.stopped,
        ));
        self.served.store(now.clone());
        let gone = |fault: &&Arc<_>| !now.faults().any(|other| Arc::ptr_eq(other, fault));
        before.faults().filter(gone).for_each(|fault| fault.end());
        self.tables.send_replace(());
        drop(self.dispatch.write().unwrap_or_else(PoisonError::into_inner));
        self.drain_what_left(&before, &now);
        for route in &now.routes {
            for version in &route.versions {
                eject::note_loss(self, version, &route.lane, "it has no instance that is ready");
            }
        }
    }

    fn drain_what_left(&self, before: &Served, now: &Served) {
        for route in &now.routes {
            for version in &route.versions {
                for upstream in &version.upstreams {
                    if version.reached { upstream.undrain() } else { upstream.drain(&route.route.limits) }
                }
            }
        }
        let kept: HashSet<_> = now.upstreams().map(Arc::as_ptr).collect();
        for route in &before.routes {
            let gone = |u: &&Arc<Upstream>| !kept.contains(&Arc::as_ptr(u));
            for upstream in route.versions.iter().flat_map(|v| &v.upstreams).filter(gone) {
                upstream.retire(&route.route.limits);
                lock(&self.leaving).push(upstream.clone());
            }
        }
    }

    /// Instances that have left the table and still answer requests, with how many.
    pub(crate) fn leaving(&self) -> Vec<(InstanceId, u64)> {
        let mut leaving = lock(&self.leaving);
        leaving.retain(|u| u.in_flight() > 0);
        leaving.iter().map(|u| (u.endpoint.instance.clone(), u.in_flight() as u64)).collect()
    }

    /// Has what is known now written. It goes on whether or not it is waited for, and must not be waited for with the lock.
    fn write(&self, control: &Control) -> Writing {
        let (tell, written) = oneshot::channel();
        let Some(table) = control.table.clone() else { return Writing(written) };
        let (store, unwritten) = (self.store.clone(), self.unwritten.clone());
        let rest = Rest {
            turn: store.turn(),
            said_ms: control.said_ms,
            is_whole: control.is_whole,
            lapses: control.leases.lapses(),
            faults: control.terms.left(Instant::now()),
        };
        tokio::task::spawn_blocking(move || {
            match store.write(&table, rest) {
                Ok(()) => {
                    if unwritten.swap(false, AcqRel) {
                        tracing::info!("the routing table is written");
                    }
                }
                Err(error) => {
                    if !unwritten.swap(true, AcqRel) {
                        tracing::error!(%error, "the routing table cannot be written; a restart would have to wait for one, until it can be");
                    }
                    return;
                }
            }
            drop(tell);
            // Another write may have taken the file's place meanwhile, and brings its own sync.
            if let Err(error) = store.sync() {
                tracing::debug!(%error, "the routing table was not synced");
            }
        });
        Writing(written)
    }

    /// The table that is served, if that is all of it; and the table of which a part is, if it is not.
    pub(crate) async fn serves(&self) -> (Generation, Generation) {
        let control = self.control.lock().await;
        let served = control.table.as_deref();
        let generation = served.map_or(Generation(0), |table| table.generation);
        match served {
            _ if control.is_whole => (generation, Generation(0)),
            Some(table) if table.routes.iter().flat_map(|r| &r.versions).any(|v| !v.endpoints.is_empty()) => {
                (Generation(0), generation)
            }
            _ => (Generation(0), Generation(0)),
        }
    }

    /// Epochs whose lease ran out.
    pub(crate) async fn lapses(&self) -> Vec<slipway_core::traffic::link::Lapse> {
        self.control.lock().await.leases.lapses()
    }

    /// Instances that are not used at present.
    pub(crate) fn ejections(&self) -> Vec<Ejection> {
        let served = self.served();
        let why = |u: &crate::upstream::Upstream| lock(&u.ejected).clone();
        served.upstreams().filter_map(|u| why(u).map(|why| eject::ejection(u, why))).collect()
    }

    /// Stops accepting; what is in flight may go on for `drain`.
    pub(crate) fn close(&self, drain: Duration) {
        *lock(&self.drain_limit) = drain;
        self.closing.cancel();
    }
}

/// The lock, also where a panic left it: every value here is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
