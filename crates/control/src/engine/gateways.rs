//! Gateways that cannot be reached: what is kept for them, and what the journal says of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use slipway_core::journal::Fact;
use slipway_core::names::{InstanceId, LaneId, some_of};
use slipway_core::rollout::Lane;
use slipway_core::traffic::link::Ejection;
use slipway_core::traffic::{Epoch, Generation};
use slipway_core::units::{Millis, Timestamp};

use super::Engine;
use super::seen::Seen;
use crate::control::OWN_GATEWAY;
use crate::ports::GatewayView;

/// How long instances of a lost gateway's last table are kept for it: over a night in which nobody looks.
pub const KEEP: Millis = Millis::from_secs(24 * 3600);

/// What is kept for gateways that are not connected: whatever they may still send somebody to.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<String, KeptFor>);

/// Lanes that each start of a gateway was said to miss instances of.
#[derive(Default)]
pub(super) struct Outdated(BTreeMap<(String, u32), BTreeSet<LaneId>>);

impl Outdated {
    /// Takes in how gateways are now; for each start the lanes that it was not said to miss before.
    fn follow(&mut self, gateways: &[GatewayView]) -> BTreeMap<String, Vec<LaneId>> {
        self.0.retain(|(name, pid), _| gateways.iter().any(|g| g.name == *name && g.pid == *pid));
        let mut new = BTreeMap::new();
        for gateway in gateways.iter().filter(|g| !g.without.is_empty()) {
            let told = self.0.entry((gateway.name.clone(), gateway.pid)).or_default();
            let lanes = gateway.without.iter().filter(|lane| told.insert((*lane).clone()));
            new.insert(gateway.name.clone(), lanes.cloned().collect());
        }
        new
    }
}

struct KeptFor {
    instances: BTreeSet<InstanceId>,
    lost: Option<Timestamp>,
}

impl Kept {
    /// Takes in how gateways are now; `may_use` says which instances one may use that has just gone.
    fn follow(&mut self, gateways: &[GatewayView], may_use: impl Fn(&GatewayView) -> BTreeSet<InstanceId>) {
        self.0.retain(|name, _| gateways.iter().any(|g| g.name == *name && !g.connected));
        for gateway in gateways.iter().filter(|g| !g.connected) {
            let new = || KeptFor { instances: may_use(gateway), lost: None };
            self.0.entry(gateway.name.clone()).or_insert_with(new).lost = gateway.lost;
        }
    }

    /// The instances of a lane that are kept at `now`.
    pub fn of(&self, lane: &Lane, now: Timestamp) -> BTreeSet<InstanceId> {
        let kept: Vec<_> = self.0.values().filter(|k| k.lost.is_none_or(|lost| now.since(lost) < KEEP)).collect();
        let ids = lane.slots.iter().map(|slot| &slot.id);
        ids.filter(|id| kept.iter().any(|k| k.instances.contains(*id))).cloned().collect()
    }

    /// How many instances are kept for a gateway at `now`.
    pub fn count(&self, gateway: &str, now: Timestamp) -> usize {
        let kept = self.0.get(gateway).filter(|k| k.lost.is_none_or(|lost| now.since(lost) < KEEP));
        kept.map_or(0, |k| k.instances.len())
    }
}

impl Engine {
    /// How many instances are kept for a gateway at `now`.
    pub fn kept_for(&self, gateway: &str, now: Timestamp) -> usize {
        self.seen().kept.count(gateway, now)
    }

    /// Keeps what gateways may use that have gone since the last look, and says what to record of all of them.
    pub(super) fn follow_gateways(&self, seen: &mut Seen, gateways: &[GatewayView]) -> Vec<Fact> {
        let there: BTreeSet<InstanceId> = seen.instances().cloned().collect();
        seen.kept.follow(gateways, |gateway| {
            let leaving = gateway.in_flight.iter().flatten().filter(|(_, requests)| *requests > 0);
            let leaving = leaving.map(|(id, _)| id.clone());
            match gateway.sent {
                Some(Generation(0)) => BTreeSet::new(),
                // What it may serve of before this control plane: nobody knows, so all that is there.
                sent => sent
                    .and_then(|sent| self.tables.instances(gateway.acked, sent))
                    .unwrap_or_else(|| there.clone())
                    .into_iter()
                    .chain(leaving)
                    .collect(),
            }
        });
        let outdated = seen.outdated.follow(gateways);
        changes(seen.gateways(), gateways, &outdated, |name| seen.kept.0.get(name).map_or(0, |k| k.instances.len()))
    }
}

