//! What gateways of earlier releases can read of a routing table. One that meets a line which makes no sense to it passes it
//! over and acknowledges nothing, which would hold up every service; so each is given what it can read.
//!
//! A field that may be absent needs no number. A value that an earlier release takes for nonsense does.

use std::sync::Arc;

use super::{Endpoint, Route, RoutingTable, VersionRoute};
use crate::address::Address;
use crate::names::LaneId;

/// What gateways of this release read: everything. 0 is whoever does not say; from 1 on, instances that listen on Unix sockets.
pub const READS: u32 = 1;

/// From here on a gateway can read the addresses of Unix sockets.
const SOCKETS: u32 = 1;

fn is_socket(endpoint: &Endpoint) -> bool {
    matches!(endpoint.address, Address::Unix(_))
}

impl VersionRoute {
    /// Whether a gateway that reads so much can read where none of its instances listens, though there are some.
    pub fn is_beyond(&self, reads: u32) -> bool {
        reads < SOCKETS && !self.endpoints.is_empty() && self.endpoints.iter().all(is_socket)
    }
}

impl Route {
    /// What is left of it for a gateway that reads so much; `None` where that is all of it. The route stays where it is: without
    /// it, requests might go by another service's, with a shorter path.
    fn as_read(&self, reads: u32) -> Option<Route> {
        let mut endpoints = self.versions.iter().flat_map(|version| &version.endpoints);
        if reads >= SOCKETS || !endpoints.any(is_socket) {
            return None;
        }
        let mut route = self.clone();
        route.versions.iter_mut().for_each(|version| version.endpoints.retain(|endpoint| !is_socket(endpoint)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Arc<RoutingTable> {
        let endpoint = |number: u32, address: serde_json::Value| serde_json::json!({ "instance": format!("a-production-{number}"), "incarnation": 1, "address": address });
        let route = |service: &str, endpoints: Vec<serde_json::Value>| {
            serde_json::json!({
                "service": service, "environment": "production", "matches": [], "epoch": 1, "salt": "", "objectives": [],
                "split": [{ "version": "s", "weight": 10_000 }], "fallback": null, "lease": null,
                "sticky": { "cookie": null, "header": null },
                "versions": [{ "version": "s", "role": "stable", "endpoints": endpoints }],
                "limits": { "response": 1_000, "drain": 1_000, "drain_long": 1_000, "body_bytes": 1_000 },
            })
        };
        let (socket, port) = (serde_json::json!("unix:/run/a.sock"), serde_json::json!("127.0.0.1:1"));
        let routes = [
            route("both", vec![endpoint(1, socket.clone()), endpoint(2, port.clone())]),
            route("ports", vec![endpoint(3, port)]),
            route("sockets", vec![endpoint(4, socket)]),
        ];
        let table = serde_json::json!({ "generation": 3, "routes": routes });
        Arc::new(serde_json::from_value(table).expect("a table"))
    }

    #[test]
    fn who_reads_everything_is_given_the_table_itself() {
        let all = table();
        let (given, without) = as_read(&all, READS);
        assert!(Arc::ptr_eq(&given, &all) && without.is_empty());
    }

    #[test]
    fn who_knows_no_sockets_is_given_every_route_and_the_instances_that_it_can_reach() {
        let all = table();
        let (given, without) = as_read(&all, SOCKETS - 1);
        let left: Vec<_> = given.routes.iter().map(|route| route.versions[0].endpoints.len()).collect();
        assert_eq!((given.generation, left), (all.generation, vec![1, 1, 0]));
        assert_eq!(without, [all.routes[0].lane(), all.routes[2].lane()]);
        assert!(Arc::ptr_eq(&given.routes[1], &all.routes[1]), "what it can read is not copied");
        let beyond = |reads| all.routes.iter().map(|route| route.versions[0].is_beyond(reads)).collect::<Vec<_>>();
        assert_eq!(beyond(SOCKETS - 1), [false, false, true]);
        assert_eq!(beyond(SOCKETS), [false; 3]);
    }
}
