//! A content-addressed store of files: bytes go in under the digest that they have, and come out as a path.
//!
//! A blob is complete and synced to disk under its name, or absent: crashes leave temporary files only, which the
//! next start removes. Nothing here knows what a blob is for, and nothing deletes one. Called by the server.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use slipway_core::names::Digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// How much is read at a time.
const CHUNK: usize = 256 << 10;

/// Why a blob could not be stored or trusted.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bytes are not the ones that were announced. Nothing was kept.
    #[error("the bytes have the digest {found}, not {expected} as announced; nothing was kept")]
    WrongDigest {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More bytes than allowed. Nothing was kept.
    #[error("the artifact is larger than the limit of {limit} bytes; nothing was kept")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The sender failed before the end. Nothing was kept.
    #[error("the artifact broke off after {received} bytes: {source}; nothing was kept")]
    BrokenOff {
        /// Bytes that came.
        received: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// No such blob.
    #[error("there is no artifact {0}")]
    Missing(Digest),
    /// A blob is not what it was any more.
    #[error(
        "artifact {expected} is damaged on disk: its bytes now have the digest {found}; release it again from its files"
    )]
    Damaged {
        /// Its name.
        expected: Digest,
        /// What its bytes have become.
        found: Digest,
    },
    /// No space left. Nothing was kept.
    #[error("no space left on the disk of {}; free some and try again", .0.display())]
    DiskFull(PathBuf),
    /// The disk said no.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// The path concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BlobError {
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path.clone()),
            _ => Self::Io { path: path.clone(), source },
        }
    }
}

/// What became of a [`Blobs::put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// Whether it was not there before.
    pub new: bool,
}

/// The store, a folder: `sha256/ab/abcd…` for blobs, `tmp/` for those on their way. One process at a time.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
    limit: u64,
}

impl Blobs {
    /// Opens the store at `dir`, makes what is missing of it, and removes what a crash left half done.
    /// Blocking, for a start-up.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, BlobError> {
        Self::open_within(dir, crate::SIZE_LIMIT)
    }

    /// As [`Blobs::open`], with a limit for one blob in bytes.
    pub fn open_within(dir: impl Into<PathBuf>, limit: u64) -> Result<Self, BlobError> {
        let root = dir.into();
        let blobs = root.join("sha256");
        std::fs::create_dir_all(&blobs).map_err(BlobError::at(&blobs))?;
        let temporary = root.join("tmp");
        match std::fs::remove_dir_all(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(BlobError::at(&temporary)(e)),
            _ => std::fs::create_dir(&temporary).map_err(BlobError::at(&temporary))?,
        }
        Ok(Self { root, limit })
    }

    /// Stores what `reader` gives if it is what `expected` names; else nothing. Returns once it is safe on disk.
    /// Storing what is there already is fine, and mends it if it was damaged. Dropping the future keeps nothing.
    pub async fn put(&self, reader: impl AsyncRead + Unpin, expected: &Digest) -> Result<Stored, BlobError> {
        let folder = self.root.join("tmp");
        let failed = BlobError::at(&folder);
        let (file, temporary) = tempfile::NamedTempFile::new_in(&folder).map_err(&failed)?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let (found, size) = self.copy(reader, &mut file).await?;
        if found != *expected {
            return Err(BlobError::WrongDigest { expected: expected.clone(), found });
        }
        file.sync_all().await.map_err(&failed)?;
        let (root, place) = (self.root.clone(), self.place(expected));
        let keep = move || keep(&root, temporary, &place);
        let new = tokio::task::spawn_blocking(keep).await.map_err(|e| failed(io::Error::other(e)))??;
        Ok(Stored { size, new })
    }

    /// Where the blob's bytes are, if they are there. The file must not be written to.
    pub fn path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.place(digest)).filter(|path| path.is_file())
    }

    /// Whether there is such a blob. Says nothing of its condition: see [`Blobs::verify`].
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_some()
    }

    /// Reads the blob and checks that its bytes are the ones that its name promises.
    pub async fn verify(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.place(digest);
        let failed = BlobError::at(&path);
        let mut file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BlobError::Missing(digest.clone())),
            Err(e) => return Err(failed(e)),
        };
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk).await.map_err(&failed)? {
                0 => break,
                n => hash.update(&chunk[..n]),
            }
        }
        let found = Digest::from_hash(&hash.finalize());
        if found == *digest { Ok(()) } else { Err(BlobError::Damaged { expected: digest.clone(), found }) }
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.root.join("sha256").join(&digest.hex()[..2]).join(digest.hex())
    }

    async fn copy(
        &self,
        mut reader: impl AsyncRead + Unpin,
        file: &mut tokio::fs::File,
    ) -> Result<(Digest, u64), BlobError> {
        let failed = BlobError::at(&self.root);
        let (mut hash, mut size) = (Sha256::new(), 0u64);
        let mut chunk = vec![0; CHUNK];
        loop {
            let n = match reader.read(&mut chunk).await {
                Ok(0) => break,
                Ok(n) => n,
                Err(source) => return Err(BlobError::BrokenOff { received: size, source }),
            };
            size += n as u64;
            if size > self.limit {
                return Err(BlobError::TooLarge { limit: self.limit });
            }
            hash.update(&chunk[..n]);
            file.write_all(&chunk[..n]).await.map_err(&failed)?;
        }
        file.flush().await.map_err(&failed)?;
        Ok((Digest::from_hash(&hash.finalize()), size))
    }
}

/// Gives a synced temporary file its name, and syncs the folders that hold the name.
fn keep(root: &Path, temporary: tempfile::TempPath, place: &Path) -> Result<bool, BlobError> {
    let folder = place.parent().unwrap_or(root);
    let failed = BlobError::at(folder);
    let sync = |folder: &Path| std::fs::File::open(folder)?.sync_all();
    match std::fs::create_dir(folder) {
        Ok(()) => sync(folder.parent().unwrap_or(root)).map_err(&failed)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed(e)),
    }
    let new = !place.exists();
    temporary.persist(place).map_err(|e| failed(e.error))?;
    sync(folder).map_err(&failed)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_to_be_full() {
        let error = BlobError::at(Path::new("/data"))(io::ErrorKind::StorageFull.into());
        assert_eq!(error.to_string(), "no space left on the disk of /data; free some and try again");
    }
}
