//! Restarting what serves: instance by instance, replacements first, each healthy and tested before its elder goes.
//!
//! No version changes, so it is no rollout: the lane keeps which instances are still to be replaced. It stops, and says
//! so, where a replacement does not become ready or an objective breaks, and gives way to any rollout.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::estimate::start_limit;
use super::lane::{Lane, SlotState};
use super::turn::{ENGINE, Turn};
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
    /// Instances that are still to be replaced, oldest first.
    pub left: Vec<InstanceId>,
    /// How many there were.
    pub of: usize,
    /// When the ones at hand began to be replaced.
    pub batch_since: Timestamp,
}

/// Takes a restart as far as it can go now.
pub(super) fn proceed(turn: &mut Turn, now: Timestamp) {
    let Some(restart) = turn.lane.restarting.clone() else { return };
    let Some(stable) = turn.lane.stable.clone() else { return };
    if let Some(open) = &turn.lane.open {
        let sentence = format!("the restart gives way to {}", open.id);
        return end(turn, "restart.stopped", sentence, now);
    }
    if let Some(incident) = &turn.lane.watching.incident {
        let sentence = format!("the restart stops: incident {}: {}", incident.number, incident.what.join("; "));
        return end(turn, "restart.stopped", sentence, now);
    }
    let slots = turn.lane.slots.iter().filter(|s| s.version == stable.version && s.state == SlotState::Wanted);
    let (going, fit) = slots.fold((0, 0), |(going, fit), s| {
        (going + usize::from(s.replace), fit + u32::from(!s.replace && s.ready.is_some()))
    });
    if going > 0 || fit < stable.instances(&turn.lane.id) {
        let mut over = restart.batch_since.plus(start_limit(&stable));
        if turn.lane.is_worker() {
            over = over.plus(patience(&stable));
        }
        if now < over {
            return turn.wake(over);
        }
        let sentence = "a replacement did not become ready in time; the instances that are left go on".to_string();
        return end(turn, "restart.stopped", sentence, now);
    }
    let left: Vec<InstanceId> = restart.left.iter().filter(|id| is_wanted(&turn.lane, id)).cloned().collect();
    if left.is_empty() {
        let took = now.since(restart.since);
        return end(turn, "restart.ended", format!("{} instances were replaced in {took}", restart.of), now);
    }
    let (batch, rest) = left.split_at(batch(&turn.lane).min(left.len()));
    for slot in turn.lane.slots.iter_mut().filter(|s| batch.contains(&s.id)) {
        slot.replace = true;
    }
    turn.lane.restarting = Some(Restart { left: rest.to_vec(), batch_since: now, ..restart });
    let names = batch.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    turn.record("restart.replacing", ENGINE, format!("{names} to be replaced"), json!({ "instances": batch }));
}

fn end(turn: &mut Turn, kind: &str, sentence: String, now: Timestamp) {
    let Some(restart) = turn.lane.restarting.take() else { return };
    for slot in &mut turn.lane.slots {
        // Asked to be replaced by the restart and still fit: it may stay.
        slot.replace &= slot.ready.is_none() || kind == "restart.ended";
    }
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
