//! Asking for a release: it opens at once, waits its turn, or takes the place of the open one. Never two at a time.

use serde_json::json;

use super::{Refusal, end_queued, refuse};
use crate::journal::Fact;
use crate::names::RolloutId;
use crate::rollout::model::{Outcome, RolloutKind, State};
use crate::rollout::{Asked, Turn, gates, undo};
use crate::units::Timestamp;

/// Rollouts that may wait in one lane.
const MOST_WAITING: usize = 20;

/// Queues a rollout; with `supersede`, everything before it gives way.
pub fn release(turn: &mut Turn, mut asked: Asked, supersede: bool, now: Timestamp) -> Result<(), Refusal> {
    let (id, version, actor) = (asked.id.clone(), asked.release.version.clone(), asked.actor.clone());
    asked.release = turn.lane.as_bound(asked.release);
    if supersede {
        give_way(turn, &id, &actor, now);
    }
    // Nobody is asked twice for their word: the newer one is what they would approve.
    let lane = turn.lane.clone();
    let cause = format!("superseded by {id}, which is newer");
    end_queued(turn, Outcome::Superseded, &cause, &actor, now, |older| gates::waits(&lane, older, now));
    if let Some(last) = turn.lane.queue.get(MOST_WAITING - 1) {
        let (lane, last) = (&turn.lane.id, &last.id);
        let reason = format!(
            "{MOST_WAITING} rollouts of {lane} wait already: withdraw some, such as the last (slipway abort {} --env {} --rollout \
             {last}), or put this one in the place of them all (--supersede)",
            lane.service, lane.environment
        );
        return refuse("queue_full", reason);
    }
    let behind = turn.lane.open.as_ref().map(|r| r.id.clone()).or(turn.lane.queue.last().map(|a| a.id.clone()));
    let sentence = match &behind {
        Some(other) => format!("{version} is asked for and waits for {other}"),
        None => format!("{version} is asked for"),
    };
    let evidence = json!({
        "version": version, "artifact": asked.release.artifact, "config": asked.release.config,
        "strategy": asked.strategy.kind.name(),
    });
    turn.facts.push(Fact {
        kind: "rollout.asked".to_string(),
        lane: Some(turn.lane.id.clone()),
        rollout: Some(id),
        actor,
        cause: sentence,
        evidence,
    });
    turn.lane.queue.push(asked);
    Ok(())
}

fn give_way(turn: &mut Turn, to: &RolloutId, actor: &str, now: Timestamp) {
    let cause = format!("superseded by {to}");
    end_queued(turn, Outcome::Superseded, &cause, actor, now, |_| true);
    let undoable = turn.lane.open.as_ref().is_some_and(|r| {
        !matches!(r.kind, RolloutKind::Rollback | RolloutKind::Contract)
            && !matches!(r.state, State::Undoing(_) | State::Ended { .. })
    });
    if undoable {
        undo::begin(turn, &cause, actor, Some(Outcome::Superseded), Vec::new(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;

    #[test]
    fn only_so_many_wait() {
        let mut turn = Turn::new(&fixture::at_step(fixture::SHOP, "verification"));
        for number in 0..MOST_WAITING as u64 {
            assert_eq!(release(&mut turn, fixture::asked(fixture::SHOP, 10 + number), false, Timestamp(1)), Ok(()));
        }
        let refused = release(&mut turn, fixture::asked(fixture::SHOP, 40), false, Timestamp(1)).unwrap_err();
        assert!(refused.code == "queue_full" && refused.reason.contains("--supersede"), "{refused}");
        assert!(refused.reason.contains("(slipway abort shop --env production --rollout ro-29)"), "{refused}");
        assert_eq!(release(&mut turn, fixture::asked(fixture::SHOP, 41), true, Timestamp(1)), Ok(()));
        assert_eq!(turn.lane.queue.len(), 1);
    }
}
