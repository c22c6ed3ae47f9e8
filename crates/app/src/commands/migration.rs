//! `slipway migration`: what is known of a service's database, and a person's word for what is not.

use anyhow::{Context, Result};
use serde_json::json;
use slipway_server::wire::{LaneStatus, WireSchema};

use crate::args::{Common, Lane, Settled};
use crate::client::Client;
use crate::exit;
use crate::place::{at, at_lane};
use crate::render;

/// Shows the schema, after having settled what was unclear where `settle` is given.
pub(crate) async fn run(common: &Common, lane: &Lane, settle: Option<Settled>) -> Result<u8> {
    let client = Client::find(common)?;
    let status: LaneStatus = match settle {
        Some(settled) => {
            client.post(&at_lane(lane, &["migration"]), &json!({ "applied": settled == Settled::Applied })).await?
        }
        None => {
            let lanes: Vec<LaneStatus> = client.get(&at(&["services", &lane.service])).await?;
            let ours = lanes.into_iter().find(|l| l.environment == lane.env);
            ours.with_context(|| format!("nothing was ever released to {} in {}", lane.service, lane.env))?
        }
    };
    let schema: WireSchema = status.schema.unwrap_or_default();
    match common.json {
        true => outln!("{}", serde_json::to_string(&schema)?),
        false => out!("{}", render::schema(&schema)),
    }
    Ok(exit::OK)
}
