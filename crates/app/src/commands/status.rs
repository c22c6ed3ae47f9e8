//! `slipway status`.

use anyhow::Result;
use slipway_server::wire::LaneStatus;

use crate::args::Common;
use crate::client::Client;
use crate::exit;
use crate::render;

/// Shows what runs where.
pub(crate) async fn run(common: &Common, service: Option<&str>) -> Result<u8> {
    let client = Client::find(common)?;
    let path = service.map_or_else(|| "/services".to_string(), |s| format!("/services/{s}"));
    let lanes: Vec<LaneStatus> = client.get(&path).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&lanes)?),
        false => out!("{}", render::status(&lanes)),
    }
    Ok(exit::OK)
}
