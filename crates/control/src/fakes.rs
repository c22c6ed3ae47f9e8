//! Fakes for this crate's own tests.

use std::sync::{Arc, Mutex, PoisonError};

use slipway_core::traffic::link::{CountRow, Event};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::Millis;

use crate::ports::{GatewayView, Router};

/// A router that remembers what it was told.
#[derive(Default)]
pub(crate) struct FakeRouter {
    published: Mutex<Vec<RoutingTable>>,
}

impl FakeRouter {
    pub(crate) fn published(&self) -> Vec<RoutingTable> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Router for FakeRouter {
    fn publish(&self, table: RoutingTable) {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).push(table);
    }
    fn renew(&self, _: Generation, _: Millis) {}
    fn gateways(&self) -> Vec<GatewayView> {
        Vec::new()
    }
    fn counts(&self) -> Vec<CountRow> {
        Vec::new()
    }
    fn take_events(&self) -> Vec<(String, Event)> {
        Vec::new()
    }
    fn on_change(&self, _: Arc<dyn Fn() + Send + Sync>) {}
}
