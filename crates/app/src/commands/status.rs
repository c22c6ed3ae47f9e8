//! `slipway status`.

use anyhow::Result;
use slipway_server::wire::{LaneStatus, WireEnvironment, WireGateway};

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
        false => {
            out!("{}", render::status(&lanes));
            if service.is_none() {
                let environments: Vec<WireEnvironment> = client.get("/environments").await?;
                out!("{}", render::environments(&environments));
                let gateways: Vec<WireGateway> = client.get("/gateways").await?;
                out!("{}", render::gateways_in_trouble(&gateways));
            }
        }
    }
    Ok(exit::OK)
}
