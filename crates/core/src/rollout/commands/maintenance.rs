//! Maintenance: requests are held for a while, then answered with a page, instead of reaching anybody.

use serde_json::json;

use super::{Refusal, refuse};
use crate::rollout::Turn;
use crate::traffic::Maintenance;

/// Begins maintenance, or changes what is shown meanwhile.
pub fn begin_maintenance(turn: &mut Turn, maintenance: Maintenance, actor: &str) -> Result<(), Refusal> {
    if turn.lane.is_worker() {
        return refuse("no_traffic", format!("{} is a worker: there are no requests to be held", turn.lane.id));
    }
    if turn.lane.routing.is_none() {
        return refuse("nothing_serves", format!("nothing serves {}", turn.lane.id));
    }
    let hold = maintenance.hold;
    turn.lane.maintenance = Some(maintenance);
    turn.record(
        "maintenance.began",
        actor,
        format!("{actor} put {} into maintenance; requests are held for {hold}, then told so", turn.lane.id),
        json!({ "hold_ms": hold.0 }),
    );
    Ok(())
}

/// Ends maintenance.
pub fn end_maintenance(turn: &mut Turn, actor: &str) -> Result<(), Refusal> {
    if turn.lane.maintenance.take().is_none() {
        return refuse("already_so", format!("{} is not in maintenance", turn.lane.id));
    }
    turn.record("maintenance.ended", actor, format!("{} serves again", turn.lane.id), json!(null));
    Ok(())
}
