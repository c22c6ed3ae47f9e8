//! What goes on without a rollout: a standby whose time is up is given up.

use serde_json::json;

use super::turn::{ENGINE, Turn};
use crate::units::Timestamp;

/// Gives up a standby whose time is over. While a rollout is open, its plan says when that happens instead.
pub(super) fn standby(turn: &mut Turn, now: Timestamp) {
    let Some(standby) = &turn.lane.standby else { return };
    if turn.lane.open.is_some() {
        return;
    }
    if now < standby.until {
        let until = standby.until;
        return turn.wake(until);
    }
    let version = standby.release.version.clone();
    turn.lane.standby = None;
    turn.record(
        "standby.ended",
        ENGINE,
        format!("{version} has stood by long enough; going back to it now means starting it"),
        json!({ "version": version }),
    );
}
