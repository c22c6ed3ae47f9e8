//! The parcels: files that move from folder to folder by renaming, so that each is taken once.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::behaviour::Behaviour;

/// The queue, with this courier's mark in it.
pub struct Queue {
    folder: PathBuf,
    version: String,
    instance: String,
    mark: PathBuf,
    /// Locked for as long as this process lives.
    _lock: File,
}

impl Queue {
    /// Opens the queue and marks this courier as running.
    pub fn open(behaviour: &Behaviour) -> anyhow::Result<Self> {
        let folder = behaviour.queue.clone();
        for name in ["waiting", "taken", "done", "running"] {
            fs::create_dir_all(folder.join(name)).with_context(|| folder.display().to_string())?;
        }
        let (version, instance) = (behaviour.version.clone(), behaviour.instance.clone());
        let mark = folder.join("running").join(format!("{version}@{instance}"));
        let lock = File::create(&mark).context("cannot mark itself as running")?;
        lock.try_lock().context("somebody runs under this name")?;
        Ok(Self { folder, version, instance, mark, _lock: lock })
    }

    /// Notes every courier of another version that runs now.
    pub fn look_for_others(&self) -> io::Result<()> {
        for mark in fs::read_dir(self.folder.join("running"))?.flatten() {
            let name = mark.file_name().to_string_lossy().into_owned();
            let same = name.split_once('@').is_none_or(|(version, _)| version == self.version);
            if !same && is_held(&mark.path()) {
                let mut log = File::options().create(true).append(true).open(self.folder.join("overlaps"))?;
                writeln!(log, "{}@{} met {name}", self.version, self.instance)?;
            }
        }
        Ok(())
    }

    /// Takes the oldest parcel, if one waits.
    pub fn take(&self) -> io::Result<Option<String>> {
        let mut waiting: Vec<String> = fs::read_dir(self.folder.join("waiting"))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        waiting.sort();
        for parcel in waiting {
            match fs::rename(self.folder.join("waiting").join(&parcel), self.taken(&parcel)) {
                Ok(()) => return Ok(Some(parcel)),
                // Another one was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Gives a parcel back untouched.
    pub fn put_back(&self, parcel: &str) -> io::Result<()> {
        fs::rename(self.taken(parcel), self.folder.join("waiting").join(parcel))
    }

    /// A parcel was delivered.
    pub fn done(&self, parcel: &str) -> io::Result<()> {
        let done = self.folder.join("done").join(parcel);
        fs::write(self.taken(parcel), format!("{} {}\n", self.version, self.instance))?;
        fs::rename(self.taken(parcel), done)
    }

    fn taken(&self, parcel: &str) -> PathBuf {
        self.folder.join("taken").join(format!("{parcel}@{}", self.instance))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.mark);
    }
}

/// Whether the courier behind a mark lives.
fn is_held(mark: &Path) -> bool {
    File::open(mark).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}
