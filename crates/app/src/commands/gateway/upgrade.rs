//! `slipway gateway upgrade`: the gateway's program anew, without losing a connection.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use slipway_gateway::lock::{Lock, holder};
use slipway_gateway::upgrade::{CameTo, Process, Report, STEP_LIMIT, processes};

use crate::args::{Common, UpgradeGateway};
use crate::exit::{self, Refused};
use crate::folder::{self, Folder};

/// How often it is looked whether the new program serves.
const LOOK: Duration = Duration::from_millis(20);
/// How long the gateway that runs may take to say what became of it: its own limits, and some more.
const LIMIT: Duration = Duration::from_secs(STEP_LIMIT.as_secs() * 3 + 10);

/// What a gateway has written down of itself.
#[derive(Deserialize)]
struct Admin {
    /// Absent where it is of a version that did not say.
    pid: Option<u32>,
    #[serde(default)]
    gives_way: bool,
}

/// Has the gateway replaced, and waits for it.
pub(super) async fn run(common: &Common, asked: UpgradeGateway) -> Result<u8> {
    let state = state_dir(common, &asked)?;
    let Some(pid) = holder(&state.join("lock")) else {
        bail!("no gateway runs with the folder {}: there is nothing to upgrade", state.display());
    };
    let under_way = || Refused(format!("an upgrade of the gateway with the folder {} is under way", state.display()));
    // Held while this waits: two that ask at once would read each other's answers.
    let _one = Lock::try_take(&state.join("upgrade.lock"))?.ok_or_else(under_way)?;
    let is_of = |report: &Report| report.from.pid == number(pid);
    if Report::read(&state).is_some_and(|report| is_of(&report) && report.came_to == CameTo::Starting) {
        return Err(under_way().into());
    }
    // To one that does not listen for it the signal would be the end.
    let admin =
        std::fs::read(state.join("admin.json")).ok().and_then(|text| serde_json::from_slice::<Admin>(&text).ok());
    let number = number(pid);
    let why_not = match admin {
        Some(Admin { pid: Some(pid), gives_way: true }) if pid == number => None,
        Some(Admin { pid, .. }) if pid.is_none_or(|pid| pid == number) => {
            Some("is of a version that cannot give way to another: end it, and it is started anew")
        }
        _ => Some("has not finished its start: try again"),
    };
    if let Some(why) = why_not {
        return Err(Refused(format!("the gateway that runs (process {number}) {why}")).into());
    }
    let _ = std::fs::remove_file(Report::file(&state));
    kill_process(pid, Signal::USR2).with_context(|| format!("process {number} cannot be told"))?;
    let (from, to) = outcome(&state, pid).await?;
    match common.json {
        true => outln!("{}", json!({ "from": from, "to": to })),
        false => outln!(
            "process {} of version {} serves; process {} of version {} drains, and ends with its last connection",
            to.pid,
            to.version,
            from.pid,
            from.version
        ),
    }
    Ok(exit::OK)
}

fn state_dir(common: &Common, asked: &UpgradeGateway) -> Result<PathBuf> {
    match (&asked.state, &asked.name) {
        (Some(state), _) => Ok(std::path::absolute(state)?),
        (None, Some(name)) => folder::joined(name),
        (None, None) => Ok(Folder::find(common.data.as_deref())?.gateway()),
    }
}

/// Waits until the process says what became of it: who gave way to whom.
async fn outcome(state: &Path, pid: Pid) -> Result<(Process, Process)> {
    let (begun, mut missed) = (Instant::now(), 0);
    loop {
        match Report::read(state).filter(|report| report.from.pid == number(pid)) {
            Some(Report { from, came_to: CameTo::Done { to } }) => return Ok((from, to)),
            Some(Report { from, came_to: CameTo::Failed { why } }) => {
                bail!(
                    "the gateway was not upgraded, and process {} of version {} goes on: {why}",
                    from.pid,
                    from.version
                )
            }
            Some(Report { came_to: CameTo::Starting, .. }) | None => {}
        }
        // By its locks, since one that was not waited for has its number still; twice, since it passes one from hand to hand.
        missed = if processes(state).contains(&pid) { 0 } else { missed + 1 };
        if missed > 1 {
            bail!("process {} has ended before it said what became of the upgrade; see its log", number(pid));
        }
        if begun.elapsed() > LIMIT {
            bail!(
                "process {} has not said within {} seconds what became of it; see its log",
                number(pid),
                LIMIT.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
