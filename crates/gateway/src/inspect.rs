//! The gateway's insides for who tests them with bytes that nobody chose: the guard and the short way's reader without a
//! socket, a choice without
//! a request, a client's connection without a listener.
//!
//! Decides nothing of its own: what is asked here is asked of the code that serves. Called by the fuzz targets; a
//! gateway that serves never comes here.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use slipway_core::names::{LaneId, VersionName};
use slipway_core::traffic::{Endpoint, RoutingTable};
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::count::Counts;
use crate::fast::{self, Seen};
use crate::gateway::Gateway;
use crate::guard::Inspector;
use crate::inject::Terms;
use crate::lease::Leases;
use crate::served::Served;
use crate::server::Tuning;
use crate::table_store::TableStore;

/// What the guard lets through of a connection's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passed {
    /// How many bytes.
    pub bytes: usize,
    /// Where a request was complete, in bytes from the start.
    pub ends: Vec<usize>,
    /// What comes after was refused, in a request's head or in its body.
    pub refused: Option<Refused>,
    /// From some request on the bytes need not be HTTP, since another protocol was asked for.
    pub opaque: bool,
}

/// Where a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// In its head.
    Head,
    /// In its body.
    Body,
}

/// What the guard lets through of `bytes` that come in pieces of `size`, at least one. Ends of requests are seen where
/// a piece ends.
pub fn passed(bytes: &[u8], size: usize) -> Passed {
    let mut inspector = Inspector::new(&Tuning::default());
    let (mut passed, mut come) = (Passed::default(), 0);
    for piece in bytes.chunks(size.max(1)) {
        come += piece.len();
        match inspector.examine(&bytes[passed.bytes..come]) {
            Ok(more) => passed.bytes += more,
            Err(wrong) => {
                passed.bytes += wrong.after;
                passed.refused = Some(if wrong.in_head { Refused::Head } else { Refused::Body });
                break;
            }
        }
        if passed.bytes == come && inspector.is_between_requests() {
            passed.ends.push(come);
        }
    }
    passed.opaque = inspector.is_opaque();
    passed
}

/// The request that the short way takes at the start of `bytes`, without the guard: where it ends. None where there is only
/// a part of one, or something for the long way.
pub fn taken(bytes: &[u8]) -> Option<usize> {
    match fast::parse(bytes, &mut fast::room(), &Tuning::default()) {
        Seen::Request(head) => Some(head.size + head.body),
        Seen::More | Seen::Unknown => None,
    }
}

/// Where a request would go.
#[derive(Debug, Clone)]
pub struct Picked {
    /// Whose route it is.
    pub lane: LaneId,
    /// The version that its key is assigned to.
    pub assigned: VersionName,
    /// The version and the instance that it goes to; none where there is no instance.
    pub goes_to: Option<(VersionName, Endpoint)>,
}

/// Where requests for a host and path go, one for each key, in a gateway that was just given `table`. Empty where no
/// route covers them. The table must hold together.
pub fn picked(table: RoutingTable, host: &str, path: &str, keys: &[&str]) -> Vec<Picked> {
    let (leases, before, counts) = (Leases::default(), Served::default(), Counts::default());
    let served =
        Served::build(Arc::new(table), (&leases, &Terms::default()), &before, &counts, &CancellationToken::new());
    let Some(route) = served.find(host, path) else { return Vec::new() };
    let name = |version: usize| route.versions[version].name.clone();
    let picked = keys.iter().map(|key| {
        let (assigned, goes_to) = match route.choose(key, None, &[]) {
            Ok(pick) => (pick.assigned, Some((name(pick.version), pick.upstream.endpoint.clone()))),
            Err(assigned) => (assigned, None),
        };
        Picked { lane: route.lane.clone(), assigned: name(assigned), goes_to }
    });
    picked.collect()
}

/// A gateway that nobody can connect to: it is handed its clients.
#[derive(Debug, Clone)]
pub struct Unheard(Arc<Gateway>);

impl Unheard {
    /// A gateway that keeps its table in `folder`.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn start(folder: &Path) -> io::Result<Unheard> {
        let store = TableStore::open(folder)?;
        Ok(Unheard(Arc::new(Gateway::start("unheard".to_string(), Tuning::default(), store, None))))
    }

    /// Serves `table` from now on, if it is newer and holds together.
    pub async fn apply(&self, table: RoutingTable) {
        self.0.apply(table, crate::clock::since_boot_ms()).await;
    }

    /// Serves a client's connection to its end, as one that was accepted.
    pub async fn serve(&self, stream: DuplexStream, address: SocketAddr) {
        connection::serve(self.0.clone(), stream, address, "http").await;
    }
}
