//! What is seen of the world between turns: taken in whenever somebody says that something changed, shown to each turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slipway_core::instance::InstanceStatus;
use slipway_core::journal::Fact;
use slipway_core::names::{Digest, InstanceId, LaneId};
use slipway_core::rollout::{self, Book, EffectResult, Lane, Lost, Observed, Serving};
use slipway_core::shared_map::SharedMap;
use slipway_core::spec::Hook;
use slipway_core::traffic::link;
use slipway_core::units::{Millis, Timestamp};
use slipway_store::EffectId;

mod noted;

use super::Engine;
use super::gateways::{Kept, Outdated, at_gateway, in_flight, lapses};
use crate::places::Places;
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
    /// Of copies of users' requests, and of what was copied. What is taken of the one must not be held for all of the other.
    mirrored: Book,
    instances: BTreeMap<InstanceId, InstanceStatus>,
    /// Hooks of each lane that cannot be told at the moment, and why.
    silent_hooks: BTreeMap<LaneId, BTreeMap<String, String>>,
    /// When hooks of each lane were pinged, each as it was then.
    pinged: HashMap<LaneId, Vec<(Hook, Timestamp)>>,
    /// Whose each instance is.
    homes: BTreeMap<InstanceId, LaneId>,
    /// Those that each lane has in its books.
    booked: HashMap<LaneId, Vec<InstanceId>>,
    gateways: Vec<GatewayView>,
    /// Instances that gateways may use which cannot be asked.
    pub(super) kept: Kept,
    /// What gateways were said to miss.
    pub(super) outdated: Outdated,
    /// Requests in flight by instance, over all gateways; absent while one of them has not said.
    in_flight: Option<BTreeMap<InstanceId, u64>>,
    lost: HashMap<LaneId, Vec<Lost>>,
    /// Since when every gateway has been connected.
    watched_since: Option<Timestamp>,
    /// Since when this control plane has been looking without a gap.
    looking_since: Option<Timestamp>,
    /// When it was last known to be awake.
    awake: Option<Timestamp>,
    results: HashMap<LaneId, Vec<(EffectId, EffectResult)>>,
    /// Shared with every turn, which must not cost more for every service that there is.
    artifacts: SharedMap<Digest, ()>,
    serving: SharedMap<LaneId, Serving>,
    /// What lanes claim once what is open or waits in them serves, where it is known what is kept of them.
    claims: Places,
    /// Lanes of which that is not known.
    unknown: BTreeSet<LaneId>,
    /// Lanes in which an incident is open.
    incidents: BTreeSet<LaneId>,
    /// Lanes whose drills come by themselves.
    drilled: BTreeSet<LaneId>,
    /// Lanes that owe a contract.
    owing: BTreeSet<LaneId>,
    /// Lanes in which a rollout is open.
    rolling: BTreeSet<LaneId>,
    /// Hooks of lanes, as far as they are kept.
    pub(super) hooks: HashMap<LaneId, Vec<Hook>>,
}

impl Seen {
    /// Gateways as they last were.
    pub(super) fn gateways(&self) -> &[GatewayView] {
        &self.gateways
    }

    /// Whether a rollout is open in a lane.
    pub(super) fn is_rolling(&self, lane: &LaneId) -> bool {
        self.rolling.contains(lane)
    }

