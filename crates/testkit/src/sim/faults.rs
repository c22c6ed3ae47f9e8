//! Something broken on purpose, so that a test can see a check speak. Most mislead the planner: what it is told of the world, or
//! of its own lane, is not so, and its own code draws the conclusion. Some break the control plane around it, as a mistake in a
//! driver or a store would; the world looks for those by name where it stands for one. What a check looks at is never changed.

use std::collections::BTreeMap;

use slipway_core::judge::Counts;
use slipway_core::rollout::{
    self, Approval, Confirmed, EffectResult, Evidence, Lane, Observed, Release, Rollout, RolloutKind, State, Tally,
    Turn, gates,
};
use slipway_core::units::{Timestamp, Weight};

/// One invariant broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Word that nobody gave stands in the lane for what cannot be undone.
    Unasked,
    /// Every artifact is said to be here.
    BlindWayBack,
    /// Smoke tests that failed are told as passed.
    ColdTraffic,
    /// Stable is said to need one instance less while a candidate is tried.
    StableCold,
    /// Stable is said to need only what a split leaves it, as soon as that is asked for and before it is confirmed.
    ScalesDownEarly,
    /// No requests are told as many good ones.
    SilencePasses,
    /// On the way back nothing is seen of stable's instances.
    TrafficLast,
    /// The control plane hands out the route of a way back once it is kept.
    StoreFirst,
    /// What was asked for is said to be confirmed.
    AssumesConfirmed,
    /// Nothing is seen of what gateways use.
    StopsInUse,
    /// The numbers that were given out are read from an older state.
    NumberTwice,
    /// The store keeps what an old control plane decides.
    Unfenced,
    /// The control plane carries effects out before the turn is kept.
    ActsFirst,
    /// Time is said to stand still, so that no deadline ever comes.
    Stuck,
    /// The front door does not say who asks.
    Nameless,
    /// The store loses what is to be recorded.
    Unrecorded,
}

/// The planner's answer, or what it is led to by sabotage.
pub(crate) fn decide(sabotage: Option<Sabotage>, turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let Some(sabotage) = sabotage else { return rollout::complete(turn, seen, now) };
    let (mut seen, mut at, stable) = (seen.clone(), now, turn.lane.stable.clone());
    sabotage.mislead(turn, &mut seen, &mut at);
    rollout::complete(turn, &seen, at);
    if let Some(stable) = stable.filter(|_| matches!(sabotage, Sabotage::StableCold | Sabotage::ScalesDownEarly)) {
        set_instances(&mut turn.lane, &stable, |declared| declared);
    }
}

impl Sabotage {
    /// What the planner is told.
    fn mislead(self, turn: &mut Turn, seen: &mut Observed, now: &mut Timestamp) {
        let lane = &mut turn.lane;
        match self {
            Sabotage::Unasked => forge_words(lane, *now),
            Sabotage::BlindWayBack => {
                let known = lane.stable.iter().chain(lane.queue.iter().map(|asked| &asked.release));
                seen.artifacts = known.map(|release| (release.artifact.clone(), ())).collect();
            }
            Sabotage::ColdTraffic => seen.results.iter_mut().for_each(pass),
            Sabotage::StableCold if lane.open.is_some() => {
                let stable = lane.stable.clone();
                stable.iter().for_each(|stable| set_instances(lane, stable, |declared| declared - 1));
            }
            Sabotage::ScalesDownEarly => {
                let asked = |open: &Rollout| {
                    open.state == State::Running && open.progress.shifted.is_some() && open.progress.confirmed.is_none()
                };
                let left = Weight::ALL.share() - lane.candidate_weight().share();
                if let Some(stable) = lane.stable.clone().filter(|_| lane.open.as_ref().is_some_and(asked)) {
                    set_instances(lane, &stable, |declared| (f64::from(declared) * left).ceil() as u32);
                }
            }
            Sabotage::SilencePasses if seen.evidence.rows.is_empty() => seen.evidence = plenty(lane),
            Sabotage::TrafficLast if matches!(lane.open.as_ref().map(|open| &open.state), Some(State::Undoing(_))) => {
                let stable = lane.stable_version().cloned();
                let ours = lane.slots.iter().filter(|slot| Some(&slot.version) == stable.as_ref());
                ours.for_each(|slot| drop(seen.instances.remove(&slot.id)));
            }
            Sabotage::AssumesConfirmed => {
                let routes = rollout::route_of(lane).into_iter().collect();
                seen.confirmed = Some(Confirmed { routes, newest: true });
            }
            Sabotage::StopsInUse => {
                if let Some(confirmed) = &mut seen.confirmed {
                    confirmed.newest = true;
                    let versions = confirmed.routes.iter_mut().flat_map(|route| &mut route.versions);
                    versions.for_each(|version| version.endpoints.clear());
                }
            }
            Sabotage::NumberTwice => lane.counters.instance = lane.counters.instance.saturating_sub(1),
            Sabotage::Stuck => *now = Timestamp(1_000_000),
            _ => {}
        }
    }
}

/// Somebody is said to have approved every contract that waits.
fn forge_words(lane: &mut Lane, now: Timestamp) {
    let shown = lane.clone();
    for asked in lane.queue.iter_mut().filter(|asked| asked.kind == RolloutKind::Contract) {
        let seal = gates::seal(&shown, asked);
        asked.approvals = vec![Approval { by: "user:nobody".to_string(), at: now, seal }];
    }
}

fn pass(result: &mut EffectResult) {
    if let EffectResult::Smoked { report, .. } = result {
        report.tests.iter_mut().for_each(|test| test.failure = None);
    }
}

/// How many instances a version is said to declare, wherever the lane has it; never none.
fn set_instances(lane: &mut Lane, release: &Release, of: impl Fn(u32) -> u32) {
    let (id, declared) = (lane.id.clone(), release.instances(&lane.id));
    let standby = lane.standby.as_mut().map(|standby| &mut standby.release);
    for known in [lane.stable.as_mut(), standby, lane.predecessor.as_mut()].into_iter().flatten() {
        if known.version == release.version {
            known.set_instances(&id, of(declared).max(1));
        }
    }
}

/// As if both versions had been asked a great deal in the stretch of evidence in force, and had answered well.
fn plenty(lane: &Lane) -> Evidence {
    let mut evidence = Evidence::default();
    let (Some(open), Some(routing)) = (&lane.open, &lane.routing) else { return evidence };
    let counts = Counts { n: 100_000, bad: 0, bad_keys: 0 };
    let names = open.release.spec.objectives.iter().map(|objective| objective.name.clone());
    let objectives: BTreeMap<String, Counts> = names.map(|name| (name, counts)).collect();
    for version in lane.stable_version().into_iter().chain(lane.candidate_version()) {
        let objectives = objectives.clone();
        let tally = Tally { assigned: counts.n, attempts: counts.n, objectives, ..Tally::default() };
        evidence.rows.insert((routing.epoch, version.clone()), tally);
    }
    evidence.stable_ten_minutes = objectives;
    evidence
}
