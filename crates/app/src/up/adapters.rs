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
        self.0.gateways().into_iter().map(view).collect()
    }

    fn counts(&self) -> Vec<CountRow> {
        self.0.counts()
    }

    fn counted(&self) -> (Vec<CountRow>, Vec<CountRow>) {
        self.0.counted()
    }

    fn take_events(&self) -> Vec<(String, Event)> {
        self.0.drain_events()
    }

    fn called_at(&self, address: Option<&str>) -> Result<String, String> {
        let Some(at) = self.0.invited_at() else {
            return Err("no gateway can call from elsewhere: start slipway up with --gateways-listen".to_string());
        };
        match address {
            Some(address) => Ok(address.to_string()),
            None if at.ip().is_unspecified() => {
                Err(format!("gateways are listened for at {at}, which is no place to call: say one with --address"))
            }
            None => Ok(at.to_string()),
        }
    }

    fn invite(&self, name: &str, address: &str) -> Result<serde_json::Value, String> {
        let invited =
            self.0.invite(name, address.to_string()).and_then(|invitation| Ok(serde_json::to_value(invitation)?));
        invited.map_err(|error| format!("the invitation cannot be made: {error}"))
    }

    fn invited(&self) -> Vec<String> {
        self.0.invited()
    }

    fn forget(&self, name: &str) -> Result<(), String> {
        self.0.forget(name).map_err(|error| format!("what is known of gateways cannot be written: {error}"))
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.0.on_change(nudge);
    }
}

fn view(state: slipway_gateway::hub::GatewayState) -> GatewayView {
    GatewayView {
        name: state.name,
        pid: state.pid,
        program: state.program,
        follows: state.follows,
        draining: state.draining,
        traffic: state.traffic.to_string(),
        here: state.here,
        connected: state.connected,
        ended: state.ended,
        lost: state.lost,
        acked: state.acked,
        sent: state.sent,
        lapsed: state.lapsed,
        in_flight: state.leaving,
        without: state.without,
        trouble: state.trouble,
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
