//! What the `slipway` binary is made of: command line, configuration and wiring. Decides nothing about releases. A
//! library only so that tests can build a second binary of it, with points at which it is made to fail.

#[macro_use]
mod out;

mod args;
mod client;
mod commands;
mod database;
mod exit;
mod folder;
mod named;
mod place;
mod program;
mod render;
mod up;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// The program.
pub fn main() -> ExitCode {
    // The shim of an instance needs no runtime and should stay as small as it can.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|w| w == "run-instance")
        && let Some(folder) = words.next().filter(|word| word != "--help" && word != "-h" && word != "--of")
    {
        return slipway_target::shim::main(std::path::Path::new(&folder));
    }
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|w| w == "run-instance") && words.next().is_some_and(|w| w == "--of") {
        return run_instance_of(words.next(), words.next());
    }
    let args = Args::parse();
    log_to_stderr();
    let json = args.common.json;
    match run(args) {
        Ok(code) => code,
        Err(error) => exit::report(&error, json),
    }
}

/// The shim of an instance of one of several control planes: one that was overtaken meanwhile starts nothing.
fn run_instance_of(start: Option<std::ffi::OsString>, folder: Option<std::ffi::OsString>) -> ExitCode {
    let start = start.and_then(|start| start.to_str()?.parse::<u64>().ok());
    let (Some(start), Some(folder)) = (start, folder) else {
        eprintln!("slipway run-instance --of START FOLDER");
        return ExitCode::from(exit::USAGE);
    };
    let folder = std::path::PathBuf::from(folder);
    if up::is_overtaken(&folder, start) {
        eprintln!("another control plane has taken over from start {start}: nothing is started");
        return ExitCode::from(exit::BLOCKED);
    }
    slipway_target::shim::main(&folder)
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut builder = match args.command {
        Command::Up(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(commands::run(args))
}

fn log_to_stderr() {
    // Beside what is wrong, a gateway says where it listens and that it is connected.
    let filter = tracing_subscriber::EnvFilter::try_from_env("SLIPWAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("warn,{}=info", slipway_gateway::SAYS)));
    // A log that cannot be written (a full disk) must not end whoever has something to say.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(false).init();
}
