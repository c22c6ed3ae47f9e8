//! What was done before it could be committed, written down beside the database: a way back needs none, and whoever drives
//! next must not go forward again from what the database knows.
//!
//! One file for each lane, until it is committed. Since a full disk is one reason to be without a database, some room is held
//! for these.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::names::LaneId;

use crate::error::Error;
use crate::open::Store;

/// The room that is held.
const RESERVE: u64 = 2 << 20;

/// The notes of a data folder.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    folder: PathBuf,
    reserve: PathBuf,
    /// One at a time: where the disk hangs, the others wait without a thread, and the last that is written is the newest.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Notes {
    /// Holds room for them, where there is any.
    pub fn new(data: &Path) -> Notes {
        let notes =
            Notes { folder: data.join("unrecorded"), reserve: data.join("unrecorded.reserve"), turn: Arc::default() };
        notes.hold_room();
        notes
    }

    fn hold_room(&self) {
        let held = || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            if std::fs::metadata(&self.reserve).is_ok_and(|found| found.len() == RESERVE) {
                return Ok(());
            }
            let file = File::create(&self.reserve)?;
            // Where that is not supported, it is written.
            let taken = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE);
            taken.map_err(io::Error::from).or_else(|_| (&file).write_all(&vec![0; RESERVE as usize]))
        };
        if let Err(error) = held() {
            let _ = std::fs::remove_file(&self.reserve);
            tracing::warn!(%error, "no room can be held for what has to be written down while the store is away");
        }
    }

    fn path(&self, lane: &LaneId) -> PathBuf {
        self.folder.join(format!("{}.{}.json", lane.environment, lane.service))
    }

    /// Temporary file, sync, rename; with the room that is held, where there is no other.
    fn write(&self, lane: &LaneId, bytes: &[u8]) -> io::Result<()> {
        let (path, new) = (self.path(lane), self.path(lane).with_extension("new"));
        let written = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        written().or_else(|error| {
            std::fs::remove_file(&self.reserve).map_err(|_| error)?;
            written()
        })
    }

    fn read(&self, lane: &LaneId) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path(lane)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn forget(&self, lane: &LaneId) -> io::Result<()> {
        std::fs::remove_file(self.path(lane)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        self.hold_room();
        Ok(())
    }
}

impl Store {
    /// Writes down what was done in a lane and could not be committed, in the place of an earlier note. On the disk when this
    /// returns.
    pub async fn note(&self, lane: &LaneId, what: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec(what)?;
        self.with_notes(lane, move |notes, lane| notes.write(lane, &bytes)).await
    }

    /// What was written down of a lane, also by another control plane of this data folder.
    pub async fn noted<T: DeserializeOwned>(&self, lane: &LaneId) -> Result<Option<T>, Error> {
        let Some(bytes) = self.with_notes(lane, |notes, lane| notes.read(lane)).await? else { return Ok(None) };
        let broken = |error| Error::Damaged(format!("{}: {error}", self.inner.notes.path(lane).display()));
        serde_json::from_slice(&bytes).map_err(broken).map(Some)
    }

    /// It is committed, or worth nothing any more.
    pub async fn forget_noted(&self, lane: &LaneId) -> Result<(), Error> {
        self.with_notes(lane, |notes, lane| notes.forget(lane)).await
    }

    async fn with_notes<T: Send + 'static>(
        &self,
        lane: &LaneId,
        act: impl FnOnce(&Notes, &LaneId) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (notes, lane) = (self.inner.notes.clone(), lane.clone());
        let turn = notes.turn.clone().lock_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            act(&notes, &lane).map_err(|error| Error::Unavailable(format!("{}: {error}", notes.path(&lane).display())))
        });
        done.await.map_err(|error| Error::Unavailable(error.to_string()))?
    }
}
