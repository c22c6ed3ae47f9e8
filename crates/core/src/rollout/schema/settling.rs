//! Settling: a person has looked at the database and says what a command has done that was cut off.

use super::{Act, applied, not_applied};
use crate::rollout::commands::{Refusal, refuse};
use crate::rollout::model::State;
use crate::rollout::turn::Turn;
use crate::rollout::undo;
use crate::units::Timestamp;

/// Takes `actor`'s word for what the last command has done; a rollout that was held for it goes on, or back.
pub fn settle(turn: &mut Turn, was_applied: bool, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let Some(running) = turn.lane.schema.running.take_if(|m| m.unclear.is_some()) else {
        let at_work = turn.lane.schema.running.as_ref().map(|m| m.act.as_str());
        return refuse(
            "nothing_to_settle",
            match at_work {
                Some(act) => format!("{act} is still at work; its end will be known"),
                None => format!("what every migration of {} has done is known", turn.lane.id),
            },
        );
    };
    let held =
        turn.lane.open.as_ref().is_some_and(|o| o.id == running.rollout && matches!(o.state, State::Held { .. }));
    let word = if was_applied { "was applied" } else { "was not applied" };
    let sentence = format!("{actor} looked: {} of schema {} {word}", running.act.as_str(), running.schema);
    match was_applied {
        true => applied(turn, &running, actor, sentence.clone()),
        false => not_applied(turn, &running, actor, sentence.clone()),
    }
    if !held {
        return Ok(());
    }
    if let Some(open) = &mut turn.lane.open {
        open.state = State::Running;
    }
    if running.act == Act::Expand && !was_applied {
        undo::begin(turn, &sentence, actor, None, Vec::new(), now);
    }
    Ok(())
}
