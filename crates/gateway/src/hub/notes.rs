//! What a gateway says, as it is kept of it. Pure.

use slipway_core::traffic::Generation;
use slipway_core::traffic::link::{Ejection, Event};

use super::{GatewayState, Shared};

/// The gateway serves this generation; what it said of splits and instances that are gone is forgotten.
pub(super) fn acknowledge(state: &mut GatewayState, generation: Generation, shared: &Shared) {
    state.acked = state.acked.max(generation);
    let table = shared.table.borrow().clone();
    let Some(table) = table.filter(|table| table.generation == generation) else { return };
    let route = |lane: &_| table.routes.iter().find(move |r| r.lane() == *lane);
    state.lapsed.retain(|l| route(&l.lane).is_some_and(|r| r.epoch <= l.epoch));
    state.ejected.retain(|e| {
        let version = route(&e.lane).and_then(|r| r.version(&e.version));
        version.is_some_and(|v| v.endpoints.iter().any(|x| x.instance == e.instance && x.incarnation == e.incarnation))
    });
}

/// A candidate that a gateway was told no instances of is lost there for another reason than it knows.
pub(super) fn explain(state: &GatewayState, event: &mut Event) {
    if let Event::CandidateLost { lane, why, .. } = event
        && state.without.contains(lane)
    {
        *why = "it is of an earlier release, which cannot reach instances on Unix sockets; upgrade it".to_string();
    }
}

/// What an event changes in what is known of a gateway.
pub(super) fn note(state: &mut GatewayState, event: &Event) {
    let same = |a: &Ejection, b: &Ejection| a.instance == b.instance && a.incarnation == b.incarnation;
    match event {
        Event::Ejected(ejection) => {
            state.ejected.retain(|e| !same(e, ejection));
            state.ejected.push(ejection.clone());
        }
        Event::Readmitted(ejection) => state.ejected.retain(|e| !same(e, ejection)),
        Event::Lapsed(lapse) => {
            state.lapsed.retain(|l| l.lane != lapse.lane);
            state.lapsed.push(lapse.clone());
        }
        Event::CandidateLost { .. } => {}
    }
}
