//! A worker's way back: the new version takes no more jobs, finishes those that it has, and stable has all of its
//! instances again. Jobs wait in their queue, so a bad version never has to carry on until stable is back.

use serde_json::json;

use super::patience;
use crate::rollout::model::Undo;
use crate::rollout::shifting::route;
use crate::rollout::turn::Turn;
use crate::rollout::undo::{end, overdue};
use crate::traffic::Split;
use crate::units::{Timestamp, Weight};

/// One look at the way back. Returns whether the rollout ended. Instances are stopped and started by what is wanted
/// while a rollout goes back; here is only said when that is done.
pub(in super::super) fn proceed(turn: &mut Turn, undo: &Undo, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    let (candidate, grace) = (open.release.version.clone(), patience(&open.release));
    let stable = turn.lane.stable_version().cloned();
    if turn.lane.candidate_weight() > Weight::ZERO {
        match &stable {
            Some(stable) => route(turn, Split::all(stable.clone()), false),
            None => turn.lane.routing = None,
        }
        let sentence = format!("no more jobs for {candidate}: its instances finish what they have and end");
        turn.record("work.returning", &undo.actor, sentence, json!({ "version": candidate }));
    }
    let left = turn.lane.slots.iter().filter(|slot| slot.version == candidate).count();
    let lane = &turn.lane;
    let back = lane.stable.as_ref().is_none_or(|stable| lane.ready(&stable.version) >= stable.instances(&lane.id));
    if left > 0 || !(back || undo.forced) {
        overdue(turn, undo, grace, now);
        return false;
    }
    end(turn, undo, "work.returned", now);
    true
}
