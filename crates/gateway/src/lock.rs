//! A lock that tells whether a process lives: whoever holds it does. The process id inside is for signals and people.
//!
//! A lock is of an open file: a process that is handed it holds it without a moment at which nobody does, and it is free
//! once all of them have let go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

/// A lock that is held for as long as this value lives, or a process that it was handed over to.
#[derive(Debug)]
pub struct Lock(File);

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl Lock {
    /// Takes the lock if nobody has it, not even to look.
    pub fn try_take(path: &Path) -> io::Result<Option<Lock>> {
        let file = open(path)?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(Lock(file)))
    }

    /// For a process that is to have this lock: there is no moment at which nobody holds it.
    pub fn hand_over(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Writes down who has it, as far as that can be written.
    pub fn name(&self, pid: u32) {
        // For people and for signals; the lock itself is what counts, also on a full disk.
        if let Err(error) = self.note(&pid.to_string()) {
            tracing::warn!(%error, pid, "who holds a lock cannot be written down");
        }
    }

    /// Writes down who has it, and what else there is to know of it behind that. Nobody finds it empty meanwhile.
    pub(crate) fn note(&self, text: &str) -> io::Result<()> {
        let (mut file, text) = (&self.0, format!("{text}\n"));
        let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
        // Nobody's rather than another one's, who would get the signals.
        let cut = file.set_len(if written.is_ok() { text.len() as u64 } else { 0 });
        written.and(cut)
    }

    /// The lock on `path` that another process holds, as it was handed over in this file.
    pub(crate) fn given(given: File, path: &Path) -> Option<Lock> {
        let is_lock = is_same(&given.metadata().ok()?, &fs::metadata(path).ok()?);
        let held = is_lock && flock(&given, FlockOperation::NonBlockingLockExclusive).is_ok();
        held.then_some(Lock(given))
    }

    /// The lock that whoever started this process took for it and handed over as standard input, which is let go of.
    fn handed_over(path: &Path) -> Option<Lock> {
        let lock = Lock::given(File::from(io::stdin().as_fd().try_clone_to_owned().ok()?), path)?;
        // It would be held for as long as this process lives, whatever becomes of this value.
        release_stdin().ok()?;
        Some(lock)
    }

    /// Takes the lock, as it was handed over or else waiting a moment for somebody who only looks.
    pub async fn take(path: &Path) -> io::Result<Lock> {
        for _ in 0..100 {
            let taken = match Lock::handed_over(path) {
                Some(lock) => Some(lock),
                None => Lock::try_take(path)
                    .map_err(|e| io::Error::new(e.kind(), format!("{} cannot be opened: {e}", path.display())))?,
            };
            if let Some(lock) = taken {
                lock.name(std::process::id());
                return Ok(lock);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let holder = holder(path).map_or(0, |p| p.as_raw_nonzero().get());
        Err(io::Error::other(format!("{} is held by process {holder}", path.display())))
    }

    /// Whether somebody holds the lock. Looks without taking it from anybody for longer than an instant.
    pub fn held(path: &Path) -> bool {
        let Ok(file) = open(path) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }
}

/// Whether it is written down that this process holds the lock at `path`, which it does; writes it where it is not.
pub(crate) fn is_named(path: &Path) -> bool {
    let own = std::process::id();
    let is_own = || holder(path).is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(own));
    is_own() || {
        // Another open file than the one that is locked: closing it lets go of nothing.
        open(path).map(Lock).iter().for_each(|lock| lock.name(own));
        is_own()
    }
}

/// The process that holds the lock, as it wrote itself down; `None` where that one has not got the file open: what another
/// one left there must not be sent signals.
pub fn holder(path: &Path) -> Option<Pid> {
    let text = noted(path)?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    has_open(pid, path).then_some(pid)
}

/// Whether a process has the file open. One whose files may not be looked at is believed: it may not be sent signals either.
fn has_open(pid: Pid, path: &Path) -> bool {
    let Ok(lock) = fs::metadata(path) else { return false };
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open.flatten().filter_map(|file| fs::metadata(file.path()).ok()).any(|file| is_same(&file, &lock)),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What whoever holds the lock wrote down; `None` where nobody does.
pub(crate) fn noted(path: &Path) -> Option<String> {
    if !path.exists() || !Lock::held(path) {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Puts nothing in the place of standard input.
pub(crate) fn release_stdin() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(File::open("/dev/null")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_not_got_the_lock_is_not_named_whatever_stands_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::try_take(&path).unwrap().unwrap();
        lock.name(std::process::id());
        assert_eq!(holder(&path), Pid::from_raw(std::process::id().cast_signed()));
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        lock.name(other.id());
        assert_eq!(holder(&path), None, "it lives, and has nothing to do with it");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn what_cannot_be_written_down_is_an_error() {
        // As a full disk does it.
        Lock(File::options().read(true).write(true).open("/dev/full").unwrap()).note("1").unwrap_err();
    }
}
