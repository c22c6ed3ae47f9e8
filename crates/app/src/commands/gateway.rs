//! `slipway gateway`: the data plane's process.

use anyhow::{Context, Result};

use crate::args::Gateway;
use crate::exit;
use crate::up::lock::Lock;

/// Serves until told to end.
pub(crate) async fn run(gateway: Gateway) -> Result<u8> {
    std::fs::create_dir_all(&gateway.state)?;
    // Held until this process ends: whoever wants to know whether the gateway lives looks at the lock.
    let _lock = Lock::take(&gateway.state.join("lock")).await.context("another gateway uses this folder")?;
    let config = slipway_gateway::Config {
        listen: gateway.listen,
        control_file: gateway.state.join("control.json"),
        state_dir: gateway.state,
        name: "local".to_string(),
        access_log: gateway.access_log,
        tls: gateway.secure.tls(gateway.obtained),
    };
    let tuning = slipway_gateway::Tuning { fast: !gateway.no_fast_path, ..slipway_gateway::Tuning::default() };
    slipway_gateway::run_with(config, tuning).await?;
    Ok(exit::OK)
}
