//! `slipway history`.

use anyhow::Result;
use slipway_server::wire::{HistoryEntry, LaneStatus};

use crate::args::Common;
use crate::client::Client;
use crate::exit;
use crate::place::at;
use crate::render;

/// Shows the rollouts of a service.
pub(crate) async fn run(common: &Common, service: &str, env: Option<&str>, limit: u32) -> Result<u8> {
    let client = Client::find(common)?;
    let place = at(&["services", service, "history"]).asking("limit", limit).asking_if("environment", env);
    let entries: Vec<HistoryEntry> = client.get(&place).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&entries)?),
        false => {
            out!("{}", render::history(service, &entries));
            let lanes: Vec<LaneStatus> = client.get(&at(&["services"])).await?;
            let ours = |lane: &&LaneStatus| lane.service == service && env.is_none_or(|e| e == lane.environment);
            for lane in lanes.iter().filter(ours) {
                if let Some(times) = render::times(&lane.times) {
                    outln!("{}: {times}", lane.environment);
                }
            }
        }
    }
    Ok(exit::OK)
}
