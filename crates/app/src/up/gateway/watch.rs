//! Looks after the gateway: starts it again where it has ended, and ends one that hangs.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use slipway_gateway::hub::Hub;
use slipway_gateway::lock::{Lock, holder};
use tokio::time::Instant;

use super::{OWN, Starter};
use crate::up::fence::Fence;

/// How often an adopted gateway is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is looked whether it hangs.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// A gateway that has run for so long has not ended at once.
const RUNS: Duration = Duration::from_secs(10);
/// Before one that has ended at once is started again: the pause grows from the first of these to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

impl Starter {
    /// Starts the gateway again whenever it has ended, and ends one that hangs. Returns only where it was overtaken: then the
    /// gateway, or that there is none, is another's business. `start`: of this control plane.
    pub async fn watch(mut self, hub: Hub, start: u64, fence: Option<Fence>, mut child: Option<tokio::process::Child>) {
        let (mut begun, mut pause) = (Instant::now(), Duration::ZERO);
        loop {
            let status = self.vacant(&hub, start, child.take()).await;
            let ran = begun.elapsed();
            pause = pause_after(pause, ran);
            let why = match status.and_then(|status| status.signal()) {
                Some(signal) => format!("by signal {signal}"),
                None => self.last_words(),
            };
            tracing::warn!(why, ?pause, "the gateway has ended; it is started again");
            if !pause.is_zero() {
                let trouble = format!(
                    "it ended at once, {why}; it is started again every {pause:?}, and see {}",
                    self.log().display()
                );
                hub.note_trouble(OWN, Some(trouble));
                tokio::time::sleep(pause).await;
            }
            if fence.as_ref().is_some_and(Fence::is_overtaken) {
                return;
            }
            begun = Instant::now();
            child = self.ensure().unwrap_or_else(|error| {
                tracing::error!(error = format!("{error:#}"), "the gateway cannot be started again");
                hub.note_trouble(OWN, Some(format!("it cannot be started again: {error:#}")));
                None
            });
        }
    }

    /// The gateway's process where it hangs: it runs, and was not heard of for the grace, although this control plane listened
    /// and is the one that it is to call.
    fn hangs(&self, hub: &Hub, start: u64) -> Option<Pid> {
        let own = hub.gateways().into_iter().find(|gateway| gateway.name == OWN)?;
        let is_lost = own.here && !own.connected && !own.ended && own.lost.is_some();
        let pid = holder(&self.lock()).filter(|_| is_lost)?;
        // Both by what the lock says and by what it said itself, so that nobody else is meant.
        let is_it = u32::try_from(pid.as_raw_nonzero().get()) == Ok(own.pid);
        (is_it && self.is_called(start)).then_some(pid)
    }

    /// Whether gateways of this folder call the control plane with this start.
    fn is_called(&self, start: u64) -> bool {
        let written = std::fs::read(self.folder.gateway().join("control.json")).unwrap_or_default();
        let written: serde_json::Value = serde_json::from_slice(&written).unwrap_or_default();
        written["start"].as_u64() == Some(start)
    }

    /// Waits until nobody is the gateway any more. It need not be the process that was started here: that may have given
    /// way to another, and end long before it or after. How the process ended, where it is the one.
    async fn vacant(&self, hub: &Hub, start: u64, mut child: Option<tokio::process::Child>) -> Option<ExitStatus> {
        let (mut looked, mut last) = (Instant::now(), None);
        while Lock::held(&self.lock()) {
            if looked.elapsed() > LOOK_AFTER {
                looked = Instant::now();
                if let Some(pid) = self.hangs(hub, start) {
                    let pid_is = pid.as_raw_nonzero();
                    tracing::error!(pid = pid_is, "the gateway hangs: it was not heard of for too long; it is killed");
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            let ended = async {
                match child.as_mut() {
                    Some(child) => child.wait().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = ended => (child, last) = (None, status.ok().map(|status| (Instant::now(), status))),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let Some(mut child) = child else {
            // Where it gave way, another one was the gateway since then.
            return last.filter(|(at, _)| at.elapsed() < LOOK * 2).map(|(_, status)| status);
        };
        if let Ok(Ok(status)) = tokio::time::timeout(LOOK, child.wait()).await {
            return Some(status);
        }
        // It drains, or is to be waited for so that it leaves nothing behind.
        tokio::spawn(async move { child.wait().await });
        None
    }
}

/// Before the gateway is started again that has run for so long.
fn pause_after(pause: Duration, ran: Duration) -> Duration {
    if ran >= RUNS { Duration::ZERO } else { (pause * 2).clamp(PAUSES.0, PAUSES.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_at_once_is_started_ever_more_seldom_and_at_once_after_it_has_run() {
        let mut pause = Duration::ZERO;
        let pauses = std::iter::repeat_with(|| {
            pause = pause_after(pause, Duration::ZERO);
            pause
        });
        let pauses: Vec<Duration> = pauses.take(12).collect();
        assert_eq!((pauses[0], pauses[1], pauses[11]), (PAUSES.0, PAUSES.0 * 2, PAUSES.1));
        assert!(pauses.is_sorted());
        assert_eq!(pause_after(PAUSES.1, RUNS), Duration::ZERO);
    }
}
