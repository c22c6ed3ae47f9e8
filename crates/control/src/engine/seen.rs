//! What is seen of the world between turns: taken in whenever somebody says that something changed, shown to each turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slipway_core::instance::InstanceStatus;
use slipway_core::journal::Fact;
use slipway_core::names::{Digest, InstanceId, LaneId};
use slipway_core::rollout::{Book, EffectResult, Lane, Lost, Observed, Serving};
use slipway_core::spec::Hook;
use slipway_core::traffic::link;
use slipway_core::units::{Millis, Timestamp};
use slipway_store::EffectId;

use super::Engine;
use crate::ports::GatewayView;

/// A control plane that was not heard of by itself for so long was not looking.
const ASLEEP: Millis = Millis::from_secs(10);

/// What is seen of the world between turns.
#[derive(Default)]
pub(super) struct Seen {
    book: Book,
    /// Of cohorts that go to a version of their own, by name.
    cohorts: BTreeMap<String, Book>,
    /// Of probes, kept apart.
    probes: Book,
    instances: Vec<InstanceStatus>,
    /// Hooks of each lane that cannot be told at the moment, and why.
    silent_hooks: BTreeMap<LaneId, BTreeMap<String, String>>,
    /// Whose each instance is.
    homes: BTreeMap<InstanceId, LaneId>,
    gateways: Vec<GatewayView>,
    lost: HashMap<LaneId, Vec<Lost>>,
    /// Since when every gateway has been connected.
    watched_since: Option<Timestamp>,
    /// Since when this control plane has been looking without a gap.
    looking_since: Option<Timestamp>,
    /// When it was last known to be awake.
    awake: Option<Timestamp>,
    results: HashMap<LaneId, Vec<(EffectId, EffectResult)>>,
    artifacts: BTreeSet<Digest>,
    serving: BTreeMap<LaneId, Serving>,
    /// Lanes in which an incident is open.
    incidents: BTreeSet<LaneId>,
    /// Lanes whose drills come by themselves.
    drilled: BTreeSet<LaneId>,
    /// Lanes that owe a contract.
    owing: BTreeSet<LaneId>,
    /// Hooks of lanes, as far as they are kept.
    pub(super) hooks: HashMap<LaneId, Vec<Hook>>,
}

impl Seen {
    /// Takes note that this control plane is awake. Where it was not for a while (stopped, frozen, starved) it saw
    /// nothing meanwhile, and whatever has to be watched for a time is watched from now on.
    fn wake(&mut self, now: Timestamp) {
        let slept = self.awake.replace(now).is_some_and(|awake| now.since(awake) > ASLEEP);
        if slept {
            self.looking_since = self.looking_since.map(|_| now);
            self.watched_since = self.watched_since.map(|_| now);
        }
    }
}

impl Engine {
    /// Says that this control plane is awake, every few seconds.
    pub fn stay_awake(&self) {
        let now = self.clock.now();
        self.seen().wake(now);
    }

    /// Looks at the gateways: counts, acknowledgements, events.
    pub fn look_at_gateways(&self) {
        let mut rows = self.router.counts();
        self.ledger().complete(&mut rows);
        let gateways = self.router.gateways();
        let events = self.router.take_events();
        let now = self.clock.now();
        let mut seen = self.seen();
        let (apart, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.cohort.is_some());
        let mut touched: BTreeSet<LaneId> = seen.book.take(rows, now).into_iter().collect();
        touched.extend(take_apart(&mut seen.cohorts, apart, now));
        let moved = seen.gateways != gateways;
        let watched = !gateways.is_empty() && gateways.iter().all(|g| g.connected);
        seen.watched_since = if watched { seen.watched_since.or(Some(now)) } else { None };
        seen.gateways = gateways;
        seen.looking_since.get_or_insert(now);
        let mut facts = Vec::new();
        for event in events {
            match event {
                link::Event::CandidateLost { lane, version, epoch, why } => {
                    touched.insert(lane.clone());
                    let lost = seen.lost.entry(lane).or_default();
                    // Only the newest few matter: a turn looks at its own epoch.
                    if lost.len() >= 16 {
                        lost.remove(0);
                    }
                    lost.push(Lost { version, epoch, why });
                }
                link::Event::Ejected(e) => {
                    facts.push(at_gateway(
                        "instance.ejected",
                        &e,
                        format!("{} gets no requests: {}", e.instance, e.why),
                    ));
                }
                link::Event::Readmitted(e) => {
                    facts.push(at_gateway("instance.readmitted", &e, format!("{} gets requests again", e.instance)));
                }
                // Gateways tell which routes have lapsed for as long as they have.
                link::Event::Lapsed(_) => {}
            }
        }
        drop(seen);
        self.note(facts, now);
        if moved {
            return self.nudge_all();
        }
        for lane in touched {
            self.nudge(&lane);
        }
    }

