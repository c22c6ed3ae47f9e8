//! What gateways of earlier releases can read of a routing table. One that meets a line which makes no sense to it passes it
//! over and acknowledges nothing, which would hold up every service; so each is given what it can read.
//!
//! A field that may be absent needs no number. A value that an earlier release takes for nonsense does.

use std::sync::Arc;

use super::{Route, RoutingTable};
use crate::address::Address;
use crate::names::LaneId;

/// What gateways of this release read: everything. 0 is whoever does not say; from 1 on, instances that listen on Unix sockets.
pub const READS: u32 = 1;

/// From here on a gateway can read the addresses of Unix sockets.
const SOCKETS: u32 = 1;

impl Route {
    /// What is left of it for a gateway that reads so much; `None` where that is all of it. The route stays where it is: without
    /// it, requests might go by another service's, with a shorter path.
    fn as_read(&self, reads: u32) -> Option<Route> {
        let socket = |address: &Address| matches!(address, Address::Unix(_));
        let mut endpoints = self.versions.iter().flat_map(|version| &version.endpoints);
        if reads >= SOCKETS || !endpoints.any(|endpoint| socket(&endpoint.address)) {
            return None;
        }
        let mut route = self.clone();
        route.versions.iter_mut().for_each(|version| version.endpoints.retain(|endpoint| !socket(&endpoint.address)));
        Some(route)
    }
}

/// A table as a gateway can read it that reads so much, and the lanes of which it misses instances.
pub fn as_read(table: &Arc<RoutingTable>, reads: u32) -> (Arc<RoutingTable>, Vec<LaneId>) {
    if reads >= READS {
        return (table.clone(), Vec::new());
    }
    let mut without = Vec::new();
    let routes = table.routes.iter().map(|route| match route.as_read(reads) {
        Some(rest) => {
            without.push(route.lane());
            Arc::new(rest)
        }
        None => route.clone(),
    });
    let routes = routes.collect();
    (Arc::new(RoutingTable { generation: table.generation, routes }), without)
}
