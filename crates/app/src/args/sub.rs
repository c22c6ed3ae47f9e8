//! What commands have below them.

use std::path::PathBuf;

use clap::Subcommand;

use super::Lane;

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Begin maintenance, or change what is said meanwhile.
    #[command(after_help = "Example:\n  slipway maintenance on checkout --env production --hold 20s")]
    On {
        #[command(flatten)]
        lane: Lane,
        /// How long a request waits for the end before it is told, 60s at the most.
        #[arg(long, default_value = "0s", value_name = "DURATION")]
        hold: String,
        /// A file with what it is told: HTML, or plain text.
        #[arg(long, value_name = "FILE")]
        page: Option<PathBuf>,
    },
    /// End it: requests that are held go on.
    #[command(after_help = "Example:\n  slipway maintenance off checkout --env production")]
    Off(Lane),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Bring an environment to what a file says, service by service; refused whole where anything in it cannot be.
    #[command(after_help = "Example:\n  slipway env apply -f production.yaml")]
    Apply {
        /// The environment's file.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Do not wait for the end.
        #[arg(long)]
        detach: bool,
    },
    /// Show what differs between an environment and its file, or another file.
    #[command(
        after_help = "Example:\n  slipway env diff production\n  slipway env diff -f production.yaml --exit-code"
    )]
    Diff {
        /// An environment that a file was applied to.
        #[arg(conflicts_with = "file")]
        environment: Option<String>,
        /// Another file.
        #[arg(short, long, value_name = "FILE", required_unless_present = "environment")]
        file: Option<PathBuf>,
        /// Exit with 14 where something differs.
        #[arg(long)]
        exit_code: bool,
    },
    /// Write down an environment as it is. Applied, the file changes nothing.
    #[command(after_help = "Example:\n  slipway env export production > production.yaml")]
    Export {
        /// The environment.
        environment: String,
    },
    /// Print the JSON Schema of an environment's file.
    #[command(after_help = "Example:\n  slipway env schema > environment.schema.json")]
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its text is printed this once.
    #[command(after_help = "Example:\n  slipway token create alice --may approve,rollback")]
    Create {
        /// Whose it is; the journal says user:NAME.
        name: String,
        /// What its holder may do: release, rollback, operate, approve, override, admin, report, apply, inject. By default the
        /// first four.
        #[arg(long, value_delimiter = ',', value_name = "RIGHT,…")]
        may: Option<Vec<String>>,
    },
    /// List tokens and what their holders may do.
    #[command(after_help = "Example:\n  slipway token list")]
    List,
    /// Revoke a token.
    #[command(after_help = "Example:\n  slipway token revoke alice")]
    Revoke {
        /// Whose.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy the data folder's database into an empty one on a server, compare every row, and drive from there. With the
    /// control plane stopped by SIGTERM; gateway and instances go on.
    #[command(after_help = "Example:\n  slipway store move --to postgres://slipway@127.0.0.1:5432/slipway")]
    Move {
        /// Where to: postgres://user@host:port/database. A password belongs into the variable, PGPASSWORD or ~/.pgpass.
        #[arg(long, env = "SLIPWAY_DATABASE", hide_env_values = true, value_name = "URL")]
        to: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Check the whole chain against the anchor outside the database.
    #[command(after_help = "Example:\n  slipway journal verify")]
    Verify,
    /// Take the journal as it is for the whole one from now on, after an older database was put back.
    #[command(after_help = "Example:\n  slipway journal accept --reason \"the backup of Monday was put back\"")]
    Accept {
        /// Why; goes into the journal.
        #[arg(long)]
        reason: String,
    },
}