fn changes(
    before: &[GatewayView],
    after: &[GatewayView],
    outdated: &BTreeMap<String, Vec<LaneId>>,
    kept: impl Fn(&str) -> usize,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    for gateway in after {
        let Some(before) = before.iter().find(|b| b.name == gateway.name) else { continue };
        let name = &gateway.name;
        match (before.lost, gateway.lost) {
            (None, Some(_)) => {
                let kept = kept(name);
                let until = match name == OWN_GATEWAY {
                    true => "; slipway up ends its process and starts another".to_string(),
                    false => format!(", or until slipway gateway forget {name}"),
                };
                let sentence = format!(
                    "the gateway {name} cannot be reached: shifts do not wait for it any more; {kept} instances that it may \
                     use are kept until it is back, for {KEEP} at most{until}"
                );
                tracing::warn!("{sentence}");
                facts.push(fact("gateway.lost", sentence, gateway));
            }
            (Some(_), None) => {
                facts.push(fact("gateway.back", format!("the gateway {name} is back"), gateway));
            }
            _ => {}
        }
        if let Some(lanes) = outdated.get(name).filter(|lanes| !lanes.is_empty()) {
            let lanes = some_of(lanes);
            let sentence = format!(
                "the gateway {name} is of an earlier release and cannot reach instances on Unix sockets: it answers requests \
                 to {lanes} with errors where no others are; upgrade it"
            );
            tracing::warn!("{sentence}");
            facts.push(fact("gateway.outdated", sentence, gateway));
        }
    }
    facts
}

fn fact(kind: &str, cause: String, gateway: &GatewayView) -> Fact {
    of_gateway(kind, cause, json!({ "gateway": gateway.name, "traffic": gateway.traffic }))
}

/// An entry about a gateway, by what it says.
pub(super) fn of_gateway(kind: &str, cause: String, evidence: serde_json::Value) -> Fact {
    let actor = "gateway".to_string();
    Fact { kind: kind.to_string(), lane: None, rollout: None, actor, cause, evidence }
}

/// An entry about an instance, as a gateway sees it.
pub(super) fn at_gateway(kind: &str, gateway: &str, ejection: &Ejection, cause: String) -> Fact {
    Fact {
        kind: kind.to_string(),
        lane: Some(ejection.lane.clone()),
        rollout: None,
        actor: "gateway".to_string(),
        cause,
        evidence: json!({
            "gateway": gateway, "instance": ejection.instance, "version": ejection.version, "incarnation": ejection.incarnation,
        }),
    }
}

/// Requests in flight by instance, over all gateways that count; absent while one of them has not said.
pub(super) fn in_flight(gateways: &[GatewayView]) -> Option<BTreeMap<InstanceId, u64>> {
    let mut sums = BTreeMap::new();
    for gateway in gateways.iter().filter(|g| g.counts()) {
        for (instance, requests) in gateway.in_flight.as_ref()? {
            *sums.entry(instance.clone()).or_default() += requests;
        }
    }
    Some(sums)
}

/// Which epoch of a lane lapsed: at every gateway that can be asked, or at some of them alone.
pub(super) fn lapses(gateways: &[GatewayView], lane: &LaneId, epoch: Option<Epoch>) -> Lapses {
    let connected = || gateways.iter().filter(|g| g.connected);
    let lapsed = |g: &&GatewayView| g.lapsed.iter().any(|l| l.lane == *lane && Some(l.epoch) == epoch);
    let (some, all) = (connected().any(|g| lapsed(&g)), connected().all(|g| lapsed(&g)));
    Lapses { everywhere: epoch.filter(|_| some && all), apart: epoch.filter(|_| some && !all) }
}

/// See [`lapses`].
pub(super) struct Lapses {
    pub everywhere: Option<Epoch>,
    pub apart: Option<Epoch>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_core::traffic::link::Lapse;

