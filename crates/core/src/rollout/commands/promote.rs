//! Promoting: a person answers for a step that the judge has not passed. Readiness and smoke tests are not skipped.

use serde_json::json;

use super::{Refusal, open, refuse};
use crate::rollout::asking;
use crate::rollout::{RolloutKind, State, Turn};
use crate::units::Timestamp;

/// Lets the step at hand pass, or ends verification early. Who has looked at it names it as `seen`: a word that comes twice,
/// or late, lets no other step pass.
pub fn promote(turn: &mut Turn, seen: Option<&str>, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let rollout = open(&turn.lane)?;
    let at_hand = rollout.plan.steps.get(rollout.step).map_or("the last", |step| &step.name);
    if let Some(seen) = seen.filter(|seen| *seen != at_hand) {
        let reason = format!("step {seen} is not at hand any more, but {at_hand}: look at it first; nothing was done");
        return refuse("another_step", reason);
    }
    if let State::Undoing(_) = rollout.state {
        return refuse("on_its_way_back", format!("{} is on its way back", rollout.id));
    }
    if asking::waits(rollout) {
        let sentence = format!("{actor} answers in place of the hooks that the step waits for");
        turn.record("rollout.promoted", actor, sentence, json!({ "at": now.0 }));
        if let Some(rollout) = &mut turn.lane.open {
            asking::overrule(rollout, actor);
            rollout.state = State::Running;
        }
        return Ok(());
    }
    if matches!(rollout.kind, RolloutKind::Drill { .. }) {
        let reason = format!(
            "{} is a drill: cut short it would show nothing; it returns by itself, or at once by slipway abort",
            rollout.id
        );
        return refuse("nothing_to_judge", reason);
    }
    let step = rollout.plan.steps.get(rollout.step);
    if !step.is_some_and(|step| step.kind.is_judged()) {
        let reason = format!("step {at_hand} waits for no verdict; it goes on by itself when it can");
        return refuse("nothing_to_judge", reason);
    }
    turn.record("rollout.promoted", actor, format!("{actor} answers for the step"), json!({ "at": now.0 }));
    if let Some(rollout) = &mut turn.lane.open {
        rollout.progress.promoted_by = Some(actor.to_string());
        rollout.progress.outage = None;
        rollout.state = State::Running;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;

    #[test]
    fn a_drill_is_not_cut_short() {
        let mut lane = fixture::at_step(fixture::SHOP, "verification");
        let promoted = |lane: &crate::rollout::Lane| promote(&mut Turn::new(lane), None, "user:test", Timestamp(1));
        assert_eq!(promoted(&lane), Ok(()));
        lane.open.as_mut().unwrap().kind = RolloutKind::Drill { cold: false };
        let refused = promoted(&lane).unwrap_err();
        assert!(refused.code == "nothing_to_judge" && refused.reason.contains("is a drill"), "{refused}");
    }
}
