//! `slipway down`: returns when everything has ended.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::args::Common;
use crate::client::{Client, Failure};
use crate::exit;
use crate::folder::Folder;
use crate::place::at;
use crate::up;

/// How long everything may take to end.
const LIMIT: Duration = Duration::from_secs(120);

/// Stops everything.
pub(crate) async fn run(common: &Common) -> Result<u8> {
    let client = Client::find(common)?;
    match client.post::<Value>(&at(&["down"]), &json!({})).await {
        Ok(answer) => gone(answer["pid"].as_i64().unwrap_or(0)).await?,
        Err(error) => match error.downcast_ref::<Failure>() {
            // Nobody drives any more, but gateway and instances may go on.
            Some(Failure::Unreachable { .. }) if common.server.is_none() => {
                let folder = Folder::find(common.data.as_deref())?;
                if !up::stop_leftovers(&folder).await? {
                    return Err(error);
                }
            }
            _ => return Err(error),
        },
    }
    match common.json {
        true => outln!("{}", json!({ "down": true })),
        false => outln!("everything has ended; slipway up brings it back"),
    }
    Ok(exit::OK)
}

async fn gone(pid: i64) -> Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        bail!("the server did not say which process it is");
    };
    let begun = Instant::now();
    while rustix::process::test_kill_process(pid).is_ok() && !zombie(pid) {
        if begun.elapsed() > LIMIT {
            bail!("process {} has not ended within {} seconds", pid.as_raw_nonzero(), LIMIT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Ended, but its parent has not noticed yet.
fn zombie(pid: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
