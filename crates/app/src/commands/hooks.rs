//! `slipway hooks`.

use anyhow::Result;
use slipway_server::wire::WireHook;

use crate::args::Common;
use crate::client::Client;
use crate::place::at;
use crate::{exit, render};

/// Shows the hooks of a service in an environment, or those of the environment itself.
pub(crate) async fn run(common: &Common, service: Option<&str>, env: &str) -> Result<u8> {
    let client = Client::find(common)?;
    let place = match service {
        Some(service) => at(&["services", service, "environments", env, "hooks"]),
        None => at(&["environments", env, "hooks"]),
    };
    let hooks: Vec<WireHook> = client.get(&place).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&hooks)?),
        false => out!("{}", render::hooks(&hooks)),
    }
    Ok(exit::OK)
}