    /// Instances that are there.
    pub(super) fn instances(&self) -> impl Iterator<Item = &InstanceId> {
        self.instances.keys()
    }

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

impl Seen {
    /// Takes note of the instances that a lane has in its books. One that it has no more, and that is not there, is nobody's.
    fn house(&mut self, lane: &LaneId, booked: Vec<InstanceId>) {
        self.homes.extend(booked.iter().map(|id| (id.clone(), lane.clone())));
        let before = self.booked.insert(lane.clone(), booked).unwrap_or_default();
        let booked = self.booked.get(lane);
        let gone = |id: &InstanceId| booked.is_none_or(|ids| !ids.contains(id)) && !self.instances.contains_key(id);
        before.iter().filter(|id| gone(id)).for_each(|id| drop(self.homes.remove(id)));
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
        // Before their counts, of which an acknowledgement says how far they go.
        let gateways = self.router.gateways();
        let (rows, unheard) = self.router.counted();
        let (mirrored, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.mirrored);
        let (mirrored_unheard, unheard): (Vec<_>, Vec<_>) = unheard.into_iter().partition(|row| row.mirrored);
        self.ledger().complete(&mut rows);
        let events = self.router.take_events();
        let now = self.clock.now();
        let mut seen = self.seen();
        let (apart, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.cohort.is_some());
        let (apart_unheard, unheard): (Vec<_>, Vec<_>) = unheard.into_iter().partition(|row| row.cohort.is_some());
        let mut counted = seen.book.take_heard(rows, unheard, now);
        counted.extend(take_apart(&mut seen.cohorts, apart, apart_unheard, now));
        counted.extend(seen.mirrored.take_heard(mirrored, mirrored_unheard, now));
        let in_flight = in_flight(&gateways);
        let mut moved = self.moved(&seen, &gateways, in_flight.as_ref());
        seen.in_flight = in_flight;
        let counting = || gateways.iter().filter(|g| g.counts());
        let watched = counting().next().is_some() && counting().all(|g| g.connected);
        seen.watched_since = if watched { seen.watched_since.or(Some(now)) } else { None };
        let mut facts = self.follow_gateways(&mut seen, &gateways);
        self.note_upgrades(&gateways, now);
        seen.gateways = gateways;
        seen.looking_since.get_or_insert(now);
        for (gateway, event) in events {
            match event {
                link::Event::CandidateLost { lane, version, epoch, why } => {
                    if let Some(moved) = &mut moved {
                        moved.insert(lane.clone());
                    }
                    let lost = seen.lost.entry(lane).or_default();
                    // Only the newest few matter: a turn looks at its own epoch.
                    if lost.len() >= 16 {
                        lost.remove(0);
                    }
                    lost.push(Lost { gateway, version, epoch, why });
                }
                link::Event::Ejected(e) => {
                    facts.push(at_gateway(
                        "instance.ejected",
                        &gateway,
                        &e,
                        format!("{} gets no requests: {}", e.instance, e.why),
                    ));
                }
                link::Event::Readmitted(e) => {
                    let sentence = format!("{} gets requests again", e.instance);
                    facts.push(at_gateway("instance.readmitted", &gateway, &e, sentence));
                }
                // Gateways tell which routes have lapsed for as long as they have.
                link::Event::Lapsed(_) => {}
            }
        }
        drop(seen);
        self.note(facts, now);
        match moved {
            Some(moved) => {
                moved.iter().for_each(|lane| self.nudge(lane));
                self.nudge_soon(counted.into_iter().filter(|lane| !moved.contains(lane)));
            }
            None => self.nudge_all(),
        }
    }

    /// Lanes whose turns may wait for what gateways have said since the last time; `None` where that may be any.
    fn moved(
        &self,
        seen: &Seen,
        gateways: &[GatewayView],
        in_flight: Option<&BTreeMap<InstanceId, u64>>,
    ) -> Option<BTreeSet<LaneId>> {
        let same = |(before, after): (&GatewayView, &GatewayView)| {
            before.name == after.name && before.connected == after.connected && before.counts() == after.counts()
        };
        if seen.gateways.len() != gateways.len() || !seen.gateways.iter().zip(gateways).all(same) {
            return None;
        }
        let mut moved = BTreeSet::new();
        for (before, after) in seen.gateways.iter().zip(gateways) {
            moved.extend(self.tables.changed(before.acked, after.acked)?);
            let lapses = before.lapsed.iter().filter(|l| !after.lapsed.contains(l));
            moved.extend(
                lapses.chain(after.lapsed.iter().filter(|l| !before.lapsed.contains(l))).map(|l| l.lane.clone()),
            );
        }
        // An instance ends once nothing is in flight to it, and lanes wait for nothing else in this.
        match (&seen.in_flight, in_flight) {
            (Some(before), Some(after)) => {
                let idle = |id: &InstanceId| after.get(id).is_none_or(|requests| *requests == 0);
                let became = before.iter().filter(|(id, requests)| **requests > 0 && idle(id));
                moved.extend(became.filter_map(|(id, _)| seen.homes.get(id).cloned()));
            }
            (None, None) => {}
            _ => return None,
        }
        Some(moved)
    }

    /// Looks at what came of probes.
    pub fn look_at_probes(&self) {
        let (rows, now) = (self.prober.counts(), self.clock.now());
        let counted = self.seen().probes.take(rows, now);
        self.nudge_soon(counted);
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
        let instances: BTreeMap<_, _> = instances.into_iter().map(|status| (status.id.clone(), status)).collect();
        let gone = seen.instances.keys().filter(|id| !instances.contains_key(*id));
        let new = instances.iter().filter(|(id, status)| seen.instances.get(*id) != Some(status)).map(|(id, _)| id);
        let changed: BTreeSet<InstanceId> = gone.chain(new).cloned().collect();
        let lanes: Option<BTreeSet<LaneId>> = changed.iter().map(|id| seen.homes.get(id).cloned()).collect();
        seen.homes.retain(|id, _| !changed.contains(id) || instances.contains_key(id));
        seen.instances = instances;
        drop(seen);
        match lanes {
            Some(lanes) => lanes.iter().for_each(|lane| self.nudge(lane)),
            // Somebody's, of whom nothing is known yet.
            None => self.nudge_all(),
        }
    }

