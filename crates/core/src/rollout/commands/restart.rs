//! Restarting what serves, one instance after the other.

use serde_json::json;

use super::{Refusal, refuse};
use crate::names::InstanceId;
use crate::rollout::{Restart, Turn};
use crate::units::Timestamp;

/// Begins to replace every instance of stable.
pub fn restart(turn: &mut Turn, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let Some(stable) = turn.lane.stable_version().cloned() else {
        return refuse("nothing_serves", format!("nothing serves {}", turn.lane.id));
    };
    if let Some(open) = &turn.lane.open {
        return refuse("rollout_open", format!("{} is open: restart when it is over", open.id));
    }
    if let Some(restart) = &turn.lane.restarting {
        return refuse("restarting", format!("{} is being restarted already, by {}", turn.lane.id, restart.by));
    }
    let (missing, ready): (Vec<_>, Vec<_>) = turn.lane.wanted(&stable).partition(|slot| slot.ready.is_none());
    let left: Vec<InstanceId> = missing.into_iter().chain(ready).map(|slot| slot.id.clone()).collect();
    turn.record(
        "restart.asked",
        actor,
        format!("{actor} asked to restart {stable}"),
        json!({ "version": stable, "instances": left }),
    );
    turn.lane.restarting = Some(Restart::of(left, actor, now));
    Ok(())
}
