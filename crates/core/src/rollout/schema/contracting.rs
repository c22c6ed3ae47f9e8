//! Contracting: what only earlier versions need is removed, by a rollout of its own that moves no traffic. It is the
//! point of no return: it comes after standby has ended, and waits for somebody's word.

use serde_json::json;

use super::{Act, Owed, ask, fits, unclear};
use crate::names::RolloutId;
use crate::rollout::advance::{done, hold};
use crate::rollout::lane::Lane;
use crate::rollout::model::{Outcome, RolloutKind, State};
use crate::rollout::turn::{ENGINE, Turn};
use crate::units::Timestamp;

/// A release has succeeded: it is said which schema the database has, and its contract is owed.
pub(in crate::rollout) fn owe(turn: &mut Turn) {
    let Some(release) = turn.lane.stable.clone() else { return };
    let schema = &mut turn.lane.schema;
    schema.expanded = None;
    let Some(need) = release.spec.needs_schema else { return };
    schema.at = schema.at.max(Some(need));
    let contracts = release.spec.migrate.as_ref().is_some_and(|migrate| migrate.contract.is_some());
    if !contracts || schema.since.is_some_and(|since| since >= need) {
        return;
    }
    let version = release.version.clone();
    schema.owed.retain(|owed| owed.schema != need);
    schema.owed.push(Owed { release, schema: need });
    schema.owed.sort_by_key(|owed| owed.schema);
    let sentence = format!("contract of schema {need} is asked for once the predecessor of {version} has stood by");
    turn.record("schema.contract_owed", ENGINE, sentence, json!({ "schema": need, "version": version }));
}

/// The contract whose time has come: its rollout can be asked for.
pub fn contract_due(lane: &Lane) -> Option<&Owed> {
    let owed = lane.schema.owed.first()?;
    let needs = lane.stable.as_ref().and_then(|stable| stable.spec.needs_schema);
    let calm = lane.open.is_none()
        && lane.queue.is_empty()
        && lane.standby.is_none()
        && lane.watching.incident.is_none()
        && lane.schema.running.is_none()
        && lane.schema.expanded.is_none();
    (calm && needs.is_some_and(|needs| needs >= owed.schema)).then_some(owed)
}

/// Somebody takes back the contract that waits under `id`: it is not asked for again until a release brings it again.
pub(in crate::rollout) fn withdraw(turn: &mut Turn, id: &RolloutId) {
    let waits = turn.lane.queue.iter().find(|asked| asked.id == *id && asked.kind == RolloutKind::Contract);
    if let Some(schema) = waits.and_then(|asked| asked.release.spec.needs_schema) {
        turn.lane.schema.owed.retain(|owed| owed.schema != schema);
    }
}

/// One look at the step. Returns whether something moved.
pub(in crate::rollout) fn contract(turn: &mut Turn, schema: u64, now: Timestamp) -> bool {
    if let Some(reason) = unclear(&turn.lane) {
        hold(turn, reason, Vec::new(), now);
        return false;
    }
    if turn.lane.schema.running.is_some() {
        return false;
    }
    let Some(open) = &turn.lane.open else { return false };
    let (release, rollout) = (open.release.clone(), open.id.clone());
    if turn.lane.schema.owed.iter().any(|owed| owed.schema == schema) {
        ask(turn, Act::Contract, &release, &rollout, now);
        // From here on nobody may count on what it removes, whatever becomes of it.
        turn.lane.schema.since = Some(schema);
        return false;
    }
    if turn.lane.schema.since.is_none_or(|since| since < schema) {
        return end(turn, Outcome::Failed, format!("contract of schema {schema} was not applied"));
    }
    done(turn, &format!("the database was contracted to schema {schema}"), now)
}

/// Every step is done: a predecessor that does not fit any more is no way back.
pub(in crate::rollout) fn succeed(turn: &mut Turn) -> bool {
    let since = turn.lane.schema.since.unwrap_or_default();
    let gone = turn.lane.predecessor.clone().filter(|predecessor| fits(&turn.lane, predecessor).is_err());
    let mut cause = format!("the database was contracted to schema {since}");
    if let Some(predecessor) = gone {
        turn.lane.predecessor = None;
        cause.push_str(&format!("; there is no way back to {} any more", predecessor.version));
    }
    end(turn, Outcome::Succeeded, cause)
}

fn end(turn: &mut Turn, outcome: Outcome, cause: String) -> bool {
    let Some(open) = turn.lane.open.as_mut().filter(|open| open.kind == RolloutKind::Contract) else { return false };
    open.state = State::Ended { outcome, cause };
    true
}
