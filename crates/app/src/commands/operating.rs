//! `slipway scale`, `slipway restart` and `slipway maintenance`.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use slipway_core::spec;
use slipway_server::wire::LaneStatus;

use crate::args::{Common, Lane, MaintenanceCommand};
use crate::client::Client;
use crate::exit::{self, Usage};
use crate::place::{at, at_lane};
use crate::render;

/// How often a waiting command looks.
const LOOK: Duration = Duration::from_millis(200);

/// Runs another number of instances.
pub(crate) async fn scale(common: &Common, lane: &Lane, instances: u32) -> Result<u8> {
    let client = Client::find(common)?;
    let status: LaneStatus = client.post(&at_lane(lane, &["scale"]), &json!({ "instances": instances })).await?;
    show(common, &status)
}

/// Replaces every instance.
pub(crate) async fn restart(common: &Common, lane: &Lane, detach: bool) -> Result<u8> {
    let client = Client::find(common)?;
    let mut status: LaneStatus = client.post(&at_lane(lane, &["restart"]), &json!({})).await?;
    if detach {
        return show(common, &status);
    }
    while status.restart.is_some() {
        tokio::time::sleep(LOOK).await;
        let lanes: Vec<LaneStatus> = client.get_patiently(&at(&["services", &lane.service])).await?;
        let ours = lanes.into_iter().find(|l| l.environment == lane.env);
        status = ours.with_context(|| format!("{} is no longer in {}", lane.service, lane.env))?;
    }
    let ended = at(&["journal"]).asking("kind", "restart").asking("limit", 1);
    let ended = ended.asking("service", &lane.service).asking("environment", &lane.env);
    let entries: Vec<Value> = client.get(&ended).await?;
    let said = |key: &str| entries.first().and_then(|e| e[key].as_str()).unwrap_or_default().to_string();
    let (kind, cause) = (said("kind"), said("cause"));
    match common.json {
        true => outln!("{}", json!({ "outcome": kind.trim_start_matches("restart."), "cause": cause })),
        false => outln!("{cause}"),
    }
    Ok(if kind == "restart.ended" { exit::OK } else { exit::HELD })
}

/// Begins or ends maintenance.
pub(crate) async fn maintenance(common: &Common, command: MaintenanceCommand) -> Result<u8> {
    let client = Client::find(common)?;
    let status: LaneStatus = match command {
        MaintenanceCommand::On { lane, hold, page } => {
            let hold = spec::duration(&hold).map_err(|why| Usage(format!("--hold: {why}")))?;
            let page = page
                .map(|file| {
                    std::fs::read_to_string(&file).map_err(|e| Usage(format!("{} cannot be read: {e}", file.display())))
                })
                .transpose()?;
            client.put(&at_lane(&lane, &["maintenance"]), &json!({ "hold_ms": hold.0, "page": page })).await?
        }
        MaintenanceCommand::Off(lane) => client.delete(&at_lane(&lane, &["maintenance"])).await?,
    };
    show(common, &status)
}

pub(super) fn show(common: &Common, status: &LaneStatus) -> Result<u8> {
    match common.json {
        true => outln!("{}", serde_json::to_string(status)?),
        false => out!("{}", render::status(std::slice::from_ref(status))),
    }
    Ok(exit::OK)
}
