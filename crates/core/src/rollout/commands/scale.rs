//! Scaling what serves: another number of instances, until a release declares more.

use serde_json::json;

use super::{Refusal, refuse};
use crate::rollout::{Release, Turn};

/// Wants `instances` of stable, and of what may take its place again.
pub fn scale(turn: &mut Turn, instances: u32, actor: &str) -> Result<(), Refusal> {
    let Some(stable) = &turn.lane.stable else {
        return refuse("nothing_serves", format!("nothing serves {}", turn.lane.id));
    };
    if let Some(open) = &turn.lane.open {
        return refuse("rollout_open", format!("{} is open: its plan counts on the instances that are", open.id));
    }
    let before = stable.instances(&turn.lane.id);
    if before == instances {
        return refuse("already_so", format!("{} has {instances} instances already", turn.lane.id));
    }
    let lane = turn.lane.id.clone();
    let set = |release: &mut Release| release.set_instances(&lane, instances);
    turn.lane.stable.iter_mut().for_each(set);
    turn.lane.predecessor.iter_mut().for_each(set);
    turn.lane.standby.iter_mut().for_each(|standby| set(&mut standby.release));
    turn.lane.scaled = Some(instances);
    turn.record(
        "lane.scaled",
        actor,
        format!("{actor} scaled {lane} from {before} to {instances} instances, until a release declares more"),
        json!({ "from": before, "to": instances }),
    );
    Ok(())
}