    /// Looks at one instance.
    fn look_at_instance(&self, id: &InstanceId) {
        // Under the lock, as above.
        let mut seen = self.seen();
        match self.target.instance(id) {
            Some(status) => drop(seen.instances.insert(id.clone(), status)),
            None => drop(seen.instances.remove(id)),
        }
    }

    /// Hands what came of an effect to its lane's next turn.
    pub fn came_of(&self, lane: &LaneId, id: EffectId, result: EffectResult) {
        if let Some(instance) = result.instance() {
            self.look_at_instance(instance);
        }
        self.seen().results.entry(lane.clone()).or_default().push((id, result));
        self.nudge(lane);
    }

    /// What is seen of `lane` now.
    pub fn observe(&self, lane: &Lane, now: Timestamp) -> (Observed, Vec<EffectId>) {
        let mut seen = self.seen();
        seen.wake(now);
        let epoch = lane.routing.as_ref().map(|r| r.epoch);
        let lapses = lapses(&seen.gateways, &lane.id, epoch);
        let (consumed, results) = seen.results.get(&lane.id).cloned().unwrap_or_default().into_iter().unzip();
        let evidence = seen.book.evidence(lane, now);
        let observed = Observed {
            instances: of_slots(lane, |id| seen.instances.get(id).cloned()),
            confirmed: self.tables.confirmed(&lane.id, &seen.gateways),
            watched_since: seen.watched_since,
            looking_since: seen.looking_since,
            lapsed: lapses.everywhere,
            lapsed_apart: lapses.apart,
            kept: seen.kept.of(lane, now),
            lost: seen.lost.get(&lane.id).cloned().unwrap_or_default(),
            in_flight: seen.in_flight.as_ref().map(|all| of_slots(lane, |id| all.get(id).copied())),
            evidence,
            cohorts: seen.cohorts.iter().map(|(name, book)| (name.clone(), book.evidence(lane, now))).collect(),
            probes: {
                let synthetic = if rollout::by_copies(lane) { &seen.mirrored } else { &seen.probes };
                synthetic.evidence(lane, now)
            },
            artifacts: seen.artifacts.clone(),
            serving: seen.serving.clone(),
            silent_hooks: seen.silent_hooks.get(&lane.id).cloned().unwrap_or_default(),
            results,
            unrecorded: false,
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
fn take_apart(
    books: &mut BTreeMap<String, Book>,
    rows: Vec<link::CountRow>,
    unheard: Vec<link::CountRow>,
    now: Timestamp,
) -> Vec<LaneId> {
    let mut by_name: BTreeMap<String, (Vec<link::CountRow>, Vec<link::CountRow>)> = BTreeMap::new();
    for row in rows {
        by_name.entry(row.cohort.clone().unwrap_or_default()).or_default().0.push(row);
    }
    for row in unheard {
        by_name.entry(row.cohort.clone().unwrap_or_default()).or_default().1.push(row);
    }
    let take = |(name, (rows, unheard))| books.entry(name).or_default().take_heard(rows, unheard, now);
    by_name.into_iter().flat_map(take).collect()
}

/// What is known of each instance of a lane.
fn of_slots<T>(lane: &Lane, known: impl Fn(&InstanceId) -> Option<T>) -> BTreeMap<InstanceId, T> {
    lane.slots.iter().filter_map(|slot| Some((slot.id.clone(), known(&slot.id)?))).collect()
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

    #[test]
    fn an_instance_that_left_the_books_and_is_not_there_is_nobodys() {
        let mut seen = Seen::default();
        let lane = LaneId { service: "shop".parse().expect("one"), environment: "production".parse().expect("one") };
        let id = |n: u32| -> InstanceId { format!("shop-production-{n}").parse().expect("an id") };
        seen.house(&lane, vec![id(1), id(2)]);
        seen.instances.insert(
            id(2),
            InstanceStatus {
                id: id(2),
                incarnation: 1,
                state: slipway_core::instance::InstanceState::Stopping,
                address: None,
                pid: None,
                health: slipway_core::instance::Health::Healthy,
                last_exit: None,
            },
        );
        seen.house(&lane, vec![id(3)]);
        let housed = |seen: &Seen| seen.homes.keys().cloned().collect::<Vec<_>>();
        assert_eq!(housed(&seen), [id(2), id(3)], "the second still runs");
        for n in 4..100 {
            seen.house(&lane, vec![id(n)]);
        }
        assert_eq!(housed(&seen), [id(2), id(99)]);
    }
}
