//! What a gateway says first when it calls the control plane: who it is, what it serves, and what the other side may not
//! have heard of.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use slipway_core::traffic::READS;
use slipway_core::traffic::link::{Event, Hello};

use crate::gateway::Gateway;
use crate::machine;
use crate::upgrade::VERSION;

/// Who it is and what it serves.
pub(crate) async fn hello(gateway: &Gateway, token: String, traffic: SocketAddr) -> Hello {
    let (serves, serves_part) = gateway.serves().await;
    Hello {
        token,
        gateway: gateway.name.clone(),
        boot: gateway.boot.clone(),
        pid: std::process::id(),
        traffic,
        serves,
        serves_part,
        lapsed: gateway.lapses().await,
        ejected: gateway.ejections(),
        machine: Some(machine::here()),
        takes_changes: true,
        reads: READS,
        more: false,
        program: Some(VERSION.to_string()),
        draining: gateway.draining.is_cancelled(),
        predecessors: gateway.predecessors(),
    }
}

/// Candidates that are lost already, for a control plane that may not have heard of it.
pub(crate) fn losses(gateway: &Gateway) -> Vec<Event> {
    let served = gateway.served();
    let versions = served.routes.iter().flat_map(|route| route.versions.iter().map(move |version| (route, version)));
    let lost = versions.filter(|(_, version)| version.lost.load(Ordering::Acquire));
    lost.map(|(route, version)| Event::CandidateLost {
        lane: route.lane.clone(),
        version: version.name.clone(),
        epoch: route.route.epoch,
        why: "its last instance was lost earlier".into(),
    })
    .collect()
}
