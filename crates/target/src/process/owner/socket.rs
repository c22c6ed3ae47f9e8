//! Which process listens on a socket: the kernel tells whoever connects.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use slipway_core::address::Address;
use tokio_util::either::Either;

use super::{Proof, processes};
use crate::http;
use crate::process::Subject;
use crate::procfs::ProcessId;

/// How long a socket may have no room for the question.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file by which a socket is reached. Another socket at the same path is another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl File {
    /// The one at `path`.
    pub(super) fn at(path: &str) -> Option<File> {
        let is = std::fs::symlink_metadata(path).ok()?;
        Some(File { device: is.dev(), inode: is.ino(), changed: (is.ctime(), is.ctime_nsec()) })
    }
}

/// The process that listens at `path`, and the file there.
pub(super) async fn listener(path: &str) -> Result<(u32, File), String> {
    let nobody = || format!("nothing listens on {path}: does the command use {{socket}}?");
    let file = File::at(path).ok_or_else(nobody)?;
    let address = Address::Unix(path.into());
    let connected = tokio::time::timeout(PATIENCE, http::connect(&address)).await;
    let connected = connected.map_err(|_| format!("{path} takes no connection: its queue is full"))?;
    let peer = match connected.map_err(|_| nobody())? {
        Either::Left(_) => None,
        Either::Right(stream) => stream.peer_cred().ok().and_then(|peer| peer.pid()),
    };
    let pid = peer.and_then(|pid| u32::try_from(pid).ok());
    Ok((pid.ok_or_else(|| format!("the kernel does not tell who listens on {path}"))?, file))
}

/// Whether that process is the instance's.
pub(super) fn prove(subject: &Subject, path: &str, pid: u32, file: File) -> Result<Proof, String> {
    let stranger = || format!("{path} is listened on by another process");
    let listener = ProcessId::of(pid).ok_or_else(stranger)?;
    if processes(subject).contains(&pid) { Ok(Proof::Socket { listener, file }) } else { Err(stranger()) }
}
