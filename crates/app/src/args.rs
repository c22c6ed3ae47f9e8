//! The command line as types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use slipway_core::units::Millis;

mod secure;

pub(crate) use secure::{Acme, Secure};

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
    /// Take the open rollout back.
    #[command(after_help = "Example:\n  slipway abort checkout --env production")]
    Abort(Lane),
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
    /// Let plain HTTP/1.1 requests take the long way through the gateway as all others do, which costs more.
    #[arg(long)]
    pub no_fast_path: bool,
    #[command(flatten)]
    pub secure: Secure,
    #[command(flatten)]
    pub acme: Acme,
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
pub(crate) struct Lane {
    /// The service.
    pub service: String,
    /// The environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub env: String,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["latency", "abort", "reset", "slow_body", "end"]))]
pub(crate) struct Fault {
    #[command(flatten)]
    pub lane: Lane,
    /// Requests to this version; the one that serves by default.
    #[arg(long, value_name = "VERSION", value_parser = version, conflicts_with = "end")]
    pub version: Option<String>,
    /// Of these only who is one of this cohort, as the version declares it.
    #[arg(long, value_name = "COHORT", conflicts_with = "end")]
    pub cohort: Option<String>,
    /// How many of them.
    #[arg(long, value_name = "PERCENT", required_unless_present = "end", conflicts_with = "end")]
    pub share: Option<String>,
    /// Hold them back for so long, 60s at the most.
    #[arg(long, value_name = "DURATION")]
    pub latency: Option<String>,
    /// Answer them with this status, 400 to 599, instead of reaching anybody.
    #[arg(long, value_name = "STATUS")]
    pub abort: Option<u16>,
    /// Reset their connection instead of answering.
    #[arg(long)]
    pub reset: bool,
    /// Pass the answer's body on at this rate, such as 1KB/s.
    #[arg(long, value_name = "SIZE/s")]
    pub slow_body: Option<String>,
    /// How long; it ends by itself, after 1h at the most.
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", conflicts_with = "end")]
    pub length: String,
    /// End all faults now.
    #[arg(long)]
    pub end: bool,
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
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
    pub verify: Option<JournalCommand>,
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
    #[command(flatten)]
    pub secure: Secure,
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
    },
    /// List gateways and how they are.
    #[command(after_help = "Example:\n  slipway gateway list")]
    List,
    /// Forget a gateway: nobody waits for it, nothing is kept for it, and its invitation is worth nothing. Stop it first.
    #[command(after_help = "Example:\n  slipway gateway forget edge-2")]
    Forget {
        /// Which.
        name: String,
    },
}

/// How long a gateway is waited for. More, and the step that waits would need a person first.
fn grace(text: &str) -> Result<Millis, String> {
    let grace = slipway_core::spec::duration(text)?;
    let fits = (Millis::from_secs(2)..=Millis::from_secs(25)).contains(&grace);
    fits.then_some(grace).ok_or_else(|| "it is 2s to 25s".to_string())
}

/// A rollout's id, before it becomes part of an address.
fn rollout_id(text: &str) -> Result<String, String> {
    text.parse::<slipway_core::names::RolloutId>().map(|id| id.to_string()).map_err(|error| error.to_string())
}

/// A version's name.
fn version(text: &str) -> Result<String, String> {
    text.parse::<slipway_core::names::VersionName>().map(|name| name.to_string()).map_err(|error| error.to_string())
}
