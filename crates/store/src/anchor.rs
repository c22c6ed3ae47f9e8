//! The newest entry of the journal, written down outside the database, so that a tail cannot be cut off unseen.
//!
//! Written after the commit: after a crash it may lag behind, and is brought up to date at the next start or entry.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::journal::Anchor;

/// The anchor's file. Clones share the right to write it.
#[derive(Debug, Clone)]
pub(crate) struct AnchorFile {
    path: PathBuf,
    /// The newest entry since the chain does not go through the anchor, which stays as evidence.
    since: PathBuf,
    written: Arc<Mutex<Written>>,
}

/// The numbers that this process wrote last, or found written; 0 before.
#[derive(Debug, Default)]
struct Written {
    anchor: u64,
    since: u64,
}

impl AnchorFile {
    pub fn new(folder: &Path) -> AnchorFile {
        let (path, since) = (folder.join("journal.anchor"), folder.join("journal.since"));
        AnchorFile { path, since, written: Arc::default() }
    }

    /// The anchor: `Ok(None)` where there is none, an error where the file makes no sense.
    pub fn read(&self) -> Result<Option<Anchor>, String> {
        read(&self.path)
    }

    /// The newest entry that this folder knows of, in the database or not.
    pub fn newest_known(&self) -> Option<Anchor> {
        let found = |path: &Path| read(path).ok().flatten();
        found(&self.since).or_else(|| found(&self.path))
    }

    /// Whether this process wrote an anchor that is not there any more.
    pub fn is_gone(&self) -> bool {
        self.written().anchor > 0 && !self.path.exists()
    }

    /// Writes the anchor anew: temporary file, sync, rename. One at a time, and never an older one over a newer one.
    pub fn write(&self, anchor: &Anchor) -> std::io::Result<()> {
        let mut written = self.written();
        if written.anchor >= anchor.seq {
            return Ok(());
        }
        // Another control plane of the same folder may have gone on meanwhile.
        if self.read().is_ok_and(|found| found.is_some_and(|found| found.seq >= anchor.seq)) {
            written.anchor = anchor.seq;
            return Ok(());
        }
        write(&self.path, anchor)?;
        written.anchor = anchor.seq;
        Ok(())
    }

    /// Writes the newest entry down beside an anchor that stays as it is; in the place of one that an earlier process knew, which
    /// may be lost as well.
    pub fn write_since(&self, newest: &Anchor) -> std::io::Result<()> {
        let mut written = self.written();
        if written.since >= newest.seq {
            return Ok(());
        }
        write(&self.since, newest)?;
        written.since = newest.seq;
        Ok(())
    }

    /// Begins to write it down anew, whatever it was.
    pub fn forget_since(&self) {
        let _ = std::fs::remove_file(&self.since);
    }

    /// Writes the anchor anew, whatever it was.
    pub fn replace(&self, anchor: &Anchor) -> std::io::Result<()> {
        let mut written = self.written();
        write(&self.path, anchor)?;
        written.anchor = anchor.seq;
        self.forget_since();
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Option<Anchor>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("{}: {e}", path.display())),
    };
    let mut words = text.split_whitespace();
    let seq = words.next().and_then(|w| w.parse().ok());
    let hash = words.next().filter(|h| h.len() == 64);
    match (seq, hash) {
        (Some(seq), Some(hash)) => Ok(Some(Anchor { seq, hash: hash.to_string() })),
        _ => Err(format!(
            "the anchor {} makes no sense: whether the journal's tail is whole cannot be told",
            path.display()
        )),
    }
}

fn write(path: &Path, anchor: &Anchor) -> std::io::Result<()> {
    let mut fresh = path.to_path_buf().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let mut file = File::create(&fresh)?;
    writeln!(file, "{} {}", anchor.seq, anchor.hash)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_by_many_at_once_it_is_always_whole_and_ends_with_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let file = AnchorFile::new(folder.path());
        file.write(&Anchor { seq: 1, hash: "a".repeat(64) }).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let file = file.clone();
                scope.spawn(move || {
                    for n in 0..50 {
                        file.write(&Anchor { seq: 2 + n * 4 + thread, hash: "b".repeat(64) }).unwrap();
                        assert!(file.read().unwrap().is_some(), "a reader never sees half of it");
                    }
                });
            }
        });
        assert_eq!(file.read().unwrap().unwrap().seq, 2 + 49 * 4 + 3);
    }
}
