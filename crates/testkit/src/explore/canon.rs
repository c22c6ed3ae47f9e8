//! The canonical form of a state: names by the part that they play, instances as a bag, times by which limits have run out.
//!
//! Left out is what decides nothing: what was decided and measured before, sentences, numbers that were given out. Two states
//! of one form behave alike as far as the planner reads what is in it; a field that comes to matter belongs here.

use std::hash::{DefaultHasher, Hash, Hasher};

use slipway_core::names::{InstanceId, VersionName};
use slipway_core::rollout::{self, Effect, EffectResult, Release, Rollout, Slot, SlotState};
use slipway_core::traffic::{Route, Split};
use slipway_core::units::{Millis, Timestamp};

use super::state::State;

/// Strides after which no limit but the way back's matters any more.
const OLD: u64 = 1;
/// After which a person is asked about a way back.
const UNDO_LIMIT: Millis = Millis::from_secs(300);

/// The hash of a state's canonical form.
pub(super) fn of(state: &State) -> u64 {
    let roles = Roles::of(state);
    let mut hasher = DefaultHasher::new();
    let h = &mut hasher;
    lane(state, &roles, h);
    slots(state, &roles, h);
    route(state.published.as_ref(), state, &roles, h);
    route(state.gateway.as_ref(), state, &roles, h);
    (state.gateway == state.published).hash(h);
    (state.lapsed == state.gateway.as_ref().map(|r| r.epoch), state.lapsed.is_some(), state.deaf, state.down).hash(h);
    age(state, Some(state.watched_since), OLD).hash(h);
    (state.heard(), state.left, state.promoted).hash(h);
    hasher.finish()
}

/// Versions by the part that they play.
struct Roles<'a>(Vec<&'a VersionName>);

