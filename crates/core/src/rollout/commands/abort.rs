//! Aborting: the open rollout is taken back.

use super::{Refusal, end_queued, open, refuse};
use crate::names::RolloutId;
use crate::rollout::{Outcome, RolloutKind, State, Turn, schema, undo};
use crate::units::{Timestamp, Weight};

/// Takes the open rollout back; where none is open, the first that waits is withdrawn.
pub fn abort(turn: &mut Turn, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    if let (None, Some(first)) = (&turn.lane.open, turn.lane.queue.first().map(|asked| asked.id.clone())) {
        return withdraw(turn, &first, actor, now);
    }
    take_back(turn, actor, "aborted", now)
}

/// Withdraws the rollout that waits under `id`, and no other.
pub fn withdraw(turn: &mut Turn, id: &RolloutId, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    if !turn.lane.queue.iter().any(|asked| asked.id == *id) {
        return refuse("not_waiting", format!("{id} is not open in {} and does not wait there", turn.lane.id));
    }
    schema::withdraw(turn, id);
    end_queued(turn, Outcome::Blocked, &format!("withdrawn by {actor}"), actor, now, |asked| asked.id == *id);
    Ok(())
}

/// Takes the open rollout back without waiting for instances that stable lacks, also where it is on its way already.
pub fn force(turn: &mut Turn, reason: &str, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    match &open(&turn.lane)?.state {
        State::Undoing(undo) if undo.forced => {
            return refuse("on_its_way_back", "it waits for nothing that stable lacks any more");
        }
        State::Undoing(_) if !turn.lane.is_worker() && turn.lane.candidate_weight() == Weight::ZERO => {
            let reason = "all of the traffic was asked back already; every gateway's word is waited for: see slipway gateway list";
            return refuse("on_its_way_back", reason);
        }
        State::Undoing(_) => {}
        _ => take_back(turn, actor, "aborted", now)?,
    }
    undo::force(turn, reason, actor, now);
    Ok(())
}

/// Takes the open rollout back; `word` says how it was asked for.
pub(super) fn take_back(turn: &mut Turn, actor: &str, word: &str, now: Timestamp) -> Result<(), Refusal> {
    let rollout = open(&turn.lane)?;
    if let State::Undoing(undo) = &rollout.state {
        return refuse("on_its_way_back", format!("{} is already on its way back: {}", rollout.id, undo.cause));
    }
    if rollout.kind == RolloutKind::Contract {
        return refuse(
            "no_way_back",
            format!("{} is a contract that has begun: what it removes does not come back", rollout.id),
        );
    }
    if rollout.kind == RolloutKind::Rollback {
        return refuse(
            "no_rollback_of_a_rollback",
            format!("{} is itself a rollback to {}; it goes on", rollout.id, rollout.release.version),
        );
    }
    undo::begin(turn, &format!("{word} by {actor}"), actor, None, Vec::new(), now);
    Ok(())
}
