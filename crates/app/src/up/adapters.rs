//! The control plane's view of gateway and artifacts, over the crates that have them.

use std::path::PathBuf;
use std::sync::Arc;

use slipway_control::ports::{Artifacts, GatewayView, Prober, Router};
use slipway_core::instance::Pending;
use slipway_core::names::{Digest, LaneId};
use slipway_core::rollout::Probing;
use slipway_core::traffic::link::{CountRow, Event};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::Millis;
use slipway_gateway::hub::Hub;
use slipway_registry::Blobs;

/// The gateways behind a hub.
pub(super) struct Gateways(pub Hub);

impl Router for Gateways {
    fn publish(&self, table: RoutingTable) {
        self.0.publish(table);
    }

    fn renew(&self, generation: Generation, term: Millis) {
        self.0.renew(generation, term);
    }

    fn gateways(&self) -> Vec<GatewayView> {
        let view = |g: slipway_gateway::hub::GatewayState| GatewayView {
            name: g.name,
            connected: g.connected,
            acked: g.acked,
            lapsed: g.lapsed,
            in_flight: g.leaving,
        };
        self.0.gateways().into_iter().map(view).collect()
    }

    fn counts(&self) -> Vec<CountRow> {
        self.0.counts()
    }

    fn take_events(&self) -> Vec<Event> {
        self.0.drain_events().into_iter().map(|(_, event)| event).collect()
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.0.on_change(nudge);
    }
}

/// What sends probes.
pub(super) struct Probes(pub slipway_target::Prober);

impl Prober for Probes {
    fn probe(&self, lane: &LaneId, probing: Option<Probing>) {
        self.0.set(lane, probing);
    }

    fn counts(&self) -> Vec<CountRow> {
        self.0.counts()
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.0.on_change(nudge);
    }
}

/// The folder of artifacts.
pub(super) struct Kept(pub Blobs);

impl Artifacts for Kept {
    fn path<'a>(&'a self, digest: &'a Digest) -> Pending<'a, Option<PathBuf>> {
        let found = self.0.path(digest);
        Box::pin(async move { found })
    }
}
