//! Contracting: what only earlier versions need is removed, by a rollout of its own that moves no traffic. It is the
//! point of no return: it comes after standby has ended, and waits for somebody's word.

use serde_json::json;

use super::{Act, Owed, ask, fits, unclear};
use crate::names::RolloutId;
use crate::rollout::advance::{done, hold};
use crate::rollout::lane::{Lane, Release};
use crate::rollout::model::{Outcome, RolloutKind, State};
use crate::rollout::turn::{ENGINE, Turn};
use crate::units::Timestamp;

/// A release has succeeded: it is said which schema the database has, and its contract is owed.
pub(in crate::rollout) fn owe(turn: &mut Turn) {
    let Some(release) = turn.lane.stable.clone() else { return };
    let by = turn.lane.open.as_ref().map_or_else(String::new, |open| open.actor.clone());
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
    schema.owed.push(Owed { release, schema: need, by });
    schema.owed.sort_by_key(|owed| owed.schema);
    let sentence = format!("contract of schema {need} is asked for once the predecessor of {version} has stood by");
    turn.record("schema.contract_owed", ENGINE, sentence, json!({ "schema": need, "version": version }));
}

/// The contract whose time has come: its rollout can be asked for.
pub fn contract_due(lane: &Lane) -> Option<&Owed> {
    let owed = lane.schema.owed.first()?;
    let idle = lane.open.is_none() && lane.queue.is_empty();
    (idle && bears_contract(lane, &owed.release).is_ok()).then_some(owed)
}

/// Whether what serves could bear the contract of `release` now; otherwise why not.
pub fn bears_contract(lane: &Lane, release: &Release) -> Result<String, String> {
    let Some(schema) = release.spec.needs_schema else { return Err("no schema is named".to_string()) };
    let Some(stable) = &lane.stable else { return Err("nothing serves".to_string()) };
    match stable.spec.needs_schema {
        Some(needs) if needs >= schema => {}
        _ => return Err(format!("{} serves, and needs what it would remove", stable.version)),
    }
    if let Some(standby) = &lane.standby {
        return Err(format!("{} stands by", standby.release.version));
    }
    if let Some(incident) = &lane.watching.incident {
        return Err(format!("incident {} is open", incident.number));
    }
    if lane.schema.running.is_some() || lane.schema.expanded.is_some() {
        return Err("another migration has not come to rest".to_string());
    }
    Ok(format!("{} serves and needs nothing of what it removes", stable.version))
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
    let owed = turn.lane.schema.owed.iter().any(|owed| owed.schema == schema);
    if owed && open.progress.shifted.is_none() {
        if let Some(open) = &mut turn.lane.open {
            open.progress.shifted = Some(now);
        }
        ask(turn, Act::Contract, &release, &rollout, now);
        // From here on nobody may count on what it removes, whatever becomes of it.
        turn.lane.schema.since = Some(schema);
        return false;
    }
    if owed {
        let cause =
            format!("contract of schema {schema} was not applied; it is asked for again, and abort withdraws it");
        return end(turn, Outcome::Failed, cause);
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

/// A rollback takes the place of a contract that is at work: what that does goes on, and its end will be known.
pub(in crate::rollout) fn give_way(turn: &mut Turn) {
    let cause = "a rollback takes its place; the command goes on, and what it has done will be known".to_string();
    end(turn, Outcome::Superseded, cause);
}

fn end(turn: &mut Turn, outcome: Outcome, cause: String) -> bool {
    let Some(open) = turn.lane.open.as_mut().filter(|open| open.kind == RolloutKind::Contract) else { return false };
    open.state = State::Ended { outcome, cause };
    true
}
