//! `slipway explain`.

use anyhow::Result;
use slipway_server::wire::Explanation;

use crate::args::Common;
use crate::client::Client;
use crate::exit;
use crate::place::at;
use crate::render;

/// Tells what happened and why.
pub(crate) async fn run(common: &Common, rollout: &str) -> Result<u8> {
    let client = Client::find(common)?;
    let explanation: Explanation = client.get(&at(&["rollouts", rollout, "explanation"])).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&explanation)?),
        false => out!("{}", render::explanation(&explanation)),
    }
    Ok(exit::OK)
}
