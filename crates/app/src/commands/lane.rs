//! What is said to a service in an environment: rollback, drill, pause, resume, promote, abort.

use anyhow::Result;
use serde_json::json;
use slipway_server::wire::WireRollout;

use crate::args::{Abort, Common, Lane, Rollback};
use crate::client::Client;
use crate::commands::group;
use crate::commands::release::{View, conclude, wait};
use crate::exit::{self, Usage};
use crate::place::{Place, at_lane};

/// Says a word to the open rollout.
pub(crate) async fn tell(common: &Common, lane: &Lane, word: &str) -> Result<u8> {
    say(common, at_lane(lane, &[word])).await
}

/// Takes the open rollout back, or withdraws one that waits.
pub(crate) async fn abort(common: &Common, abort: &Abort) -> Result<u8> {
    let place = at_lane(&abort.lane, &["abort"]);
    say(common, place.asking_if("rollout", abort.rollout.as_ref()).asking_if("force", abort.force.as_ref())).await
}

async fn say(common: &Common, place: Place) -> Result<u8> {
    let client = Client::find(common)?;
    let rollout: WireRollout = client.post(&place, &json!({})).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&rollout)?),
        false => outln!(
            "{}: {}{}",
            rollout.rollout,
            rollout.state,
            rollout.cause.map(|c| format!(" ({c})")).unwrap_or_default()
        ),
    }
    Ok(exit::OK)
}

/// Goes back, one service or a whole group.
pub(crate) async fn back(common: &Common, back: &Rollback) -> Result<u8> {
    match (&back.service, &back.group) {
        (_, Some(group)) => group::rollback(common, group, &back.env, back.detach).await,
        (Some(service), None) => {
            let lane = Lane { service: service.clone(), env: back.env.clone() };
            rollback(common, &lane, back.to.as_deref(), back.detach).await
        }
        (None, None) => Err(Usage("name a service, or --group".to_string()).into()),
    }
}

/// Goes back.
async fn rollback(common: &Common, lane: &Lane, to: Option<&str>, detach: bool) -> Result<u8> {
    let client = Client::find(common)?;
    let rollout: WireRollout = client.post_once(&at_lane(lane, &["rollback"]), &json!({ "to": to })).await?;
    if detach {
        return conclude(common, &rollout, exit::OK);
    }
    let view = if common.json { View::Silent } else { View::Lines };
    let end = wait(&client, &rollout.rollout, view).await?;
    // A rollback that was asked for and worked is a success, whether it took a rollout back or brought a version back.
    let code = match (end.kind.as_str(), end.outcome.as_deref()) {
        ("release", Some("rolled_back" | "failed")) => exit::OK,
        (_, other) => exit::of_outcome(other),
    };
    conclude(common, &end, code)
}

/// Practises the way back.
pub(crate) async fn drill(common: &Common, lane: &Lane, cold: bool, detach: bool) -> Result<u8> {
    let client = Client::find(common)?;
    let rollout: WireRollout = client.post_once(&at_lane(lane, &["drill"]), &json!({ "cold": cold })).await?;
    if detach {
        return conclude(common, &rollout, exit::OK);
    }
    let view = if common.json { View::Silent } else { View::Lines };
    let end = wait(&client, &rollout.rollout, view).await?;
    conclude(common, &end, exit::of_outcome(end.outcome.as_deref()))
}
