//! Processes that have given way and still serve their connections: each holds a lock of its own in the gateway's folder,
//! so that whoever follows, whoever ends everything, and people know of it. The lock is taken before a successor is started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use slipway_core::traffic::link::Predecessor;

use crate::lock::{self, Lock};

/// What the names of their locks begin with.
const PREFIX: &str = "draining-";

/// That this process gives way; taken back when this is let go.
#[derive(Debug)]
pub(crate) struct Draining {
    lock: Lock,
    path: PathBuf,
}

impl Draining {
    /// Notes it in the gateway's folder.
    pub(crate) fn begin(state_dir: &Path, boot: &str) -> io::Result<Draining> {
        let pid = std::process::id();
        let path = state_dir.join(format!("{PREFIX}{pid}"));
        // One that was killed and had the same number may have left the file; nobody else takes it.
        let lock = Lock::try_take(&path)?.ok_or_else(|| io::Error::other("somebody holds it"))?;
        let draining = Draining { lock, path };
        // Nobody would know of it.
        draining.lock.note(&format!("{pid}\n{boot}"))?;
        Ok(draining)
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        // Without its lock a file says nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// Every other process that has given way, or is about to, and still runs. Files of those that were killed are removed.
pub(crate) fn others(state_dir: &Path) -> Vec<Predecessor> {
    // Its own may just be made: it must not be taken for one that was left.
    let own = format!("{PREFIX}{}", std::process::id());
    let mut all: Vec<Predecessor> =
        files(state_dir).filter(|path| !path.ends_with(&own)).filter_map(|path| look(&path)).collect();
    all.sort_by_key(|p| p.pid);
    all
}

/// Every process of the gateway with this folder: the one that serves, and those that have given way to it.
pub fn processes(state_dir: &Path) -> Vec<Pid> {
    let serves = lock::holder(&state_dir.join("lock"));
    let mut all: Vec<Pid> = serves.into_iter().chain(files(state_dir).filter_map(|path| lock::holder(&path))).collect();
    all.dedup();
    all
}

fn files(state_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)).map(|e| e.path())
}

fn look(path: &Path) -> Option<Predecessor> {
    let Some(text) = lock::noted(path) else {
        let _ = fs::remove_file(path);
        return None;
    };
    let mut lines = text.lines();
    Some(Predecessor { pid: lines.next()?.parse().ok()?, boot: lines.next().unwrap_or_default().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_drains_is_known_for_as_long_as_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let draining = Draining::begin(folder.path(), "b1").unwrap();
        let own = Pid::from_raw(std::process::id().cast_signed());
        assert_eq!(processes(folder.path()).into_iter().next(), own);
        assert!(others(folder.path()).is_empty(), "it is not its own predecessor");
        let other = Lock::try_take(&folder.path().join("draining-4711")).unwrap().unwrap();
        other.note("4711\nb0").unwrap();
        assert_eq!(others(folder.path()), [Predecessor { pid: 4711, boot: "b0".into() }]);
        drop((other, draining));
        assert!(others(folder.path()).is_empty() && processes(folder.path()).is_empty());
        assert_eq!(files(folder.path()).count(), 0, "a file without its lock is removed");
    }

    #[test]
    fn its_own_is_left_alone_while_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join(format!("{PREFIX}{}", std::process::id()));
        fs::write(&made, "").unwrap();
        assert!(others(folder.path()).is_empty() && made.exists());
    }
}