    /// Looks at what came of probes.
    pub fn look_at_probes(&self) {
        let (rows, now) = (self.prober.counts(), self.clock.now());
        let touched = self.seen().probes.take(rows, now);
        touched.iter().for_each(|lane| self.nudge(lane));
    }

    /// Records what happened without any turn having decided it.
    fn note(&self, facts: Vec<Fact>, now: Timestamp) {
        if facts.is_empty() {
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.append(facts, now).await {
                tracing::warn!(%error, "what happened at a gateway could not be recorded");
            }
        });
    }

    /// Looks at the target.
    pub fn look_at_target(&self) {
        // Asked for under the lock: of two that look at once, the one that saw less must not be the last to say so.
        // An instance that was just started would seem to be gone.
        let mut seen = self.seen();
        let instances = self.target.instances();
        let others = |these: &[InstanceStatus], those: &[InstanceStatus]| -> Vec<InstanceId> {
            let known: BTreeMap<&InstanceId, &InstanceStatus> = those.iter().map(|i| (&i.id, i)).collect();
            these.iter().filter(|i| known.get(&i.id) != Some(i)).map(|i| i.id.clone()).collect()
        };
        let changed = [others(&instances, &seen.instances), others(&seen.instances, &instances)].concat();
        let lanes: Option<BTreeSet<LaneId>> = changed.iter().map(|id| seen.homes.get(id).cloned()).collect();
        seen.homes.retain(|id, _| !changed.contains(id) || instances.iter().any(|i| i.id == *id));
        seen.instances = instances;
        drop(seen);
        match lanes {
            Some(lanes) => lanes.iter().for_each(|lane| self.nudge(lane)),
            // Somebody's, of whom nothing is known yet.
            None => self.nudge_all(),
        }
    }

    /// Notes what others need to know of a lane: what it serves, whether it is in trouble, whose an outcome is.
    pub fn note_serving(&self, lane: &Lane) {
        self.ledger().follow(lane, self.clock.now());
        let mut seen = self.seen();
        seen.homes.extend(lane.slots.iter().map(|slot| (slot.id.clone(), lane.id.clone())));
        match lane.stable_version().cloned() {
            Some(version) => {
                drop(seen.serving.insert(lane.id.clone(), Serving { version, since: lane.deployed_at }));
            }
            None => drop(seen.serving.remove(&lane.id)),
        }
        match lane.watching.incident {
            Some(_) => seen.incidents.insert(lane.id.clone()),
            None => seen.incidents.remove(&lane.id),
        };
        match lane.schema.owed.is_empty() {
            false => seen.owing.insert(lane.id.clone()),
            true => seen.owing.remove(&lane.id),
        };
        let environment = lane.stable.as_ref().and_then(|stable| stable.environment(&lane.id));
        match environment.is_some_and(|e| e.drill.is_some()) {
            true => seen.drilled.insert(lane.id.clone()),
            false => seen.drilled.remove(&lane.id),
        };
    }

    /// Lanes that owe a contract.
    pub fn owing(&self) -> Vec<LaneId> {
        self.seen().owing.iter().cloned().collect()
    }

    /// Lanes whose drills come by themselves.
    pub fn drilled(&self) -> Vec<LaneId> {
        self.seen().drilled.iter().cloned().collect()
    }

    /// Lanes in which an incident is open.
    pub fn incidents(&self) -> Vec<LaneId> {
        self.seen().incidents.iter().cloned().collect()
    }

    /// Instances as the target last showed them.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        self.seen().instances.clone()
    }

    /// Notes whether an artifact is here.
    pub async fn look_for_artifact(&self, digest: &Digest) -> bool {
        let here = self.artifacts.path(digest).await.is_some();
        let mut seen = self.seen();
        match here {
            true => seen.artifacts.insert(digest.clone()),
            false => seen.artifacts.remove(digest),
        };
        here
    }

    /// Notes whether a hook could be told the last time, and why not.
    pub fn note_hook(&self, lane: &LaneId, name: &str, came_of: Result<(), &str>) {
        let mut seen = self.seen();
        let hooks = seen.silent_hooks.entry(lane.clone()).or_default();
        match came_of {
            Ok(()) => drop(hooks.remove(name)),
            Err(why) => drop(hooks.insert(name.to_string(), why.to_string())),
        }
    }

    /// Hands what came of an effect to its lane's next turn.
    pub fn came_of(&self, lane: &LaneId, id: EffectId, result: EffectResult) {
        self.look_at_target();
        self.seen().results.entry(lane.clone()).or_default().push((id, result));
        self.nudge(lane);
    }

    /// What is seen of `lane` now.
    pub fn observe(&self, lane: &Lane, now: Timestamp) -> (Observed, Vec<EffectId>) {
        let mut seen = self.seen();
        seen.wake(now);
        let epoch = lane.routing.as_ref().map(|r| r.epoch);
        let lapsed = seen
            .gateways
            .iter()
            .flat_map(|g| &g.lapsed)
            .find(|l| l.lane == lane.id && Some(l.epoch) == epoch)
            .map(|l| l.epoch);
        let (consumed, results) = seen.results.get(&lane.id).cloned().unwrap_or_default().into_iter().unzip();
        let evidence = seen.book.evidence(&lane.id, lane.stable_version(), now);
        let observed = Observed {
            instances: seen
                .instances
                .iter()
                .filter(|i| lane.slots.iter().any(|s| s.id == i.id))
                .map(|i| (i.id.clone(), i.clone()))
                .collect(),
            confirmed: self.tables.confirmed(&lane.id, &seen.gateways),
            watched_since: seen.watched_since,
            looking_since: seen.looking_since,
            lapsed,
            lost: seen.lost.get(&lane.id).cloned().unwrap_or_default(),
            in_flight: in_flight(&seen.gateways),
            evidence,
            cohorts: seen
                .cohorts
                .iter()
                .map(|(name, book)| (name.clone(), book.evidence(&lane.id, lane.stable_version(), now)))
                .collect(),
            probes: seen.probes.evidence(&lane.id, lane.stable_version(), now),
            artifacts: seen.artifacts.clone(),
            serving: seen.serving.clone(),
            silent_hooks: seen.silent_hooks.get(&lane.id).cloned().unwrap_or_default(),
            results,
        };
        (observed, consumed)
    }

    /// The results that a turn has taken in.
    pub(super) fn forget_results(&self, lane: &LaneId, consumed: &[EffectId]) {
        if let Some(results) = self.seen().results.get_mut(lane) {
            results.retain(|(id, _)| !consumed.contains(id));
        }
    }
}

