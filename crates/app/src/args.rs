//! The command line as types.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod fault;
mod running;
mod secure;
mod sub;

pub(crate) use fault::Fault;
pub(crate) use running::{Gateway, GatewayCommand, Up, UpgradeGateway};
pub(crate) use secure::{Acme, Secure};
pub(crate) use sub::{EnvCommand, JournalCommand, MaintenanceCommand, StoreCommand, TokenCommand};

/// Takes a change from build to every user, and takes it back faster than it went out.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about)]
#[command(
    after_help = "Example:\n  slipway up &\n  slipway release --version 1.0.0 --path ./build --env production --watch"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command has.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Print one line of JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The server's address; found by itself where it runs on this machine.
    #[arg(long, global = true, env = "SLIPWAY_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The token; by default the one in the data folder.
    #[arg(long, global = true, env = "SLIPWAY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The data folder; by default the platform's.
    #[arg(long, global = true, env = "SLIPWAY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start Slipway: control plane, API and gateway. Interrupt stops everything, SIGTERM only the control plane.
    #[command(after_help = "Example:\n  slipway up --data ./data --api 127.0.0.1:7070 --traffic 127.0.0.1:8080")]
    Up(Up),
    /// Check a slipway.yaml: every mistake at once, with line and column.
    #[command(after_help = "Example:\n  slipway check -f slipway.yaml")]
    Check(File),
    /// Print the JSON Schema of slipway.yaml.
    #[command(after_help = "Example:\n  slipway schema > slipway.schema.json")]
    Schema,
    /// Show what a release would do, step by step, with the undo of each.
    #[command(after_help = "Example:\n  slipway plan --version 1.1.0 --path ./build --env production")]
    Plan(Release),
    /// Release a version into an environment.
    #[command(mut_arg("compare", |arg| arg.hide(true)), after_help = "Example:\n  slipway release --version 1.1.0 --path ./build --env production --watch")]
    Release(Release),
    /// Show what runs where.
    #[command(after_help = "Example:\n  slipway status checkout")]
    Status {
        /// Only this service.
        service: Option<String>,
    },
    /// Show the rollouts of a service, newest first, with deployment and rollback times side by side.
    #[command(after_help = "Example:\n  slipway history checkout --env production")]
    History {
        /// The service.
        service: String,
        /// Only in this environment.
        #[arg(long)]
        env: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Show what differs between two versions of a service.
    #[command(after_help = "Example:\n  slipway diff checkout 1.0.0 1.1.0")]
    Diff {
        /// The service.
        service: String,
        /// The version to start from.
        from: String,
        /// The version to compare it with.
        to: String,
    },
    /// Tell what happened in a rollout and why, with numbers.
    #[command(after_help = "Example:\n  slipway explain ro-12")]
    Explain {
        /// The rollout.
        #[arg(value_parser = rollout_id)]
        rollout: String,
    },
    /// Show what the instances of a service wrote.
    #[command(after_help = "Example:\n  slipway logs checkout --version 1.1.0 --follow")]
    Logs {
        /// The service.
        service: String,
        /// Only of this version.
        #[arg(long = "version", id = "release_version", value_name = "VERSION")]
        version: Option<String>,
        /// Go on as more is written.
        #[arg(long, short)]
        follow: bool,
        /// Lines of each instance from before.
        #[arg(long, default_value_t = 200)]
        lines: usize,
    },
    /// Take the open rollout back, or bring an earlier version back.
    #[command(after_help = "Example:\n  slipway rollback checkout --env production")]
    Rollback(Rollback),
    /// Show the newest release of a group, service by service.
    #[command(after_help = "Example:\n  slipway group shop --env production")]
    Group {
        /// The group.
        group: String,
        /// The environment.
        #[arg(long, value_name = "ENVIRONMENT")]
        env: String,
    },
    /// Practise the way back: take it, stay for a while, and return. Judged and timed like a rollout.
    #[command(after_help = "Example:\n  slipway drill checkout --env production")]
    Drill {
        #[command(flatten)]
        lane: Lane,
        /// Stop the standby first, so that going back has to start its instances again.
        #[arg(long)]
        cold: bool,
        /// Do not wait for the end.
        #[arg(long)]
        detach: bool,
    },
    /// Run another number of instances, until a release declares more.
    #[command(after_help = "Example:\n  slipway scale checkout --env production 6")]
    Scale {
        #[command(flatten)]
        lane: Lane,
        /// How many.
        instances: u32,
    },
    /// Replace every instance of what serves, one after the other, each tested before its elder goes.
    #[command(after_help = "Example:\n  slipway restart checkout --env production")]
    Restart {
        #[command(flatten)]
        lane: Lane,
        /// Do not wait for the end.
        #[arg(long)]
        detach: bool,
    },
    /// Hold requests for a while, then answer them with a page, instead of reaching anybody.
    #[command(after_help = "Example:\n  slipway maintenance on checkout --env production --hold 20s --page sorry.html")]
    Maintenance {
        #[command(subcommand)]
        command: MaintenanceCommand,
    },
    /// Inject a fault into a share of a version's requests, for a while; or end all of them.
    #[command(
        after_help = "Example:\n  slipway fault checkout --env production --version 1.4.2 --share 5% --abort 503 --for 2m\n  slipway fault checkout --env production --cohort staff --share 100% --latency 300ms --for 5m --reason drill\n  slipway fault checkout --env production --end"
    )]
    Fault(Fault),
    /// Show what is known of a service's database; say what a migration has done that was cut off.
    #[command(
        after_help = "Example:\n  slipway migration checkout --env production\n  slipway migration checkout --env production --settle applied"
    )]
    Migration {
        #[command(flatten)]
        lane: Lane,
        /// What you found in the database.
        #[arg(long, value_enum, value_name = "FOUND")]
        settle: Option<Settled>,
    },
    /// Keep an environment in a file: apply it, see what differs, write it down.
    #[command(after_help = "Example:\n  slipway env apply -f production.yaml")]
    Env {
        #[command(subcommand)]
        command: EnvCommand,
    },
    /// Show what must hold before a release begins, what is missing, and how to get it.
    #[command(after_help = "Example:\n  slipway gates checkout --env production")]
    Gates(Lane),
    /// Show who is told of what happens and asked before it does, and how far each was told.
    #[command(after_help = "Example:\n  slipway hooks checkout --env production\n  slipway hooks --env production")]
    Hooks {
        /// The service; without one, who is told of what belongs to no service.
        service: Option<String>,
        /// The environment.
        #[arg(long, value_name = "ENVIRONMENT")]
        env: String,
    },
    /// Give your word for somebody else's release that waits for it.
    #[command(after_help = "Example:\n  slipway approve ro-12")]
    Approve {
        /// The rollout.
        #[arg(value_parser = rollout_id)]
        rollout: String,
        /// What `slipway gates` has shown, or its beginning; refused if it is something else by now.
        #[arg(long, value_name = "DIGEST")]
        shown: Option<String>,
    },
    /// Make, list and revoke tokens.
    #[command(after_help = "Example:\n  slipway token create alice --may approve")]
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Pause the open rollout: the split stays, nothing advances, a failure is still taken back.
    #[command(after_help = "Example:\n  slipway pause checkout --env production")]
    Pause(Lane),
    /// Let a paused rollout go on; let a held one start its step afresh.
    #[command(after_help = "Example:\n  slipway resume checkout --env production")]
    Resume(Lane),
    /// Let the step at hand pass without the judge, in your name.
    #[command(after_help = "Example:\n  slipway promote checkout --env production")]
    Promote(Lane),
    /// Take the open rollout back, or withdraw one that waits.
    #[command(
        after_help = "Example:\n  slipway abort checkout --env production\n  slipway abort checkout --env production --rollout ro-7"
    )]
    Abort(Abort),
    /// Show the journal, or verify its chain.
    #[command(after_help = "Example:\n  slipway journal --service checkout --follow\n  slipway journal verify")]
    Journal(Journal),
    /// Bring what the data folder keeps to a PostgreSQL database.
    #[command(after_help = "Example:\n  slipway store move --to postgres://slipway@db.local:5432/slipway")]
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Stop everything: control plane, gateway and instances. What should run is remembered.
    #[command(after_help = "Example:\n  slipway down")]
    Down,
    /// Run a gateway on this machine that was invited by a control plane; invite, list and forget gateways.
    #[command(
        after_help = "Example:\n  slipway gateway invite edge-2 --out edge-2.json\n  slipway gateway --join edge-2.json --traffic 0.0.0.0:8080"
    )]
    Gateway(Gateway),
    /// The supervisor of one instance; started by `slipway up`.
    #[command(
        hide = true,
        name = "run-instance",
        after_help = "Example:\n  slipway run-instance ./data/instances/checkout-production-1"
    )]
    RunInstance {
        /// The instance's folder.
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct File {
    /// The declared file.
    #[arg(short, long = "file", default_value = "slipway.yaml", value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    #[command(flatten)]
    pub file: File,
    /// What people call it; may be left out with --config-only, which then derives it from what runs.
    #[arg(long = "version", id = "release_version", value_name = "VERSION", required_unless_present_any = ["config_only", "compare", "group"])]
    pub version: Option<String>,
    /// File or folder to release; may be left out for a version that is known.
    #[arg(long)]
    pub path: Option<PathBuf>,
    /// Another configuration for the artifact that runs in the environment.
    #[arg(long, conflicts_with = "path")]
    pub config_only: bool,
    /// Every service of the group that slipway.group.yaml (or -f) declares, in dependency order.
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["path", "config_only", "compare", "strategy", "supersede", "overriding", "watch"])]
    pub group: Option<String>,
    /// Show every strategy side by side and which fits; by default for the artifact that runs. Only with plan.
    #[arg(long, conflicts_with_all = ["strategy", "detach", "watch", "supersede"])]
    pub compare: bool,
    /// Where to.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub env: String,
    /// Another strategy than the declared one: blue-green, canary or rolling.
    #[arg(long)]
    pub strategy: Option<String>,
    /// Whatever is open or queued gives way.
    #[arg(long)]
    pub supersede: bool,
    /// Pass gates that block all the same; the reason goes into the journal.
    #[arg(long = "override", value_name = "REASON")]
    pub overriding: Option<String>,
    /// Do not wait for the end.
    #[arg(long)]
    pub detach: bool,
    /// Show live progress.
    #[arg(long)]
    pub watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    pub lane: Lane,
    /// The rollout that is meant, the open one or one that waits. Otherwise the open one, or the first that waits where none is open.
    #[arg(long, value_name = "ID")]
    pub rollout: Option<String>,
    /// Do not wait for instances that stable lacks, or for any at all: until it has some, users are told that nobody is there.
    /// The reason goes into the journal.
    #[arg(long, value_name = "REASON")]
    pub force: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Lane {
    /// The service.
    pub service: String,
    /// The environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub env: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The service.
    #[arg(required_unless_present = "group")]
    pub service: Option<String>,
    /// The environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub env: String,
    /// To which version; the predecessor by default.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub to: Option<String>,
    /// Every service of the group's newest release, in reverse order.
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["service", "to"])]
    pub group: Option<String>,
    /// Do not wait for the end.
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub about: Option<JournalCommand>,
    /// Only of this service.
    #[arg(long)]
    pub service: Option<String>,
    /// Only of this rollout.
    #[arg(long)]
    pub rollout: Option<String>,
    /// Go on as more is recorded.
    #[arg(long, short)]
    pub follow: bool,
    /// Entries from before, at most.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
}

/// What somebody found in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Settled {
    /// It has what the command is for.
    Applied,
    /// It has nothing of it.
    NotApplied,
}

/// A rollout's id, before it becomes part of an address.
fn rollout_id(text: &str) -> Result<String, String> {
    text.parse::<slipway_core::names::RolloutId>().map(|id| id.to_string()).map_err(|error| error.to_string())
}

/// A version's name.
fn version(text: &str) -> Result<String, String> {
    text.parse::<slipway_core::names::VersionName>().map(|name| name.to_string()).map_err(|error| error.to_string())
}
