//! A lock that tells whether a process lives: whoever holds it does. The process id inside is for signals and people.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

/// A lock that is held for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock(File);

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl Lock {
    /// Takes the lock if nobody has it, not even to look.
    pub fn try_take(path: &Path) -> std::io::Result<Option<Lock>> {
        let file = open(path)?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(Lock(file)))
    }

    /// For the standard input of a process that is to have this lock: there is no moment at which nobody holds it.
    pub fn hand_over(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }

    /// Writes down who has it.
    pub fn name(&self, pid: u32) {
        let mut file = &self.0;
        // For people and for signals; the lock itself is what counts, also on a full disk.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{pid}"));
    }

    /// The lock that whoever started this process took for it and handed over as standard input.
    fn handed_over(path: &Path) -> Option<Lock> {
        let given = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
        let is_lock = given.metadata().ok()?.ino() == std::fs::metadata(path).ok()?.ino();
        let held = is_lock && flock(&given, FlockOperation::NonBlockingLockExclusive).is_ok();
        held.then_some(Lock(given))
    }

    /// Takes the lock, as it was handed over or else waiting a moment for somebody who only looks.
    pub async fn take(path: &Path) -> Result<Lock> {
        for _ in 0..100 {
            let taken = match Lock::handed_over(path) {
                Some(lock) => Some(lock),
                None => Lock::try_take(path).with_context(|| format!("{} cannot be opened", path.display()))?,
            };
            if let Some(lock) = taken {
                lock.name(std::process::id());
                return Ok(lock);
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
