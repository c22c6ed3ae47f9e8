//! Instances: which are ready, which are in trouble, which to start, drain and stop.

use serde_json::json;

use super::effect::{Effect, EffectResult};
use super::lane::{Lane, Release, Slot, SlotState, SmokeRun};
use super::model::State;
use super::observed::Observed;
use super::rolling;
use super::turn::{ENGINE, Turn};
use crate::instance::{Health, InstanceSpec, InstanceState, InstanceStatus, TargetError};
use crate::names::{InstanceId, VersionName};
use crate::traffic::Endpoint;
use crate::units::{Millis, Timestamp};

/// Unasked ends before an instance was ever ready after which it is given up.
const EXITS_BEFORE_READY: u32 = 3;
/// How long a ready instance may stay unhealthy before it is replaced.
const UNHEALTHY_LIMIT: Millis = Millis::from_secs(30);
/// From a failed smoke run of a restarted stable instance to the next one.
const SMOKE_AGAIN: Millis = Millis::from_secs(5);

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
        absorb(turn, result, &mut troubles);
    }
    let before = turn.lane.clone();
    let mut slots = std::mem::take(&mut turn.lane.slots);
    for slot in &mut slots {
        let fresh = before.release(&slot.version).cloned();
        look(turn, slot, seen.instances.get(&slot.id), fresh.as_ref(), now, &mut troubles);
    }
    turn.lane.slots = slots;
    drop_unhealthy(turn, now);
    troubles
}