/// What cohorts did, each in a book of its own: their users are no draws of a split. Returns where something is new.
fn take_apart(books: &mut BTreeMap<String, Book>, rows: Vec<link::CountRow>, now: Timestamp) -> Vec<LaneId> {
    let mut by_name: BTreeMap<String, Vec<link::CountRow>> = BTreeMap::new();
    for row in rows {
        by_name.entry(row.cohort.clone().unwrap_or_default()).or_default().push(row);
    }
    by_name.into_iter().flat_map(|(name, rows)| books.entry(name).or_default().take(rows, now)).collect()
}

fn at_gateway(kind: &str, ejection: &link::Ejection, cause: String) -> Fact {
    Fact {
        kind: kind.to_string(),
        lane: Some(ejection.lane.clone()),
        rollout: None,
        actor: "gateway".to_string(),
        cause,
        evidence: serde_json::json!({
            "instance": ejection.instance, "version": ejection.version, "incarnation": ejection.incarnation,
        }),
    }
}

fn in_flight(gateways: &[GatewayView]) -> Option<BTreeMap<slipway_core::names::InstanceId, u64>> {
    let mut sums = BTreeMap::new();
    for gateway in gateways {
        for (instance, requests) in gateway.in_flight.as_ref()? {
            *sums.entry(instance.clone()).or_default() += requests;
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_that_was_frozen_begins_to_watch_anew() {
        let at = |s: u64| Timestamp(s * 1000);
        let mut seen = Seen { looking_since: Some(at(0)), watched_since: Some(at(1)), ..Seen::default() };
        for s in [2, 5, 8, 11, 20] {
            seen.wake(at(s));
        }
        assert_eq!((seen.looking_since, seen.watched_since), (Some(at(0)), Some(at(1))));
        seen.wake(at(90));
        assert_eq!((seen.looking_since, seen.watched_since), (Some(at(90)), Some(at(90))));
        seen.watched_since = None;
        seen.wake(at(200));
        assert_eq!((seen.looking_since, seen.watched_since), (Some(at(200)), None), "a gateway is away");
    }
}
