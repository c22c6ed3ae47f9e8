//! The commands: one file for each, or for each few that are alike.

mod check;
mod diff;
mod down;
mod env;
mod explain;
mod fault;
mod gates;
mod gateway;
mod group;
mod history;
mod hooks;
mod journal;
mod lane;
mod logs;
mod migration;
mod operating;
mod release;
mod status;
mod store;
mod token;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Args, Command};
use crate::up;

/// Does what was asked.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let common = args.common;
    let code = match args.command {
        Command::Up(up) => Box::pin(up::run(&common, up)).await?,
        Command::Check(file) => check::run(&common, &file)?,
        Command::Schema => check::schema(),
        Command::Plan(release) => release::plan(&common, release).await?,
        Command::Release(release) => release::run(&common, release).await?,
        Command::Status { service } => status::run(&common, service.as_deref()).await?,
        Command::History { service, env, limit } => history::run(&common, &service, env.as_deref(), limit).await?,
        Command::Diff { service, from, to } => diff::run(&common, &service, &from, &to).await?,
        Command::Explain { rollout } => explain::run(&common, &rollout).await?,
        Command::Logs { service, version, follow, lines } => {
            logs::run(&common, &service, version.as_deref(), follow, lines).await?
        }
        Command::Rollback(back) => lane::back(&common, &back).await?,
        Command::Group { group, env } => group::show(&common, &group, &env).await?,
        Command::Drill { lane, cold, detach } => lane::drill(&common, &lane, cold, detach).await?,
        Command::Scale { lane, instances } => operating::scale(&common, &lane, instances).await?,
        Command::Restart { lane, detach } => operating::restart(&common, &lane, detach).await?,
        Command::Migration { lane, settle } => migration::run(&common, &lane, settle).await?,
        Command::Maintenance { command } => operating::maintenance(&common, command).await?,
        Command::Fault(fault) => fault::run(&common, fault).await?,
        Command::Env { command } => env::run(&common, command).await?,
        Command::Gates(lane) => gates::show(&common, &lane).await?,
        Command::Hooks { service, env } => hooks::run(&common, service.as_deref(), &env).await?,
        Command::Approve { rollout, shown } => gates::approve(&common, &rollout, shown.as_deref()).await?,
        Command::Token { command } => token::run(&common, command).await?,
        Command::Pause(lane) => lane::tell(&common, &lane, "pause").await?,
        Command::Resume(lane) => lane::tell(&common, &lane, "resume").await?,
        Command::Promote(lane) => lane::tell(&common, &lane, "promote").await?,
        Command::Abort(abort) => lane::abort(&common, &abort).await?,
        Command::Journal(journal) => journal::run(&common, journal).await?,
        Command::Store { command } => store::run(&common, command).await?,
        Command::Down => down::run(&common).await?,
        Command::Gateway(gateway) => gateway::run(&common, gateway).await?,
        Command::RunInstance { folder } => return Ok(slipway_target::shim::main(&folder)),
    };
    Ok(ExitCode::from(code))
}
