//! Which instances are fit to serve: healthy and smoke-tested, in this start of them. Those that stay unfit are replaced.

use serde_json::json;

use super::effect::Effect;
use super::lane::{Release, Slot, SmokeRun};
use super::slots::Trouble;
use super::turn::{ENGINE, Turn};
use super::watching;
use crate::instance::{Health, InstanceStatus};
use crate::traffic::Endpoint;
use crate::units::{Millis, Timestamp};

/// How long a ready instance may stay unhealthy before it is replaced.
const UNHEALTHY_LIMIT: Millis = Millis::from_secs(30);
/// From a failed smoke run of a restarted stable instance to the next one.
const SMOKE_AGAIN: Millis = Millis::from_secs(5);

pub(super) fn running(
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
                watching::failed(&mut turn.lane, &slot.version);
                let sentence =
                    format!("{} did not become healthy within {}: {why}", slot.id, release.spec.health.start_limit);
                turn.record("instance.unhealthy", ENGINE, sentence.clone(), json!({ "instance": slot.id }));
                troubles.push(Trouble { version: slot.version.clone(), sentence, crash: false, evidence: json!(null) });
            }
        }
        (true, Health::Unhealthy { .. }) => {
            if slot.unhealthy_since.is_none() {
                slot.unhealthy_since = Some(now);
                watching::failed(&mut turn.lane, &slot.version);
                let sentence = format!("{} is unhealthy: {why}", slot.id);
                turn.record("instance.unhealthy", ENGINE, sentence, json!({ "instance": slot.id }));
            }
        }
        (true, _) => {}
    }
}

/// A healthy incarnation: serves if its smoke tests have passed, is tested if they have not been run.
fn test_or_serve(turn: &mut Turn, slot: &mut Slot, status: &InstanceStatus, release: &Release, now: Timestamp) {
    let Some(address) = status.address.clone() else { return };
    let tested = slot.smoke.as_ref().filter(|run| run.incarnation == status.incarnation);
    let round = match tested {
        Some(SmokeRun { passed: Some(true), .. }) => {
            if slot.ready.is_none() {
                if status.incarnation == 1 {
                    turn.lane.lately.start = Some(now.since(slot.since));
                }
                let where_it_is = json!(address);
                slot.ready = Some(Endpoint { instance: slot.id.clone(), incarnation: status.incarnation, address });
                turn.record(
                    "instance.ready",
                    ENGINE,
                    format!("{} is healthy and tested", slot.id),
                    json!({ "instance": slot.id, "incarnation": status.incarnation, "address": where_it_is }),
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
pub(super) fn drop_unhealthy(turn: &mut Turn, now: Timestamp) {
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
