//! What the control plane needs from the world, as traits; the binary supplies the adapters, tests supply fakes.

use std::path::PathBuf;
use std::sync::Arc;

use slipway_core::hook::Message;
use slipway_core::instance::Pending;
use slipway_core::names::{Digest, InstanceId, LaneId};
use slipway_core::rollout::Probing;
use slipway_core::spec::Hook;
use slipway_core::traffic::link::{CountRow, Event, Follows, Lapse};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};

/// What the control plane knows of one gateway.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewayView {
    /// Its name, stable over its restarts; while it drains, with a dot and its process id behind that.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// The version of its program, where it said.
    pub program: Option<String>,
    /// Whose place it has taken, where its program was replaced.
    pub follows: Option<Follows>,
    /// Whether another process of its name serves in its place, and it ends with its connections.
    pub draining: bool,
    /// Where it listens for traffic, for people.
    pub traffic: String,
    /// Whether it runs on this machine.
    pub here: bool,
    /// Whether it can be talked to now.
    pub connected: bool,
    /// Its process has ended.
    pub ended: bool,
    /// Since when it has not been waited for, because it was not heard of for too long.
    pub lost: Option<Timestamp>,
    /// The newest table that it serves.
    pub acked: Generation,
    /// The newest table that it may have got; absent where it has not called since this control plane's start.
    pub sent: Option<Generation>,
    /// Routes whose lease ran out there.
    pub lapsed: Vec<Lapse>,
    /// Requests in flight by instance; absent where it has not reported any yet.
    pub in_flight: Option<Vec<(InstanceId, u64)>>,
    /// Lanes some of whose instances it cannot reach, because it is of an earlier release.
    pub without: Vec<LaneId>,
    /// What a person should mend there.
    pub trouble: Option<String>,
}

impl GatewayView {
    /// The gateway of which it is a process.
    pub fn gateway(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Whether its acknowledgement is waited for: it serves, or may.
    pub fn counts(&self) -> bool {
        self.connected || !(self.ended || self.lost.is_some())
    }
}

/// What splits traffic.
pub trait Router: Send + Sync {
    /// Hands a table to every gateway. Returns at once.
    fn publish(&self, table: RoutingTable);
    /// Renews the leases of a table for another term.
    fn renew(&self, generation: Generation, term: Millis);
    /// Every gateway that is known.
    fn gateways(&self) -> Vec<GatewayView>;
    /// What they counted, cumulative, summed over gateways and their restarts.
    fn counts(&self) -> Vec<CountRow>;

    /// The same, and what of it was counted before it was heard of, at no time that is known.
    fn counted(&self) -> (Vec<CountRow>, Vec<CountRow>) {
        (self.counts(), Vec::new())
    }
    /// What happened at gateways since the last call, each with its gateway's name.
    fn take_events(&self) -> Vec<(String, Event)>;
    /// Where an invited gateway calls: `address`, or where gateways are expected if absent; or why none can.
    fn called_at(&self, _address: Option<&str>) -> Result<String, String> {
        Err("no gateway can be invited here".to_string())
    }
    /// What a gateway of this name needs to call `address`; or why none can. What was made for the name before is void.
    fn invite(&self, _name: &str, _address: &str) -> Result<serde_json::Value, String> {
        Err("no gateway can be invited here".to_string())
    }
    /// Names of those that were invited.
    fn invited(&self) -> Vec<String> {
        Vec::new()
    }
    /// Forgets a gateway and its invitation, whether it is known or not; or why that cannot be.
    fn forget(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }
    /// Calls `nudge` whenever one of the above may have changed.
    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>);
}

/// What sends probes.
pub trait Prober: Send + Sync {
    /// Probes this from now on in a lane, or nothing. Returns at once; the same again changes nothing.
    fn probe(&self, lane: &LaneId, probing: Option<Probing>);
    /// What came of probes, cumulative since its start. Synthetic: never to be added to what gateways count.
    fn counts(&self) -> Vec<CountRow>;
    /// Calls `nudge` whenever there may be more.
    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>);
}

/// Nobody is probed.
impl Prober for () {
    fn probe(&self, _: &LaneId, _: Option<Probing>) {}
    fn counts(&self) -> Vec<CountRow> {
        Vec::new()
    }
    fn on_change(&self, _: Arc<dyn Fn() + Send + Sync>) {}
}

/// Where artifacts are kept.
pub trait Artifacts: Send + Sync {
    /// The packed artifact, if it is here and whole.
    fn path<'a>(&'a self, digest: &'a Digest) -> Pending<'a, Option<PathBuf>>;
}

/// Who is told of what happens.
pub trait Receivers: Send + Sync {
    /// Hands a message to a hook; what it answered, or why it has not taken it in. Ended by dropping it.
    fn deliver<'a>(&'a self, hook: &'a Hook, message: &'a Message) -> Pending<'a, Result<Vec<u8>, String>>;
}

/// Receivers where there are none.
pub struct NoReceivers;

impl Receivers for NoReceivers {
    fn deliver<'a>(&'a self, _: &'a Hook, _: &'a Message) -> Pending<'a, Result<Vec<u8>, String>> {
        Box::pin(async { Err("nobody can be told here".to_string()) })
    }
}
