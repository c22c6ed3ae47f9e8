//! What runs: `slipway up`, and gateways.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use slipway_core::units::Millis;

use super::{Acme, Secure};

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:7070")]
    pub api: SocketAddr,
    /// Where the gateway listens for traffic.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub traffic: SocketAddr,
    /// Keep everything in a PostgreSQL database in place of a file in the data folder: postgres://user@host:port/database.
    /// A password belongs into the variable, PGPASSWORD or ~/.pgpass, not into the command line.
    #[arg(long, env = "SLIPWAY_DATABASE", hide_env_values = true, value_name = "URL")]
    pub database: Option<String>,
    /// Write one line for each request into the data folder's logs/access.log.
    #[arg(long)]
    pub access_log: bool,
    /// Where gateways that were invited call, by TLS alone; without it there is only the one that is started here.
    #[arg(long, value_name = "ADDRESS")]
    pub gateways_listen: Option<SocketAddr>,
    /// How long a gateway that cannot be reached is still waited for before a shift counts without it: 2s to 25s.
    #[arg(long, default_value = "20s", value_name = "DURATION", value_parser = grace)]
    pub gateway_grace: Millis,
    /// How long a gateway that was upgraded may go on for the sake of its connections; those that are left then are cut.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = slipway_core::spec::duration)]
    pub upgrade_drain: Millis,
    /// Let plain HTTP/1.1 requests take the long way through the gateway as all others do, which costs more.
    #[arg(long)]
    pub no_fast_path: bool,
    #[command(flatten)]
    pub secure: Secure,
    #[command(flatten)]
    pub acme: Acme,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    pub command: Option<GatewayCommand>,
    /// The invitation to join by.
    #[arg(long, value_name = "FILE", required_unless_present = "state")]
    pub join: Option<PathBuf>,
    /// Its folder; by default the platform's, by the invitation's name.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Where it listens for traffic.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub traffic: SocketAddr,
    /// One line of JSON for each request.
    #[arg(long)]
    pub access_log: Option<PathBuf>,
    /// Plain HTTP/1.1 requests take the long way as all others do.
    #[arg(long)]
    pub no_fast_path: bool,
    /// How long it may go on for the sake of its connections once it was upgraded; those that are left then are cut.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = slipway_core::spec::duration)]
    pub upgrade_drain: Millis,
    #[command(flatten)]
    pub secure: Secure,
    /// It follows a gateway that runs, which has its socket on standard input.
    #[arg(long, hide = true)]
    pub takes_over: bool,
    /// The control plane obtains the certificates: there may be none yet, and it knows what proves a host.
    #[arg(long, requires = "tls", hide = true)]
    pub obtained: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Let a gateway join under a name. What it needs is printed this once: whoever has it can call in its name.
    #[command(after_help = "Example:\n  slipway gateway invite edge-2 --out edge-2.json")]
    Invite {
        /// Its name. An earlier invitation of the name is worth nothing from then on.
        name: String,
        /// Where it calls, where that is not the address that --gateways-listen has: HOST:PORT.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
        /// The file to write, which only you can read; by default it is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace the file, and turn a gateway away that is connected under the name.
        #[arg(long)]
        force: bool,
    },
    /// List gateways and how they are.
    #[command(after_help = "Example:\n  slipway gateway list")]
    List,
    /// Start a gateway's program anew from the file that it was started from, without losing a connection: the new process
    /// takes over its sockets, and the old one ends with its last connection. On the gateway's machine.
    #[command(after_help = "Example:\n  slipway gateway upgrade")]
    Upgrade(UpgradeGateway),
    /// Forget a gateway: nobody waits for it, nothing is kept for it, and its invitation is worth nothing. Stop it first.
    #[command(after_help = "Example:\n  slipway gateway forget edge-2")]
    Forget {
        /// Which.
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeGateway {
    /// Which, of those that joined from this machine; by default the data folder's own.
    #[arg(conflicts_with = "state")]
    pub name: Option<String>,
    /// The folder that it was started with, where that is not the platform's.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// How long a gateway is waited for. More, and the step that waits would need a person first.
fn grace(text: &str) -> Result<Millis, String> {
    let grace = slipway_core::spec::duration(text)?;
    let fits = (Millis::from_secs(2)..=Millis::from_secs(25)).contains(&grace);
    fits.then_some(grace).ok_or_else(|| "it is 2s to 25s".to_string())
}
