//! What became of instances: what effects brought about, what the target sees, and what is wrong with them.

use std::collections::BTreeSet;

use serde_json::json;

use super::asking;
use super::effect::{Effect, EffectResult};
use super::lane::{Lane, Release, Slot, SlotState};
use super::observed::Observed;
use super::readiness::{drop_unhealthy, running};
use super::schema;
use super::turn::{ENGINE, Turn};
use super::unstarted;
use super::watching;
use crate::instance::{InstanceState, InstanceStatus, TargetError};
use crate::names::{InstanceId, VersionName};
use crate::units::Timestamp;

/// Unasked ends before an instance was ever ready after which it is given up.
const EXITS_BEFORE_READY: u32 = 3;
/// Something wrong with an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// Its version.
    pub version: VersionName,
    /// What is wrong, as a sentence that names the instance.
    pub sentence: String,
    /// It ended unasked after having been ready; otherwise it never became fit to serve.
    pub crash: bool,
    /// For the journal.
    pub evidence: serde_json::Value,
}

/// Takes in what came of effects and what the target sees. Returns what is wrong, oldest instance first.
pub(super) fn observe(turn: &mut Turn, seen: &Observed, now: Timestamp) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for result in &seen.results {
        absorb(turn, result, now, &mut troubles);
    }
    let mut slots = std::mem::take(&mut turn.lane.slots);
    let versions: BTreeSet<&VersionName> = slots.iter().map(|slot| &slot.version).collect();
    let releases: Vec<Release> = versions.into_iter().filter_map(|v| turn.lane.release(v).cloned()).collect();
    for slot in &mut slots {
        let release = releases.iter().find(|release| release.version == slot.version);
        look(turn, slot, seen.instances.get(&slot.id), release, now, &mut troubles);
    }
    turn.lane.slots = slots;
    drop_unhealthy(turn, now);
    troubles
}

fn absorb(turn: &mut Turn, result: &EffectResult, now: Timestamp, troubles: &mut Vec<Trouble>) {
    match result {
        EffectResult::Started { instance } => {
            if let Some(slot) = find(&mut turn.lane, instance) {
                slot.started = true;
                let version = slot.version.clone();
                turn.lane.unstarted.remove(&version);
            }
        }
        EffectResult::NotStarted { instance, error } => {
            let Some(slot) = find(&mut turn.lane, instance) else { return };
            let version = slot.version.clone();
            turn.lane.slots.retain(|s| s.id != *instance);
            let (TargetError::Hopeless(why) | TargetError::Transient(why)) = error;
            let sentence = format!("{instance} could not be started: {why}");
            if unstarted::note(&mut turn.lane, &version, instance, why, now) {
                let stays = turn.lane.candidate_version() != Some(&version);
                let again = if stays { "; it is tried again, less and less often" } else { "" };
                let said = format!("{sentence}{again}");
                turn.record("instance.not_started", ENGINE, said, json!({ "instance": instance }));
            }
            troubles.push(Trouble { version, sentence, crash: false, evidence: json!({ "error": why }) });
        }
        EffectResult::Stopped { instance, killed } => {
            if let Some(slot) = find(&mut turn.lane, instance) {
                let version = slot.version.clone();
                turn.lane.slots.retain(|s| s.id != *instance);
                let sentence = match (killed, turn.lane.is_worker()) {
                    (false, _) => format!("{instance} has ended"),
                    (true, false) => format!("{instance} did not end by itself in time and was killed"),
                    (true, true) => format!(
                        "{instance} did not finish its jobs in time and was killed: a job may have been cut; \
                         look at run.stop_grace of {version}"
                    ),
                };
                let evidence = json!({ "instance": instance, "version": version, "killed": killed });
                turn.record("instance.stopped", ENGINE, sentence, evidence);
            }
        }
        EffectResult::Ran { job, end } => {
            if let Some((version, sentence)) = schema::absorb(turn, job, end) {
                troubles.push(Trouble { version, sentence, crash: false, evidence: json!(end) });
            }
        }
        EffectResult::Answered { key, answer } => asking::absorb(turn, key, answer),
        EffectResult::Smoked { report, round } => {
            let Some(slot) = find(&mut turn.lane, &report.instance) else { return };
            let version = slot.version.clone();
            let Some(run) = &mut slot.smoke else { return };
            if run.incarnation != report.incarnation || run.round != *round || run.passed.is_some() {
                return;
            }
            run.passed = Some(report.passed());
            let failure = report.failure();
            let sentence = match &failure {
                None if report.tests.len() == 1 => format!("{} passed its smoke test", report.instance),
                None => format!("{} passed {} smoke tests", report.instance, report.tests.len()),
                Some(why) => format!("{} failed its smoke test: {why}", report.instance),
            };
            turn.record("instance.smoked", ENGINE, sentence.clone(), json!(report));
            if failure.is_some() {
                troubles.push(Trouble { version, sentence, crash: false, evidence: json!(report) });
            }
        }
    }
}

