//! Where a gateway on another machine than the control plane's reaches instances.

use std::net::IpAddr;
use std::sync::Arc;

use slipway_core::address::Address;
use slipway_core::traffic::{Endpoint, Route};

/// Instances that listen on their own machine are reached where their control plane is.
pub(crate) fn reach(routes: &mut [Arc<Route>], at: IpAddr) {
    let versions = routes.iter_mut().flat_map(|route| &mut Arc::make_mut(route).versions);
    versions.flat_map(|version| &mut version.endpoints).for_each(|endpoint| reach_one(endpoint, at));
}

fn reach_one(endpoint: &mut Endpoint, at: IpAddr) {
    if let Address::Tcp(address) = &mut endpoint.address
        && address.ip().is_loopback()
    {
        address.set_ip(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_another_machine_instances_are_reached_where_their_control_plane_is() {
        let endpoint = |address: &str| Endpoint {
            instance: "shop-production-1".parse().unwrap(),
            incarnation: 1,
            address: address.parse().unwrap(),
        };
        let mut endpoints = [endpoint("127.0.0.1:4001"), endpoint("192.0.2.7:4002")];
        endpoints.iter_mut().for_each(|endpoint| reach_one(endpoint, [192, 0, 2, 1].into()));
        assert_eq!(endpoints.map(|e| e.address.to_string()), ["192.0.2.1:4001", "192.0.2.7:4002"]);
    }
}
