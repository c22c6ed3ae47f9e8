//! Taking an instance out of use when connections to it fail, and back in when they work again.
//!
//! A connection that was refused or timed out ejects, and so do bad answers to the declared health check (`health`); what
//! an instance answers to users never does. Stable keeps half of its instances in use whatever happens; a candidate that
//! loses the last one is lost, which is told at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use slipway_core::traffic::Role;
use slipway_core::traffic::link::{Ejection, Event};

use crate::gateway::Gateway;
use crate::served::VersionState;
use crate::socket::dial;
use crate::upstream::Upstream;

/// What is told of an ejected instance.
pub(crate) fn ejection(upstream: &Upstream, why: String) -> Ejection {
    Ejection {
        lane: upstream.lane.clone(),
        version: upstream.version.clone(),
        instance: upstream.endpoint.instance.clone(),
        incarnation: upstream.endpoint.incarnation,
        why,
    }
}

/// Connections to the instance fail: it gets no requests until they work again, unless stable needs it.
pub(crate) fn eject(gateway: &Arc<Gateway>, upstream: &Arc<Upstream>, why: &str) {
    if take_out(gateway, upstream, why) {
        tokio::spawn(probe(gateway.clone(), upstream.clone(), why.to_string()));
    }
}

/// The instance gets no requests until whoever says so readmits it, unless stable needs it. Whether it was taken out just
/// now.
pub(crate) fn take_out(gateway: &Gateway, upstream: &Arc<Upstream>, why: &str) -> bool {
    let served = gateway.served();
    let Some(route) = served.route(&upstream.lane) else { return false };
    let Some(version) = route.version(&upstream.version) else { return false };
    if !version.upstreams.iter().any(|u| Arc::ptr_eq(u, upstream)) {
        return false;
    }
    if !upstream.is_out() && version.usable() <= version.must_keep() {
        return false;
    }
    let out = upstream.set_out(Some(why.to_string()));
    if out {
        tracing::warn!(instance = %upstream.endpoint.instance, version = %upstream.version, why, "instance ejected");
        gateway.events.push(Event::Ejected(ejection(upstream, why.to_string())));
    }
    note_loss(gateway, version, &route.lane, why);
    out
}

/// The instance gets requests again.
pub(crate) fn readmit(gateway: &Gateway, upstream: &Upstream, why: &str) {
    if upstream.set_out(None) {
        tracing::info!(instance = %upstream.endpoint.instance, version = %upstream.version, why, "instance readmitted");
        gateway.events.push(Event::Readmitted(ejection(upstream, why.to_string())));
    }
}

/// Tells of a candidate that should get requests and has no instance to take them, once in an epoch.
pub(crate) fn note_loss(gateway: &Gateway, version: &VersionState, lane: &slipway_core::names::LaneId, why: &str) {
    let gone = version.role == Role::Candidate && version.reached && version.usable() == 0;
    if gone && !version.lost.swap(true, AcqRel) {
        tracing::warn!(version = %version.name, why, "candidate lost its last instance");
        gateway.events.push(Event::CandidateLost {
            lane: lane.clone(),
            version: version.name.clone(),
            epoch: version.counts.epoch(),
            why: why.to_string(),
        });
    }
}

/// Tries the instance again, ever less often, until it takes a connection or has left the table.
async fn probe(gateway: Arc<Gateway>, upstream: Arc<Upstream>, why: String) {
    let mut wait = gateway.tuning.probe_first;
    loop {
        tokio::select! {
            () = upstream.retired() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if dial(&upstream.endpoint.address, gateway.tuning.connect_timeout).await.is_ok() {
            break;
        }
        wait = (wait * 2).min(gateway.tuning.probe_longest);
    }
    readmit(&gateway, &upstream, &why);
}