    fn gateway(name: &str, connected: bool, lost: Option<u64>) -> GatewayView {
        GatewayView { name: name.into(), connected, lost: lost.map(Timestamp), ..GatewayView::default() }
    }

    fn lane() -> Lane {
        Lane::new(LaneId {
            service: "shop".parse().expect("a service"),
            environment: "production".parse().expect("one"),
        })
    }

    #[test]
    fn what_a_gateway_may_use_is_kept_until_it_is_back_or_the_time_is_over() {
        let mut kept = Kept::default();
        let id: InstanceId = "shop-production-1".parse().expect("an id");
        let ids = BTreeSet::from([id]);
        kept.follow(&[gateway("a", true, None)], |_| ids.clone());
        assert_eq!(kept.count("a", Timestamp(0)), 0);
        kept.follow(&[gateway("a", false, None)], |_| ids.clone());
        assert_eq!(kept.count("a", Timestamp(9 * KEEP.0)), 1, "it is not lost yet");
        kept.follow(&[gateway("a", false, Some(5))], |_| BTreeSet::new());
        assert_eq!(kept.count("a", Timestamp(5).plus(Millis(KEEP.0 - 1))), 1, "what it had when it went");
        assert_eq!(kept.count("a", Timestamp(5).plus(KEEP)), 0);
        kept.follow(&[gateway("a", true, None)], |_| ids.clone());
        assert_eq!(kept.count("a", Timestamp(6)), 0);
    }

    #[test]
    fn being_lost_and_being_back_are_told_once() {
        let mut outdated = Outdated::default();
        let mut kinds = |before: &[GatewayView], after: &[GatewayView]| -> Vec<String> {
            changes(before, after, &outdated.follow(after), |_| 2).into_iter().map(|fact| fact.kind).collect()
        };
        let (up, away, lost) = (gateway("a", true, None), gateway("a", false, None), gateway("a", false, Some(1)));
        let one = std::slice::from_ref;
        assert_eq!(kinds(one(&up), one(&away)), [""; 0]);
        assert_eq!(kinds(one(&away), one(&lost)), ["gateway.lost"]);
        assert_eq!(kinds(one(&lost), one(&lost)), [""; 0]);
        assert_eq!(kinds(one(&lost), one(&up)), ["gateway.back"]);
        assert_eq!(kinds(&[], one(&lost)), [""; 0], "another start of the control plane has told it");
        let old = GatewayView { without: vec![lane().id], ..up.clone() };
        assert_eq!(kinds(one(&up), one(&old)), ["gateway.outdated"]);
        assert_eq!(kinds(one(&old), one(&old)), [""; 0]);
        assert_eq!(kinds(one(&old), one(&up)), [""; 0]);
        assert_eq!(kinds(one(&up), one(&old)), [""; 0], "its instance on a socket has started again");
        let anew = GatewayView { pid: 7, ..old.clone() };
        assert_eq!(kinds(one(&old), one(&anew)), ["gateway.outdated"], "another start of it");
    }

    #[test]
    fn a_lapse_at_one_gateway_is_told_from_a_lapse_at_all() {
        let lane = lane().id;
        let lapsed = |name: &str, connected| GatewayView {
            lapsed: vec![Lapse { lane: lane.clone(), epoch: Epoch(3) }],
            ..gateway(name, connected, None)
        };
        let told = |gateways: &[GatewayView], epoch| {
            let lapses = lapses(gateways, &lane, Some(Epoch(epoch)));
            (lapses.everywhere.is_some(), lapses.apart.is_some())
        };
        assert_eq!(told(&[lapsed("a", true)], 3), (true, false));
        assert_eq!(told(&[lapsed("a", true), lapsed("b", true)], 3), (true, false));
        assert_eq!(told(&[lapsed("a", true), gateway("b", true, None)], 3), (false, true));
        assert_eq!(told(&[lapsed("a", true), gateway("b", false, None)], 3), (true, false), "who is away has no say");
        assert_eq!(told(&[lapsed("a", true)], 4), (false, false), "that was an earlier epoch");
        assert_eq!(told(&[lapsed("a", false)], 3), (false, false));
    }
}
