//! A lock that tells whether a process lives: whoever holds it does. The process id inside is for signals and people.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

/// A lock that is held for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl Lock {
    /// Takes the lock, waiting a moment for somebody who only looks.
    pub async fn take(path: &Path) -> Result<Lock> {
        let mut file = open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        for _ in 0..100 {
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
                return Ok(Lock(file));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} is held by process {}", path.display(), holder(path).map_or(0, |p| p.as_raw_nonzero().get()))
    }

    /// Whether somebody holds the lock. Looks without taking it from anybody for longer than an instant.
    pub fn held(path: &Path) -> bool {
        let Ok(file) = open(path) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }
}

/// The process that holds the lock, as it wrote itself down.
pub(crate) fn holder(path: &Path) -> Option<Pid> {
    if !Lock::held(path) {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}
