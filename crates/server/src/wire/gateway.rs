//! Gateways, for the wire.

use serde::{Deserialize, Serialize};
use slipway_control::Gateway;
use utoipa::ToSchema;

/// The control plane's own version.
const OWN_PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// A gateway, or an invitation that nobody has used yet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireGateway {
    /// Its name; of a process that drains with a dot and its process id behind it.
    pub name: String,
    /// `connected`; `draining`, which has given way to a newer process and ends with its connections; `away`, which still counts; `ended`, whose process is gone; `lost`, which is not waited for any more;
    /// `invited`, which has never called.
    pub state: String,
    /// Its process id, on its machine; null where it never called.
    pub pid: Option<u32>,
    /// The version of its program; null where it did not say.
    pub program: Option<String>,
    /// Whether that is another than the control plane's.
    #[serde(default)]
    pub other_program: bool,
    /// Where it listens for traffic, as it said itself; null where it never called.
    pub traffic: Option<String>,
    /// Whether it was invited; otherwise it belongs to the data folder.
    pub invited: bool,
    /// Whether it runs on the control plane's machine.
    pub here: bool,
    /// Whether it serves the newest routing table, as far as can be told.
    pub newest: bool,
    /// Since when it has not been waited for, milliseconds since 1970.
    pub lost_since: Option<u64>,
    /// Instances that are kept because it may use them and cannot be asked.
    pub kept: usize,
    /// Until when at the most they are kept, milliseconds since 1970.
    pub kept_until: Option<u64>,
    /// Services in environments some of whose instances it cannot reach, because it is of an earlier release.
    #[serde(default)]
    pub without: Vec<String>,
    /// What a person should mend there; null where nothing is known to be wrong.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// An invitation that is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Where the gateway is to call, `HOST:PORT`; absent: where invited gateways are listened for.
    #[serde(default)]
    pub address: Option<String>,
}

impl From<Gateway> for WireGateway {
    fn from(gateway: Gateway) -> WireGateway {
        let known = gateway.known;
        let state = match &known {
            None => "invited",
            Some(known) if known.draining && known.connected => "draining",
            Some(known) if known.connected => "connected",
            Some(known) if known.lost.is_some() => "lost",
            Some(known) if known.ended => "ended",
            Some(_) => "away",
        };
        WireGateway {
            name: gateway.name,
            state: state.to_string(),
            pid: known.as_ref().map(|known| known.pid),
            other_program: known.as_ref().is_some_and(|known| known.program.as_deref() != Some(OWN_PROGRAM)),
            program: known.as_ref().and_then(|known| known.program.clone()),
            here: known.as_ref().is_some_and(|known| known.here),
            lost_since: known.as_ref().and_then(|known| known.lost).map(|at| at.0),
            without: known.iter().flat_map(|known| &known.without).map(ToString::to_string).collect(),
            trouble: known.as_ref().and_then(|known| known.trouble.clone()),
            traffic: known.map(|known| known.traffic),
            invited: gateway.invited,
            newest: gateway.newest,
            kept: gateway.kept,
            kept_until: gateway.kept_until,
        }
    }
}