fn find<'a>(lane: &'a mut Lane, id: &InstanceId) -> Option<&'a mut Slot> {
    lane.slots.iter_mut().find(|s| s.id == *id)
}

fn look(
    turn: &mut Turn,
    slot: &mut Slot,
    status: Option<&InstanceStatus>,
    release: Option<&Release>,
    now: Timestamp,
    troubles: &mut Vec<Trouble>,
) {
    if slot.state != SlotState::Wanted {
        return;
    }
    let Some(status) = status else {
        // Before the target confirmed the start an absent instance is only one that has not begun.
        if slot.started {
            lost(turn, slot, "is gone", now, troubles);
        }
        return;
    };
    match status.state {
        InstanceState::Ended => {
            // An end without code and signal is one that nobody saw: the machine's, or its shim's.
            if status.last_exit.as_ref().is_some_and(|exit| exit.code.is_some() || exit.signal.is_some()) {
                watching::failed(&mut turn.lane, &slot.version);
            }
            lost(turn, slot, &ended(status), now, troubles);
        }
        InstanceState::Orphaned => {
            slot.replace = true;
        }
        InstanceState::Starting | InstanceState::Stopping => {}
        InstanceState::BackingOff => exited(turn, slot, status, troubles),
        InstanceState::Running => {
            exited(turn, slot, status, troubles);
            if let Some(release) = release {
                running(turn, slot, status, release, now, troubles);
            }
        }
    }
}

fn ended(status: &InstanceStatus) -> String {
    match &status.last_exit {
        Some(exit) => format!("ended ({})", how(exit)),
        None => "ended".to_string(),
    }
}

fn how(exit: &crate::instance::Exit) -> String {
    let tail = exit.tail.lines().rev().find(|l| !l.trim().is_empty()).map(|l| format!(", last line: {}", l.trim()));
    let end = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_string(),
    };
    format!("{end}{}", tail.unwrap_or_default())
}

/// An instance that will not come back by itself.
fn lost(turn: &mut Turn, slot: &mut Slot, what: &str, now: Timestamp, troubles: &mut Vec<Trouble>) {
    let was_ready = slot.ready.take().is_some();
    slot.state = SlotState::Stopping(now);
    let sentence = format!("{} {what}", slot.id);
    turn.record("instance.lost", ENGINE, sentence.clone(), json!({ "instance": slot.id }));
    turn.effects.push(Effect::Stop { instance: slot.id.clone() });
    troubles.push(Trouble { version: slot.version.clone(), sentence, crash: was_ready, evidence: json!(null) });
}

/// Counts ends that nobody asked for and takes the instance out of the traffic.
fn exited(turn: &mut Turn, slot: &mut Slot, status: &InstanceStatus, troubles: &mut Vec<Trouble>) {
    let ends = match status.state {
        InstanceState::BackingOff => status.incarnation,
        _ => status.incarnation.saturating_sub(1),
    };
    if ends <= slot.exits {
        return;
    }
    slot.exits = ends;
    watching::failed(&mut turn.lane, &slot.version);
    let was_ready = slot.ready.take().is_some();
    let how = status.last_exit.as_ref().map_or_else(|| "no exit code".to_string(), how);
    let sentence = format!("{} ended unasked ({how})", slot.id);
    turn.record("instance.exited", ENGINE, sentence.clone(), json!({ "instance": slot.id, "exit": status.last_exit }));
    let never_ready = slot.smoke.is_none() && ends >= EXITS_BEFORE_READY;
    if was_ready || never_ready {
        troubles.push(Trouble {
            version: slot.version.clone(),
            sentence,
            crash: was_ready,
            evidence: json!(status.last_exit),
        });
    }
}
