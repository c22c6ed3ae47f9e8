//! Restarting what serves: instance by instance, replacements first, each healthy and tested before its elder goes.
//!
//! No version changes, so it is no rollout: the lane keeps which instances are still to be replaced. Replacements serve
//! beside their elders for a while; then those go. It stops, and says so, where a replacement does not become ready or
//! an objective breaks, however long the version has served, and gives way to any rollout. Then elders that are still
//! there stay, and what was to replace them goes.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::estimate::start_limit;
use super::lane::{Lane, Release, SlotState};
use super::observed::Observed;
use super::rolling;
use super::turn::{ENGINE, Turn};
use super::watching;
use super::workers::patience;
use crate::names::InstanceId;
use crate::spec::StrategyKind;
use crate::units::Timestamp;

/// A restart that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Who asked.
    pub by: String,
    /// When.
    pub since: Timestamp,
    /// Instances that are still to be replaced: those first that are not ready, then oldest first.
    pub left: Vec<InstanceId>,
    /// How many there were.
    pub of: usize,
    /// The ones at hand.
    #[serde(default)]
    pub batch: Vec<InstanceId>,
    /// When they began to be replaced.
    pub batch_since: Timestamp,
    /// Since when all that is declared has been ready, the replacements at hand among it.
    #[serde(default)]
    pub ready_since: Option<Timestamp>,
    /// Objectives that were broken when it was asked for: a restart may be what mends them. `None` before the first look.
    #[serde(default)]
    pub amid: Option<Vec<String>>,
}

impl Restart {
    /// A restart of `left` that begins now.
    pub(super) fn of(left: Vec<InstanceId>, by: &str, now: Timestamp) -> Restart {
        Restart {
            by: by.to_string(),
            since: now,
            of: left.len(),
            left,
            batch: Vec::new(),
            batch_since: now,
            ready_since: None,
            amid: None,
        }
    }
}

/// Takes a restart as far as it can go now.
pub(super) fn proceed(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let Some(mut restart) = turn.lane.restarting.clone() else { return };
    let Some(stable) = turn.lane.stable.clone() else { return };
    if let Some(why) = stops(&turn.lane, &mut restart, seen) {
        return stop(turn, why, now);
    }
    // Nothing is at hand that could be waited for: what is missing now is missing without its doing.
    if restart.batch.is_empty() {
        return next(turn, restart, now);
    }
    let slots = turn.lane.slots.iter().filter(|s| s.version == stable.version && s.state == SlotState::Wanted);
    let fit = slots.filter(|s| !s.replace && s.ready.is_some()).count() as u32;
    if fit < stable.instances(&turn.lane.id) {
        restart.ready_since = None;
        let over = limit(&turn.lane, &restart, &stable);
        turn.lane.restarting = Some(restart);
        if now < over {
            return turn.wake(over);
        }
        let sentence = "a replacement did not become ready in time; the instances that are left go on";
        return stop(turn, sentence.to_string(), now);
    }
    let since = *restart.ready_since.get_or_insert(now);
    let settled = since.plus(rolling::settle(&stable.spec.health));
    if now < settled {
        turn.lane.restarting = Some(restart);
        return turn.wake(settled);
    }
    let elders = turn.lane.slots.iter_mut().filter(|s| restart.batch.contains(&s.id));
    for slot in elders.filter(|s| s.replace && s.state == SlotState::Wanted) {
        slot.state = SlotState::Draining(now);
    }
    next(turn, restart, now);
}

/// Replaces the next ones, or has done.
fn next(turn: &mut Turn, restart: Restart, now: Timestamp) {
    let left: Vec<InstanceId> = restart.left.iter().filter(|id| is_wanted(&turn.lane, id)).cloned().collect();
    if left.is_empty() {
        let took = now.since(restart.since);
        return end(turn, "restart.ended", format!("{} instances were replaced in {took}", restart.of), now);
    }
    let (batch, rest) = left.split_at(batch(&turn.lane).min(left.len()));
    for slot in turn.lane.slots.iter_mut().filter(|s| batch.contains(&s.id)) {
        slot.replace = true;
    }
    let names = batch.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    turn.lane.restarting =
        Some(Restart { left: rest.to_vec(), batch: batch.to_vec(), batch_since: now, ready_since: None, ..restart });
    turn.record("restart.replacing", ENGINE, format!("{names} to be replaced"), json!({ "instances": batch }));
}

