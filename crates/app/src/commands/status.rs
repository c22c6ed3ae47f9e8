//! `slipway status`.

use anyhow::Result;
use slipway_server::wire::{LaneStatus, WireEnvironment, WireGateway};

use crate::args::Common;
use crate::client::Client;
use crate::exit;
use crate::place::at;
use crate::render;

/// Shows what runs where.
pub(crate) async fn run(common: &Common, service: Option<&str>) -> Result<u8> {
    let client = Client::find(common)?;
    let place = service.map_or_else(|| at(&["services"]), |service| at(&["services", service]));
    let lanes: Vec<LaneStatus> = client.get(&place).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&lanes)?),
        false => {
            out!("{}", render::status(&lanes));
            if let Err(trouble) = client.health().await {
                out!("⚠ {}: what serves goes on, and a way back is still taken\n", render::flat(&trouble.to_string()));
            }
            if service.is_none() {
                let environments: Vec<WireEnvironment> = client.get(&at(&["environments"])).await?;
                out!("{}", render::environments(&environments));
                let gateways: Vec<WireGateway> = client.get(&at(&["gateways"])).await?;
                out!("{}", render::gateways_in_trouble(&gateways));
            }
        }
    }
    Ok(exit::OK)
}