fn absorb(turn: &mut Turn, result: &EffectResult, troubles: &mut Vec<Trouble>) {
    match result {
        EffectResult::Started { instance } => {
            if let Some(slot) = find(&mut turn.lane, instance) {
                slot.started = true;
            }
        }
        EffectResult::NotStarted { instance, error } => {
            let Some(slot) = find(&mut turn.lane, instance) else { return };
            let version = slot.version.clone();
            turn.lane.slots.retain(|s| s.id != *instance);
            let (TargetError::Hopeless(why) | TargetError::Transient(why)) = error;
            let sentence = format!("{instance} could not be started: {why}");
            turn.record("instance.not_started", ENGINE, sentence.clone(), json!({ "instance": instance }));
            troubles.push(Trouble { version, sentence, crash: false, evidence: json!({ "error": why }) });
        }
        EffectResult::Stopped { instance } => {
            if find(&mut turn.lane, instance).is_some() {
                turn.lane.slots.retain(|s| s.id != *instance);
                turn.record(
                    "instance.stopped",
                    ENGINE,
                    format!("{instance} has ended"),
                    json!({ "instance": instance }),
                );
            }
        }
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
        InstanceState::Ended => lost(turn, slot, &ended(status), now, troubles),
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

fn running(
    turn: &mut Turn,
    slot: &mut Slot,
    status: &InstanceStatus,
    release: &Release,
    now: Timestamp,
    troubles: &mut Vec<Trouble>,
) {
    let begun = match slot.running {
        Some((incarnation, since)) if incarnation == status.incarnation => since,
        // The first start is measured from when it was asked for.
        _ => {
            if status.incarnation == 1 {
                slot.since
            } else {
                now
            }
        }
    };
    slot.running = Some((status.incarnation, begun));
    let why = match &status.health {
        Health::Healthy => {
            slot.unhealthy_since = None;
            return test_or_serve(turn, slot, status, release, now);
        }
        Health::Unknown { why } => why.clone().unwrap_or_else(|| "no answer yet".to_string()),
        Health::Unhealthy { why } => why.clone(),
    };
    match (slot.ready.is_some(), &status.health) {
        (false, _) => {
            let limit = begun.plus(release.spec.health.start_limit);
            if slot.replace || slot.smoke.as_ref().is_some_and(|run| run.incarnation == status.incarnation) {
                return;
            }
            turn.wake(limit);
            if now >= limit {
                slot.replace = true;
                let sentence =
                    format!("{} did not become healthy within {}: {why}", slot.id, release.spec.health.start_limit);
                turn.record("instance.unhealthy", ENGINE, sentence.clone(), json!({ "instance": slot.id }));
                troubles.push(Trouble { version: slot.version.clone(), sentence, crash: false, evidence: json!(null) });
            }
        }
        (true, Health::Unhealthy { .. }) => {
            if slot.unhealthy_since.is_none() {
                slot.unhealthy_since = Some(now);
                let sentence = format!("{} is unhealthy: {why}", slot.id);
                turn.record("instance.unhealthy", ENGINE, sentence, json!({ "instance": slot.id }));
            }
        }
        (true, _) => {}
    }
}

/// A healthy incarnation: serves if its smoke tests have passed, is tested if they have not been run.
fn test_or_serve(turn: &mut Turn, slot: &mut Slot, status: &InstanceStatus, release: &Release, now: Timestamp) {
    let Some(address) = status.address else { return };
    let tested = slot.smoke.as_ref().filter(|run| run.incarnation == status.incarnation);
    let round = match tested {
        Some(SmokeRun { passed: Some(true), .. }) => {
            if slot.ready.is_none() {
                if status.incarnation == 1 {
                    turn.lane.lately.start = Some(now.since(slot.since));
                }
                slot.ready = Some(Endpoint { instance: slot.id.clone(), incarnation: status.incarnation, address });
                turn.record(
                    "instance.ready",
                    ENGINE,
                    format!("{} is healthy and tested", slot.id),
                    json!({ "instance": slot.id, "incarnation": status.incarnation, "address": address }),
                );
            }
            return;
        }
        Some(SmokeRun { passed: None, .. }) => {
            // A run that is being repeated at the end of verification does not take the instance out of the traffic.
            return;
        }
        Some(SmokeRun { passed: Some(false), asked, round, .. }) => {
            let again = asked.plus(SMOKE_AGAIN);
            if now < again {
                turn.wake(again);
                return;
            }
            round + 1
        }
        None => 1,
    };
    ask_smoke(turn, slot, release, status.incarnation, round, now);
}

/// Asks for a run of the smoke tests.
pub(super) fn ask_smoke(
    turn: &mut Turn,
    slot: &mut Slot,
    release: &Release,
    incarnation: u32,
    round: u32,
    now: Timestamp,
) {
    slot.smoke = Some(SmokeRun { incarnation, round, asked: now, passed: None });
    turn.effects.push(Effect::Smoke {
        instance: slot.id.clone(),
        incarnation,
        round,
        tests: release.spec.smoke.clone(),
    });
}

/// Takes unhealthy instances out of the traffic, but never stable's last half: where most are unhealthy at once the
/// cause is rarely the instances, and a bad answer is better than none.
fn drop_unhealthy(turn: &mut Turn, now: Timestamp) {
    let stable = turn.lane.stable_version().cloned();
    let floor = stable.as_ref().map_or(0, |v| turn.lane.wanted(v).count().div_ceil(2));
    let mut serving = stable.as_ref().map_or(0, |v| turn.lane.ready(v) as usize);
    for slot in turn.lane.slots.iter_mut().filter(|s| s.ready.is_some()) {
        let Some(since) = slot.unhealthy_since else { continue };
        if Some(&slot.version) == stable.as_ref() {
            if serving <= floor {
                continue;
            }
            serving -= 1;
        }
        slot.ready = None;
        slot.replace |= now.since(since) >= UNHEALTHY_LIMIT;
    }
    let limits: Vec<Timestamp> =
        turn.lane.slots.iter().filter_map(|s| s.unhealthy_since).map(|s| s.plus(UNHEALTHY_LIMIT)).collect();
    for slot in &mut turn.lane.slots {
        slot.replace |= slot.unhealthy_since.is_some_and(|since| now.since(since) >= UNHEALTHY_LIMIT);
    }
    for limit in limits.into_iter().filter(|l| *l > now) {
        turn.wake(limit);
    }
}

/// Starts what is missing, drains what is too much, stops what has drained.
pub(super) fn reconcile(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    for (release, count) in wanted(&turn.lane) {
        meet(turn, &release, count, now);
    }
    let known: Vec<VersionName> = wanted(&turn.lane).into_iter().map(|(r, _)| r.version).collect();
    for slot in turn.lane.slots.iter_mut().filter(|s| s.state == SlotState::Wanted && !known.contains(&s.version)) {
        slot.state = SlotState::Draining(now);
    }
    stop_drained(turn, seen, now);
}

/// How many instances of which version are to run now.
fn wanted(lane: &Lane) -> Vec<(Release, u32)> {
    let mut all: Vec<(Release, u32)> = Vec::new();
    let mut want = |release: &Release, count: u32| match all.iter_mut().find(|(r, _)| r.version == release.version) {
        Some((_, have)) => *have = (*have).max(count),
        None => all.push((release.clone(), count)),
    };
    let rolling = lane.open.as_ref().filter(|r| rolling::applies(r));
    if let Some(stable) = &lane.stable {
        want(stable, rolling.map_or(stable.instances(&lane.id), |r| rolling::stable_wanted(lane, r)));
    }
    if let Some(standby) = &lane.standby {
        want(&standby.release, standby.release.instances(&lane.id));
    }
    if let Some(open) = &lane.open {
        want(&open.release, candidate_wanted(lane, open));
    }
    all
}

fn candidate_wanted(lane: &Lane, open: &super::model::Rollout) -> u32 {
    match &open.state {
        State::Ended { .. } => 0,
        State::Undoing(_) if rolling::applies(open) => rolling::candidate_kept(lane, open),
        State::Undoing(_) if lane.candidate_weight() > crate::units::Weight::ZERO => lane.ready(&open.release.version),
        State::Undoing(_) => 0,
        _ => open.plan.steps.iter().take(open.step + 1).map(|s| s.kind.instances()).max().unwrap_or(0),
    }
}

/// Brings the number of instances of one version to `count`.
fn meet(turn: &mut Turn, release: &Release, count: u32, now: Timestamp) {
    let wanted: Vec<&Slot> = turn.lane.wanted(&release.version).collect();
    let staying = wanted.iter().filter(|s| !s.replace).count() as u32;
    let fit = wanted.iter().filter(|s| !s.replace && s.ready.is_some()).count() as u32;
    for _ in staying..count {
        start(turn, release, now);
    }
    // Those to be replaced go when the others carry the load, or at once where they carry nothing.
    let mut leaving: Vec<InstanceId> =
        wanted_ids(turn, &release.version, |s| s.replace && (s.ready.is_none() || fit >= count));
    if staying > count {
        // Fit instances are kept longest, and older ones longer than newer ones, except where the old are replaced.
        let mut spare = wanted_ids(turn, &release.version, |s| !s.replace && s.ready.is_none());
        let mut ready = wanted_ids(turn, &release.version, |s| !s.replace && s.ready.is_some());
        if turn.lane.stable_version() != Some(&release.version) {
            ready.reverse();
        }
        spare.reverse();
        spare.append(&mut ready);
        leaving.extend(spare.into_iter().take((staying - count) as usize));
    }
    for slot in turn.lane.slots.iter_mut().filter(|s| leaving.contains(&s.id)) {
        slot.state = SlotState::Draining(now);
    }
}

fn wanted_ids(turn: &Turn, version: &VersionName, which: impl Fn(&Slot) -> bool) -> Vec<InstanceId> {
    turn.lane.wanted(version).filter(|s| which(s)).map(|s| s.id.clone()).collect()
}

fn start(turn: &mut Turn, release: &Release, now: Timestamp) {
    turn.lane.counters.instance += 1;
    let lane = &turn.lane.id;
    let id = InstanceId::numbered(&lane.service, &lane.environment, turn.lane.counters.instance);
    let mut env = release.spec.run.env.clone();
    if let Some(environment) = release.environment(lane) {
        env.extend(environment.env.clone());
    }
    let spec = InstanceSpec {
        id: id.clone(),
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        version: release.version.clone(),
        artifact: release.artifact.clone(),
        command: release.spec.run.command.clone(),
        env,
        health: release.spec.health.clone(),
        stop_grace: release.spec.run.stop_grace,
    };
    turn.record(
        "instance.starting",
        ENGINE,
        format!("{id} is started for {}", release.version),
        json!({ "instance": id, "version": release.version, "artifact": release.artifact }),
    );
    turn.lane.slots.push(Slot {
        id,
        version: release.version.clone(),
        state: SlotState::Wanted,
        since: now,
        started: false,
        ready: None,
        smoke: None,
        running: None,
        exits: 0,
        unhealthy_since: None,
        replace: false,
    });
    turn.effects.push(Effect::Start { spec: Box::new(spec) });
}

/// Stops instances that no gateway uses and that have nothing in flight, or whose time to drain is over.
fn stop_drained(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let mut stop = Vec::new();
    for slot in &turn.lane.slots {
        let SlotState::Draining(since) = slot.state else { continue };
        let traffic = turn.lane.release(&slot.version).map(|r| r.spec.traffic.clone());
        let limit = traffic.map_or(Millis::from_secs(300), |t| t.drain_long.max(t.drain));
        let unused = seen.confirmed.as_ref().is_some_and(|c| c.newest && !c.may_use(&slot.id));
        let idle = seen.in_flight.as_ref().is_some_and(|f| f.get(&slot.id).copied().unwrap_or(0) == 0);
        let over = now.since(since) >= limit;
        let never_served = slot.ready.is_none() && slot.exits == 0 && unused;
        if unused && (idle || over || never_served) {
            stop.push(slot.id.clone());
        }
    }
    for slot in turn.lane.slots.iter_mut().filter(|s| stop.contains(&s.id)) {
        slot.state = SlotState::Stopping(now);
        turn.effects.push(Effect::Stop { instance: slot.id.clone() });
    }
    if turn.lane.slots.iter().any(|s| matches!(s.state, SlotState::Draining(_))) {
        turn.wake(now.plus(Millis::from_secs(1)));
    }
}