/// Why it cannot go on, as far as others and the objectives have to do with it. What was broken before it is none of its doing.
fn stops(lane: &Lane, restart: &mut Restart, seen: &Observed) -> Option<String> {
    if let Some(open) = &lane.open {
        return Some(format!("the restart gives way to {}", open.id));
    }
    if let Some(incident) = lane.watching.incident.as_ref().filter(|incident| incident.since > restart.since) {
        return Some(format!("the restart stops: incident {}: {}", incident.number, incident.what.join("; ")));
    }
    let broken = watching::broken(lane, seen);
    let amid = restart.amid.get_or_insert_with(|| broken.iter().map(|(name, _)| name.clone()).collect());
    let (_, what) = broken.into_iter().find(|(name, _)| !amid.contains(name))?;
    Some(format!("the restart stops: {what}"))
}

/// How long the replacements at hand may take to be ready.
fn limit(lane: &Lane, restart: &Restart, stable: &Release) -> Timestamp {
    let over = restart.batch_since.plus(start_limit(stable));
    match lane.is_worker() {
        true => over.plus(patience(stable)),
        false => over,
    }
}

/// Whether an instance that serves yet is to stay until what replaces it has settled.
pub(super) fn holds(lane: &Lane, id: &InstanceId) -> bool {
    lane.restarting.as_ref().is_some_and(|restart| restart.batch.contains(id))
}

/// The elders at hand stay where they still serve, and as many of those that were to replace them go, the newest first.
fn stop(turn: &mut Turn, sentence: String, now: Timestamp) {
    let (Some(restart), Some(stable)) = (turn.lane.restarting.clone(), turn.lane.stable_version().cloned()) else {
        return;
    };
    let ours = turn.lane.slots.iter_mut().filter(|s| s.version == stable && s.state == SlotState::Wanted);
    let mut staying = 0;
    let mut newcomers = Vec::new();
    for slot in ours {
        if slot.replace && slot.ready.is_some() {
            slot.replace = false;
            staying += 1;
        } else if slot.since >= restart.batch_since && !restart.batch.is_empty() {
            newcomers.push(slot);
        }
    }
    for slot in newcomers.into_iter().rev().take(staying) {
        slot.state = SlotState::Draining(now);
    }
    end(turn, "restart.stopped", sentence, now);
}

fn end(turn: &mut Turn, kind: &str, sentence: String, now: Timestamp) {
    let Some(restart) = turn.lane.restarting.take() else { return };
    turn.record(kind, &restart.by, sentence, json!({ "instances": restart.of, "ms": now.since(restart.since).0 }));
}

fn is_wanted(lane: &Lane, id: &InstanceId) -> bool {
    lane.slots.iter().any(|slot| slot.id == *id && slot.state == SlotState::Wanted)
}

/// How many at a time: as declared for rolling, otherwise one by one.
fn batch(lane: &Lane) -> usize {
    let Some(stable) = &lane.stable else { return 1 };
    match stable.environment(&lane.id).map(|e| &e.strategy.kind) {
        Some(StrategyKind::Rolling { batch, .. }) => batch.of(stable.instances(&lane.id)).max(1) as usize,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{commands, fixture};

    #[test]
    fn an_instance_that_is_missing_holds_up_no_restart_and_is_replaced_first() {
        for missing in [1, 2] {
            let mut lane = fixture::serving(fixture::SHOP);
            lane.slots = [1, 2].map(|number| fixture::slot(&lane, number, "1", number != missing)).into();
            let [away, there] = [missing, 3 - missing].map(|number| fixture::slot(&lane, number, "1", true).id);
            lane.counters.instance = 2;
            let mut turn = Turn::new(&lane);
            commands::restart(&mut turn, "user:test", Timestamp(1)).expect("it begins");
            super::super::turn::complete(&mut turn, &Observed::default(), Timestamp(1));
            let restart = turn.lane.restarting.as_ref().expect("it goes on");
            assert_eq!((&restart.batch, &restart.left), (&vec![away.clone()], &vec![there.clone()]));
            assert!(!is_wanted(&turn.lane, &away) && is_wanted(&turn.lane, &there));
            assert_eq!(turn.lane.counters.instance, 3, "what replaces it is started");
        }
    }
}
