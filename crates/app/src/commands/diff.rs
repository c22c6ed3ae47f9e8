//! `slipway diff`.

use anyhow::Result;
use slipway_server::wire::WireVersions;

use crate::args::Common;
use crate::client::Client;
use crate::exit::{self, Usage};
use crate::render;

/// Shows what differs between two versions.
pub(crate) async fn run(common: &Common, service: &str, from: &str, to: &str) -> Result<u8> {
    // They become part of a path: what is no name must not lead elsewhere.
    let service: slipway_core::names::ServiceName = service.parse().map_err(wrong)?;
    let from: slipway_core::names::VersionName = from.parse().map_err(wrong)?;
    let to: slipway_core::names::VersionName = to.parse().map_err(wrong)?;
    let client = Client::find(common)?;
    let versions: WireVersions = client.get(&format!("/services/{service}/versions/{from}/diff/{to}")).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&versions)?),
        false => out!("{}", render::versions(&versions)),
    }
    Ok(exit::OK)
}

fn wrong(error: slipway_core::names::InvalidName) -> Usage {
    Usage(error.to_string())
}
