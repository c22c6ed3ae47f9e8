//! `slipway diff`.

use anyhow::Result;
use slipway_server::wire::WireVersions;

use crate::args::Common;
use crate::client::Client;
use crate::exit;
use crate::place::at;
use crate::render;

/// Shows what differs between two versions.
pub(crate) async fn run(common: &Common, service: &str, from: &str, to: &str) -> Result<u8> {
    let client = Client::find(common)?;
    let versions: WireVersions = client.get(&at(&["services", service, "versions", from, "diff", to])).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&versions)?),
        false => out!("{}", render::versions(&versions)),
    }
    Ok(exit::OK)
}
