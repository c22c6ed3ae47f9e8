//! Fakes for this crate's own tests.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::instance::Pending;
use slipway_core::names::Digest;
use slipway_core::traffic::link::{CountRow, Event};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};
use slipway_store::Store;

use crate::clock::Clock;
use crate::control::Parts;
use crate::engine::Engine;
use crate::ports::{Artifacts, GatewayView, NoReceivers, Router};

/// A router that remembers what it was told.
#[derive(Default)]
pub(crate) struct FakeRouter {
    published: Mutex<Vec<RoutingTable>>,
    counts: Mutex<Vec<CountRow>>,
    events: Mutex<Vec<(String, Event)>>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeRouter {
    pub(crate) fn published(&self) -> Vec<RoutingTable> {
        locked(&self.published).clone()
    }

    /// A gateway has counted this by now.
    pub(crate) fn count(&self, rows: impl IntoIterator<Item = CountRow>) {
        *locked(&self.counts) = rows.into_iter().collect();
    }

    /// A gateway tells of something.
    pub(crate) fn tell(&self, event: Event) {
        locked(&self.events).push(("gateway".to_string(), event));
    }
}

impl Router for FakeRouter {
    fn publish(&self, table: RoutingTable) {
        locked(&self.published).push(table);
    }
    fn renew(&self, _: Generation, _: Millis) {}
    fn gateways(&self) -> Vec<GatewayView> {
        Vec::new()
    }
    fn counts(&self) -> Vec<CountRow> {
        locked(&self.counts).clone()
    }
    fn take_events(&self) -> Vec<(String, Event)> {
        std::mem::take(&mut *locked(&self.events))
    }
    fn on_change(&self, _: Arc<dyn Fn() + Send + Sync>) {}
}

struct NoArtifacts;

impl Artifacts for NoArtifacts {
    fn path<'a>(&'a self, _: &'a Digest) -> Pending<'a, Option<PathBuf>> {
        Box::pin(async { None })
    }
}

/// An engine with nothing around it but a store.
pub(crate) fn engine(store: Store) -> Engine {
    engine_at(store, Arc::default())
}

/// The same with a router of which the test knows.
pub(crate) fn engine_at(store: Store, router: Arc<FakeRouter>) -> Engine {
    Engine::new(Parts {
        store,
        target: Arc::new(slipway_target::fake::FakeTarget::new()),
        router,
        prober: Arc::new(()),
        artifacts: Arc::new(NoArtifacts),
        receivers: Arc::new(NoReceivers),
        clock: Clock::starting(Timestamp(2)),
    })
}
