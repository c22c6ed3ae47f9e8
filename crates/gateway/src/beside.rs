//! The file by which gateways of a data folder find the control plane that drives it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// How often it is looked whether a later control plane has written it.
const LOOK: Duration = Duration::from_millis(100);

/// Where the control plane listens and what it wants to hear, as it wrote it at its start.
#[derive(Deserialize)]
pub(crate) struct Beside {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    /// Where its API listens.
    #[serde(default)]
    pub(crate) api: Option<SocketAddr>,
    /// Which start of a control plane it is; 0 where it did not say.
    #[serde(default)]
    pub(crate) start: u64,
}

impl Beside {
    pub(crate) async fn read(file: &Path) -> io::Result<Beside> {
        Ok(serde_json::from_slice(&tokio::fs::read(file).await?)?)
    }

    /// Returns when a later control plane wants to be called: the one at hand may only stand still, and would be listened to
    /// when it wakes up.
    pub(crate) async fn overtaken(file: &Path, start: u64) {
        loop {
            tokio::time::sleep(LOOK).await;
            if Beside::read(file).await.is_ok_and(|control| control.start > start) {
                return;
            }
        }
    }
}
