//! `slipway gates` and `slipway approve`.

use anyhow::Result;
use serde_json::json;
use slipway_server::wire::{WireGates, WireRollout};

use crate::args::{Common, Lane};
use crate::client::Client;
use crate::exit::{self, Usage};
use crate::place::{at, at_lane};
use crate::render;

/// Shows how the gates stand.
pub(crate) async fn show(common: &Common, lane: &Lane) -> Result<u8> {
    let client = Client::find(common)?;
    let gates: WireGates = client.get(&at_lane(lane, &["gates"])).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&gates)?),
        false => out!("{}", render::gates(&gates)),
    }
    Ok(exit::OK)
}

/// Gives one's word for exactly what is shown.
pub(crate) async fn approve(common: &Common, rollout: &str, shown: Option<&str>) -> Result<u8> {
    let client = Client::find(common)?;
    let gates: WireGates = client.get(&at(&["rollouts", rollout, "gates"])).await?;
    if let Some(shown) = shown
        && !begins(&gates.shown, shown)
    {
        let text = format!(
            "{rollout} is no longer what was shown ({shown}), but {}: look again (slipway gates {} --env {}), then approve",
            gates.shown, gates.service, gates.environment
        );
        return Err(Usage(text).into());
    }
    if !common.json {
        out!("{}", render::gates(&gates));
    }
    let place = at(&["rollouts", rollout, "approvals"]);
    let rollout: WireRollout = client.post(&place, &json!({ "shown": gates.shown })).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&rollout)?),
        false => outln!("approved: {} {}", rollout.rollout, rollout.waiting.map_or(rollout.state, |w| w.on)),
    }
    Ok(exit::OK)
}

/// Whether a digest begins as somebody wrote it, with its algorithm or without.
fn begins(digest: &str, written: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches("sha256:").to_ascii_lowercase();
    bare(written).len() >= 8 && bare(digest).starts_with(&bare(written))
}
