//! `slipway gateway`: the data plane's process, and who may be one.

mod invite;
mod upgrade;

use anyhow::{Context, Result, bail};
use slipway_gateway::lock::Lock;
use slipway_gateway::upgrade::{Heir, Succession, TAKES_OVER};
use slipway_gateway::{Control, Invitation};
use slipway_server::wire::WireGateway;

use crate::args::{Common, Gateway, GatewayCommand};
use crate::client::Client;
use crate::exit::Usage;
use crate::place::at;
use crate::up::gateway::OWN;
use crate::{exit, folder, program, render};

/// Serves until told to end, or does what is asked about gateways.
pub(crate) async fn run(common: &Common, gateway: Gateway) -> Result<u8> {
    match gateway.command {
        Some(GatewayCommand::Upgrade(asked)) => upgrade::run(common, asked).await,
        Some(command) => ask(common, command).await,
        None => serve(gateway).await,
    }
}

async fn serve(gateway: Gateway) -> Result<u8> {
    if gateway.secure.tls.is_some() && gateway.secure.certificates.is_none() {
        bail!("--tls needs certificates: name their folder with --certificates");
    }
    let program = program::own()?;
    let heir =
        gateway.takes_over.then(Heir::meet).transpose().context(
            "--takes-over is what a gateway says to the program that follows it: see slipway gateway upgrade",
        )?;
    let invitation = gateway.join.as_deref().map(Invitation::read).transpose().map_err(|e| Usage(e.to_string()))?;
    let name = invitation.as_ref().map_or(OWN, |invitation| &invitation.name).to_string();
    let state = match gateway.state {
        Some(state) => state,
        None => folder::joined(&name)?,
    };
    std::fs::create_dir_all(&state).with_context(|| format!("{} cannot be created", state.display()))?;
    // Held until this process ends: whoever wants to know whether the gateway lives looks at the lock.
    let file = state.join("lock");
    let lock = match &heir {
        Some(heir) => heir.lock(&file),
        None => Lock::take(&file).await,
    };
    let lock = lock.context("another gateway uses this folder")?;
    let arguments = std::env::args_os().skip(1).filter(|word| word != TAKES_OVER).collect();
    let drain = gateway.upgrade_drain.as_duration();
    let succession = Succession { lock, program, arguments, drain, heir };
    let config = slipway_gateway::Config {
        listen: gateway.traffic,
        control: match invitation {
            Some(invitation) => Control::Invited(Box::new(invitation)),
            None => Control::Beside(state.join("control.json")),
        },
        state_dir: state,
        name,
        access_log: gateway.access_log,
        tls: gateway.secure.tls(gateway.obtained),
    };
    let tuning = slipway_gateway::Tuning { fast: !gateway.no_fast_path, ..slipway_gateway::Tuning::default() };
    slipway_gateway::run_as(config, tuning, Some(succession)).await?;
    Ok(exit::OK)
}

async fn ask(common: &Common, command: GatewayCommand) -> Result<u8> {
    let client = Client::find(common)?;
    match command {
        GatewayCommand::Invite { name, address, out, force } => {
            invite::run(&client, &name, address.as_deref(), out, force).await?;
        }
        // It needs no control plane.
        GatewayCommand::Upgrade(asked) => return upgrade::run(common, asked).await,
        GatewayCommand::List => {
            let gateways: Vec<WireGateway> = client.get(&at(&["gateways"])).await?;
            match common.json {
                true => outln!("{}", serde_json::to_string(&gateways)?),
                false => out!("{}", render::gateways(&gateways)),
            }
        }
        GatewayCommand::Forget { name } => {
            let gateway: WireGateway = client.delete(&at(&["gateways", &name])).await?;
            match (common.json, gateway.state.as_str()) {
                (true, _) => outln!("{}", serde_json::to_string(&gateway)?),
                (false, "connected") => {
                    outln!("{name} is forgotten; it serves what it has until you stop it, and nobody waits for it");
                }
                (false, _) => outln!("{name} is forgotten"),
            }
        }
    }
    Ok(exit::OK)
}
