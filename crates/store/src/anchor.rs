//! The newest entry of the journal, written down outside the database, so that a tail cannot be cut off unseen.
//!
//! Written after the commit: after a crash it may lag behind, and is brought up to date at the next start or entry.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use slipway_core::journal::Anchor;

/// The anchor's file.
#[derive(Debug, Clone)]
pub(crate) struct AnchorFile(PathBuf);

impl AnchorFile {
    pub fn new(folder: &Path) -> AnchorFile {
        AnchorFile(folder.join("journal.anchor"))
    }

    /// The anchor: `Ok(None)` where there is none, an error where the file makes no sense.
    pub fn read(&self) -> Result<Option<Anchor>, String> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{}: {e}", self.0.display())),
        };
        let mut words = text.split_whitespace();
        let seq = words.next().and_then(|w| w.parse().ok());
        let hash = words.next().filter(|h| h.len() == 64);
        match (seq, hash) {
            (Some(seq), Some(hash)) => Ok(Some(Anchor { seq, hash: hash.to_string() })),
            _ => Err(format!("the anchor {} makes no sense", self.0.display())),
        }
    }

    /// Writes the anchor anew: temporary file, sync, rename.
    pub fn write(&self, anchor: &Anchor) -> std::io::Result<()> {
        let fresh = self.0.with_extension("anchor.new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "{} {}", anchor.seq, anchor.hash)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.0)
    }
}
