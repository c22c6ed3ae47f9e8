//! `slipway hooks`.

use anyhow::Result;
use slipway_server::wire::WireHook;

use crate::args::{Common, Lane};
use crate::client::Client;
use crate::{exit, render};

/// Shows the hooks of a lane.
pub(crate) async fn run(common: &Common, lane: &Lane) -> Result<u8> {
    let client = Client::find(common)?;
    let path = format!("/services/{}/environments/{}/hooks", lane.service, lane.env);
    let hooks: Vec<WireHook> = client.get(&path).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&hooks)?),
        false => out!("{}", render::hooks(&hooks)),
    }
    Ok(exit::OK)
}