impl<'a> Roles<'a> {
    fn of(state: &'a State) -> Roles<'a> {
        let lane = &state.lane;
        let mut roles = Roles(Vec::new());
        let open = lane.open.as_ref().map(|open| &open.release.version);
        let standby = lane.standby.as_ref().map(|s| &s.release.version);
        let predecessor = lane.predecessor.as_ref().map(|r| &r.version);
        let queue = lane.queue.iter().map(|asked| &asked.release.version);
        let slots = lane.slots.iter().map(|slot| &slot.version);
        for version in
            lane.stable_version().into_iter().chain(open).chain(standby).chain(predecessor).chain(queue).chain(slots)
        {
            if !roles.0.contains(&version) {
                roles.0.push(version);
            }
        }
        roles
    }

    fn part(&self, version: &VersionName) -> usize {
        self.0.iter().position(|known| *known == version).unwrap_or(usize::MAX)
    }

    fn maybe(&self, version: Option<&VersionName>) -> Option<usize> {
        version.map(|version| self.part(version))
    }
}

/// How many strides ago, up to `most`.
fn age(state: &State, at: Option<Timestamp>, most: u64) -> Option<u64> {
    at.map(|at| (state.now.since(at).0 / state.stride().0).min(most))
}

/// Strides after which the way back's limit does not matter any more.
fn undo_old(state: &State) -> u64 {
    UNDO_LIMIT.0.div_ceil(state.stride().0)
}

fn split(split: &Split, roles: &Roles, h: &mut impl Hasher) {
    split.shares().iter().for_each(|share| (roles.part(&share.version), share.weight.bp()).hash(h));
}

fn lane(state: &State, roles: &Roles, h: &mut impl Hasher) {
    let lane = &state.lane;
    roles.maybe(lane.stable_version()).hash(h);
    let standby = lane.standby.as_ref();
    roles.maybe(standby.map(|s| &s.release.version)).hash(h);
    standby.map(|s| s.until.since(state.now).0.div_ceil(state.stride().0)).hash(h);
    roles.maybe(lane.predecessor.as_ref().map(|r| &r.version)).hash(h);
    // That a release was taken back changes nothing of what a lane does next.
    lane.went_back.as_ref().map(|back| (roles.part(&back.from), roles.part(&back.to))).hash(h);
    for asked in &lane.queue {
        (format!("{:?}", asked.kind), roles.part(&asked.release.version)).hash(h);
    }
    upkeep(state, h);
    lane.watching.incident.as_ref().map(|incident| incident.acted).hash(h);
    lane.routing.is_some().hash(h);
    if let Some(routing) = &lane.routing {
        split(&routing.split, roles, h);
        routing.fallback.is_some().hash(h);
    }
    lane.open.is_some().hash(h);
    if let Some(open) = &lane.open {
        rollout(state, open, roles, h);
    }
}

/// A restart, and how many instances are wanted.
fn upkeep(state: &State, h: &mut impl Hasher) {
    let lane = &state.lane;
    let instances = |release: &Release| release.instances(&lane.id);
    let standby = lane.standby.as_ref().map(|standby| &standby.release);
    let open = lane.open.as_ref().map(|open| &open.release);
    [lane.stable.as_ref(), standby, lane.predecessor.as_ref(), open].map(|release| release.map(instances)).hash(h);
    lane.scaled.hash(h);
    let Some(restart) = &lane.restarting else { return false.hash(h) };
    // Each of its instances says by itself where it stands in it.
    (age(state, Some(restart.batch_since), OLD), age(state, restart.ready_since, OLD)).hash(h);
    let since = lane.watching.incident.as_ref().map(|incident| incident.since > restart.since);
    (restart.amid.as_ref().map(Vec::len), since).hash(h);
}

fn rollout(state: &State, open: &Rollout, roles: &Roles, h: &mut impl Hasher) {
    (format!("{:?}", open.kind), roles.part(&open.release.version), roles.maybe(open.from.as_ref())).hash(h);
    for step in &open.plan.steps {
        format!("{:?}", step.kind).hash(h);
    }
    open.step.hash(h);
    match &open.state {
        rollout::State::Running => 0.hash(h),
        rollout::State::Paused { since, .. } => (1, age(state, Some(*since), OLD)).hash(h),
        rollout::State::Held { .. } => 2.hash(h),
        rollout::State::Undoing(undo) => {
            (3, undo.outcome, age(state, Some(undo.since), undo_old(state)), undo.asked_person).hash(h);
        }
        rollout::State::Ended { outcome, .. } => (4, outcome).hash(h),
    }
    let progress = &open.progress;
    for at in [progress.short_since, progress.shifted, progress.closing, progress.blind_since] {
        age(state, at, OLD).hash(h);
    }
    // A pause makes the step's limit later.
    age(state, progress.confirmed.map(|at| at.plus(progress.forgiven)), OLD).hash(h);
    age(state, Some(progress.entered), OLD).hash(h);
    (progress.attempt, progress.cut_offs, progress.outage.is_some(), progress.promoted_by.is_some()).hash(h);
    progress.waiting_for_stable.len().hash(h);
    let until = open.drill.as_ref().and_then(|drill| drill.standby_until);
    until.map(|until| until.since(state.now).0.div_ceil(state.stride().0)).hash(h);
    (open.first_epoch.is_some(), open.before.is_empty(), open.crashes.min(3)).hash(h);
    open.steps.get(open.step).is_some_and(|record| record.began_at.is_some()).hash(h);
}

fn slots(state: &State, roles: &Roles, h: &mut impl Hasher) {
    let mut bag: Vec<u64> = state.lane.slots.iter().map(|slot| one(state, slot, roles)).collect();
    let known: Vec<&InstanceId> = state.lane.slots.iter().map(|slot| &slot.id).collect();
    let strays = state.instances.keys().filter(|id| !known.contains(id)).count();
    bag.sort_unstable();
    (bag, strays).hash(h);
}

/// One instance, with everything that is on its way to or from it.
fn one(state: &State, slot: &Slot, roles: &Roles) -> u64 {
    let mut hasher = DefaultHasher::new();
    let h = &mut hasher;
    roles.part(&slot.version).hash(h);
    match slot.state {
        SlotState::Wanted => 0.hash(h),
        SlotState::Draining(since) => (1, age(state, Some(since), OLD)).hash(h),
        SlotState::Stopping(_) => 2.hash(h),
    }
    (slot.started, slot.ready.is_some(), slot.exits, slot.replace).hash(h);
    age(state, Some(slot.since), OLD).hash(h);
    slot.smoke.as_ref().map(|run| (run.round.min(2), run.passed, age(state, Some(run.asked), OLD))).hash(h);
    let closing = state.lane.open.as_ref().and_then(|open| open.progress.closing);
    slot.smoke.as_ref().map(|run| closing.is_some_and(|closing| run.asked >= closing)).hash(h);
    slot.running.map(|(_, since)| age(state, Some(since), OLD)).hash(h);
    let restart = state.lane.restarting.as_ref().map(|restart| {
        let place = |ids: &[InstanceId]| ids.iter().position(|id| *id == slot.id);
        (place(&restart.left), place(&restart.batch), slot.since >= restart.batch_since)
    });
    restart.hash(h);
    age(state, slot.unhealthy_since, OLD).hash(h);
    (state.instances.get(&slot.id), state.tested.contains(&slot.id), state.born.contains(&slot.id)).hash(h);
    let uses = |route: &Option<Route>| {
        let versions = route.iter().flat_map(|route| &route.versions);
        versions.flat_map(|version| &version.endpoints).any(|endpoint| endpoint.instance == slot.id)
    };
    (uses(&state.gateway), uses(&state.published)).hash(h);
    for (place, effect) in state.outbox.iter().enumerate() {
        match effect {
            Effect::Start { spec } if spec.id == slot.id => (place, 0).hash(h),
            Effect::Stop { instance } if *instance == slot.id => (place, 1).hash(h),
            Effect::Smoke { instance, round, .. } if *instance == slot.id => {
                (place, 2, slot.smoke.as_ref().map(|run| run.round) == Some(*round)).hash(h);
            }
            _ => {}
        }
    }
    for reply in &state.replies {
        match reply {
            EffectResult::Started { instance } if *instance == slot.id => 0.hash(h),
            EffectResult::Stopped { instance, .. } if *instance == slot.id => 1.hash(h),
            EffectResult::Smoked { report, round } if report.instance == slot.id => {
                (2, report.passed(), slot.smoke.as_ref().map(|run| run.round) == Some(*round)).hash(h);
            }
            _ => {}
        }
    }
    hasher.finish()
}

fn route(route: Option<&Route>, state: &State, roles: &Roles, h: &mut impl Hasher) {
    let Some(route) = route else { return false.hash(h) };
    split(&route.split, roles, h);
    (route.fallback.is_some(), route.versions.len()).hash(h);
    (state.lane.routing.as_ref().map(|routing| routing.epoch) == Some(route.epoch)).hash(h);
}
