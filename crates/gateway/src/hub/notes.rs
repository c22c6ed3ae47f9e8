//! What a gateway says, as it is kept of it. Pure.

use slipway_core::traffic::link::{Ejection, Event};
use slipway_core::traffic::{Generation, RoutingTable};

use super::GatewayState;

/// The gateway serves this generation; what it said of splits and instances that are gone is forgotten.
pub(super) fn acknowledge(state: &mut GatewayState, generation: Generation, table: Option<&RoutingTable>) {
    state.acked = state.acked.max(generation);
    let Some(table) = table.filter(|table| table.generation == generation) else { return };
    let route = |lane: &_| table.routes.iter().find(move |r| r.lane() == *lane);
    state.lapsed.retain(|l| route(&l.lane).is_some_and(|r| r.epoch <= l.epoch));
    state.ejected.retain(|e| {
        let version = route(&e.lane).and_then(|r| r.version(&e.version));
        version.is_some_and(|v| v.endpoints.iter().any(|x| x.instance == e.instance && x.incarnation == e.incarnation))
    });
}

/// A candidate that a gateway that reads so much was told no instances of is lost there for another reason than it knows.
pub(super) fn explain(event: &mut Event, table: Option<&RoutingTable>, reads: u32) {
    if let Event::CandidateLost { lane, version, why, .. } = event
        && let Some(route) = table.and_then(|table| table.routes.iter().find(|route| route.lane() == *lane))
        && route.version(version).is_some_and(|version| version.is_beyond(reads))
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

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_core::traffic::READS;

    #[test]
    fn a_lost_candidate_is_explained_by_sockets_only_where_it_has_no_other_instance() {
        let endpoint = |instance: &str, address: serde_json::Value| serde_json::json!({ "instance": instance, "incarnation": 1, "address": address });
        let socket = || endpoint("shop-production-1", serde_json::json!("unix:/run/a.sock"));
        let port = || endpoint("shop-production-2", serde_json::json!("127.0.0.1:1"));
        let why = |stable, candidate, reads| {
            let table: RoutingTable = serde_json::from_value(serde_json::json!({ "generation": 1, "routes": [{
                "service": "shop", "environment": "production", "matches": [], "epoch": 1, "salt": "", "objectives": [],
                "split": [{ "version": "c", "weight": 10_000 }], "fallback": null, "lease": null,
                "sticky": { "cookie": null, "header": null },
                "versions": [
                    { "version": "s", "role": "stable", "endpoints": stable },
                    { "version": "c", "role": "candidate", "endpoints": candidate },
                ],
                "limits": { "response": 1_000, "drain": 1_000, "drain_long": 1_000, "body_bytes": 1_000 },
            }] }))
            .unwrap();
            let mut event = Event::CandidateLost {
                lane: table.routes[0].lane(),
                version: "c".parse().unwrap(),
                epoch: table.routes[0].epoch,
                why: "refused".into(),
            };
            explain(&mut event, Some(&table), reads);
            let Event::CandidateLost { why, .. } = event else { unreachable!() };
            why
        };
        assert!(why(vec![], vec![socket()], 0).contains("earlier release"));
        assert_eq!(why(vec![socket()], vec![port()], 0), "refused", "that is another version's");
        assert_eq!(why(vec![], vec![socket(), port()], 0), "refused", "it was told of one");
        assert_eq!(why(vec![], vec![], 0), "refused");
        assert_eq!(why(vec![], vec![socket()], READS), "refused");
    }
}
