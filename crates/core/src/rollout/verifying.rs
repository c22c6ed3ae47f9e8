//! Verification: the last step's time under the fail rule, then health and smoke tests once more.

use serde_json::json;

use super::advance::{decide, done, hold, watched_from};
use super::estimate;
use super::judging;
use super::lane::{Slot, SlotState};
use super::observed::Observed;
use super::outage::outage;
use super::plan::Step;
use super::readiness::ask_smoke;
use super::turn::{ENGINE, Turn};
use crate::units::{Millis, Timestamp};

/// Verification: its time, then health and smoke tests once more.
pub(super) fn verified(turn: &mut Turn, seen: &Observed, step: &Step, length: Millis, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    let progress = open.progress.clone();
    if progress.promoted_by.is_none() && turn.lane.stable.is_some() && outage(turn, seen, now) {
        return false;
    }
    let Some(open) = &turn.lane.open else { return false };
    let over = watched_from(open, seen, now).plus(length);
    let begun = progress.confirmed.unwrap_or(now).plus(progress.forgiven);
    let limit = begun.plus(length).plus(estimate::step_limit(&open.strategy));
    if now >= limit && now < over {
        hold(turn, format!("{length} of verification could not be watched without a gap"), Vec::new(), now);
        return true;
    }
    if now < over && progress.promoted_by.is_none() {
        turn.wake(over);
        turn.wake(now.plus(Millis::from_secs(1)));
        return false;
    }
    let Some(closing) = progress.closing else {
        return close_verification(turn, step, now);
    };
    test_again(turn, closing, now);
    let candidate = turn.lane.candidate_version().cloned();
    let slots: Vec<&Slot> = candidate.iter().flat_map(|v| turn.lane.wanted(v)).filter(|s| s.ready.is_some()).collect();
    let tested = |s: &&Slot| s.smoke.as_ref().is_some_and(|run| run.asked >= closing && run.passed == Some(true));
    if (slots.len() as u32) < step.kind.instances() || !slots.iter().all(tested) {
        return false;
    }
    let judgements = judging::judge_all(&turn.lane, seen, now);
    let seen = judging::sentence(&judgements);
    let sentence = match (&progress.promoted_by, closing < over) {
        (Some(who), true) => format!("{who} ended verification after {} of {length}: {seen}", closing.since(begun)),
        _ => format!("verified for {length}: {seen}"),
    };
    if let Some(who) = progress.promoted_by {
        decide(turn, "promote", &who, format!("{who} ended verification"), Vec::new(), now);
    }
    decide(turn, "succeed", ENGINE, sentence.clone(), judgements, now);
    done(turn, &sentence, now)
}

/// Asks for the last run of the smoke tests.
fn close_verification(turn: &mut Turn, step: &Step, now: Timestamp) -> bool {
    let Some(open) = &mut turn.lane.open else { return false };
    open.progress.closing = Some(now);
    test_again(turn, now, now);
    turn.record("verification.closing", ENGINE, "health and smoke tests once more", json!({ "step": step.name }));
    false
}

/// Asks for a run of the smoke tests of every ready instance that has had none since `closing`: also of one that was not
/// ready then and is now.
fn test_again(turn: &mut Turn, closing: Timestamp, now: Timestamp) {
    let Some(open) = &turn.lane.open else { return };
    let release = open.release.clone();
    let mut slots = std::mem::take(&mut turn.lane.slots);
    let tested = |slot: &Slot| slot.smoke.as_ref().is_some_and(|run| run.asked >= closing);
    let ours = |s: &&mut Slot| s.version == release.version && s.state == SlotState::Wanted && s.ready.is_some();
    for slot in slots.iter_mut().filter(ours).filter(|slot| !tested(slot)) {
        let incarnation = slot.ready.as_ref().map_or(0, |e| e.incarnation);
        let round = slot.smoke.as_ref().map_or(0, |run| run.round) + 1;
        // A clock that went back does not ask again and again.
        ask_smoke(turn, slot, &release, incarnation, round, now.max(closing));
    }
    turn.lane.slots = slots;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::effect::Effect;
    use crate::rollout::fixture;
    use crate::rollout::lane::SmokeRun;

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
environments:
  production: { instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 5s } } }
";

    #[test]
    fn an_instance_that_was_not_ready_when_verification_closed_is_tested_once_it_is() {
        let mut lane = fixture::at_step(FILE, "verification");
        let mut slot = fixture::slot(&lane, 1, "2", true);
        slot.smoke = Some(SmokeRun { incarnation: 1, round: 1, asked: Timestamp(1_000), passed: Some(true) });
        lane.slots.push(slot);
        let closing = Timestamp(60_000);
        // The clock goes back meanwhile: that is no reason to ask twice.
        for (now, asked) in [(61_000, 1), (50_000, 0), (62_000, 0)] {
            let mut turn = Turn::new(&lane);
            test_again(&mut turn, closing, Timestamp(now));
            assert_eq!(turn.effects.iter().filter(|e| matches!(e, Effect::Smoke { round: 2, .. })).count(), asked);
            lane = turn.lane;
        }
    }
}
