//! Packing: a file or a folder becomes one uncompressed tar whose bytes depend on names, content and the executable
//! bit alone, so that the same content has the same digest wherever and whenever it is packed.
//!
//! Not here: compression, ignore files, unpacking (targets do that). Called by the command line; blocking, so async
//! callers put it on a blocking thread.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use slipway_core::names::Digest;
use tar::{Builder, EntryType, Header};

use crate::hashing::Hashing;
use crate::listing::{Entry, Fingerprint, Kind, Listing, relative};

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// SHA-256 of the tar.
    pub digest: Digest,
    /// Bytes of the tar.
    pub size: u64,
    /// Regular files and symbolic links in it.
    pub files: usize,
}

/// How much may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the tar. Default [`crate::SIZE_LIMIT`].
    pub size: u64,
    /// Entries: files, folders and symbolic links. Default 100,000.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: crate::SIZE_LIMIT, files: 100_000 }
    }
}

/// Why something could not be packed. Nothing is left at the output path.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// There is nothing at the path.
    #[error("{} does not exist; give the file or folder that holds the build", .0.display())]
    Missing(PathBuf),
    /// There is no file at or under the path.
    #[error("{} is empty: there is no file in it to release", .0.display())]
    Empty(PathBuf),
    /// An entry that an artifact cannot hold.
    #[error("{} cannot be packed: {why}", .path.display())]
    Unpackable {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something was written, added or removed meanwhile.
    #[error("{} changed while it was being packed; let the build finish, then try again", .0.display())]
    Changed(PathBuf),
    /// More bytes than allowed.
    #[error("{} is larger than the limit of {limit} bytes", .path.display())]
    TooLarge {
        /// What was to be packed.
        path: PathBuf,
        /// The limit, in bytes of the tar.
        limit: u64,
    },
    /// More entries than allowed.
    #[error("{} holds more than {limit} files and folders; pack the build alone, not its sources", .path.display())]
    TooManyFiles {
        /// What was to be packed.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The output would become part of the input.
    #[error("{} lies inside what is to be packed", .0.display())]
    OutputInside(PathBuf),
    /// The disk said no.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// A verb: read, list, write.
        doing: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PackError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_path_buf(), source }
    }

    pub(crate) fn unpackable(path: &Path, why: &'static str) -> Self {
        Self::Unpackable { path: path.to_path_buf(), why }
    }
}

/// Packs the file or folder at `path` into a tar at `out`, within the default limits.
///
/// A folder's content is packed without the folder's own name; a single file under its own name. Modification times,
/// owners and the umask leave no trace; of the mode only the executable bit stays. Hidden files and empty folders
/// are kept, symbolic links where they stay inside. `out` appears when it is complete, or not at all.
pub fn pack(path: &Path, out: &Path) -> Result<Packed, PackError> {
    pack_within(path, out, &Limits::default())
}

/// As [`pack()`], with limits of the caller's choice.
pub fn pack_within(path: &Path, out: &Path, limits: &Limits) -> Result<Packed, PackError> {
    pack_observed(path, out, limits, &mut |_| {})
}

/// `before_reading` is told of every file right before it is read: the seam at which tests interfere.
fn pack_observed(
    path: &Path,
    out: &Path,
    limits: &Limits,
    before_reading: &mut dyn FnMut(&Path),
) -> Result<Packed, PackError> {
    let before = Listing::of(path, limits)?;
    let folder = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    refuse_output_inside(path, folder, out)?;
    let write_failed = |source| PackError::io("write", out, source);
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(write_failed)?;
    let mut tar = Builder::new(Hashing::new(BufWriter::with_capacity(256 << 10, temporary), limits.size));
    for (name, entry) in &before.entries {
        let full = before.root.join(relative(name));
        before_reading(&full);
        append(&mut tar, &full, &relative(name), entry).map_err(|e| e.into_pack_error(path, out, limits))?;
    }
    let finished = tar.into_inner().map_err(|e| AppendError::Output(e).into_pack_error(path, out, limits))?;
    let (digest, size, file) = finished.finish();
    if let Some(path) = before.difference(&Listing::of(path, limits)?) {
        return Err(PackError::Changed(path));
    }
    let temporary = file.into_inner().map_err(|e| write_failed(e.into_error()))?;
    temporary.persist(out).map_err(|e| write_failed(e.error))?;
    Ok(Packed { digest, size, files: before.files() })
}

fn refuse_output_inside(path: &Path, folder: &Path, out: &Path) -> Result<(), PackError> {
    let input = path.canonicalize().map_err(|e| PackError::io("read", path, e))?;
    let output = folder.canonicalize().map_err(|e| PackError::io("write", out, e))?;
    if output.starts_with(&input) || out.file_name().is_some_and(|name| output.join(name) == input) {
        return Err(PackError::OutputInside(out.to_path_buf()));
    }
    Ok(())
}

/// What went wrong with one entry: with the entry itself, or with the output.
enum AppendError {
    Entry(PackError),
    Output(io::Error),
}

impl AppendError {
    fn into_pack_error(self, path: &Path, out: &Path, limits: &Limits) -> PackError {
        match self {
            Self::Entry(error) => error,
            Self::Output(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                PackError::TooLarge { path: path.to_path_buf(), limit: limits.size }
            }
            Self::Output(e) => PackError::io("write", out, e),
        }
    }
}

fn append<W: Write>(tar: &mut Builder<W>, full: &Path, name: &Path, entry: &Entry) -> Result<(), AppendError> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            tar.append_data(&mut header, name, io::empty()).map_err(AppendError::Output)
        }
        Kind::Link { to } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, name, to).map_err(AppendError::Output)
        }
        Kind::File { executable, size } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(*size);
            let file = open(full, &entry.seen).map_err(AppendError::Entry)?;
            let mut content = Content { file: (&file).take(*size), left: *size, failure: None };
            let written = tar.append_data(&mut header, name, &mut content);
            if let Some(source) = content.failure {
                return Err(AppendError::Entry(PackError::io("read", full, source)));
            }
            if content.left > 0 && written.is_ok() {
                return Err(AppendError::Entry(PackError::Changed(full.to_path_buf())));
            }
            written.map_err(AppendError::Output)
        }
    }
}

/// Opens a listed file, if it still is the listed one, without waiting on a pipe that may have taken its place.
fn open(path: &Path, seen: &Fingerprint) -> Result<File, PackError> {
    let careful = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(careful).open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PackError::Changed(path.to_path_buf()),
        _ => PackError::io("read", path, source),
    })?;
    let meta = file.metadata().map_err(|source| PackError::io("read", path, source))?;
    if Fingerprint::of(&meta) == *seen { Ok(file) } else { Err(PackError::Changed(path.to_path_buf())) }
}

/// A file's bytes, remembering whether a failure was the reader's own and how much was still to come.
struct Content<R> {
    file: R,
    left: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let kind = e.kind();
                self.failure = Some(e);
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.path().join("in").join(name), name.repeat(100)).unwrap();
        }
        dir
    }

    /// Packs while `interfere` is called once, right before `b` is read; the name in the resulting error.
    fn changed(interfere: impl Fn(&Path)) -> String {
        let dir = folder();
        let (input, out) = (dir.path().join("in"), dir.path().join("out.tar"));
        let error = pack_observed(&input, &out, &Limits::default(), &mut |path| {
            if path.ends_with("b") {
                interfere(&input);
            }
        })
        .unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left at or beside the output");
        match error {
            PackError::Changed(path) => path.file_name().unwrap().to_string_lossy().into_owned(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_change_while_packing_is_noticed_and_named() {
        let append = |path: PathBuf| writeln!(File::options().append(true).open(path).unwrap(), "more").unwrap();
        assert_eq!(changed(|dir| append(dir.join("a"))), "a", "already packed");
        assert_eq!(changed(|dir| append(dir.join("b"))), "b", "about to be packed");
        assert_eq!(changed(|dir| fs::remove_file(dir.join("b")).unwrap()), "b");
        assert_eq!(changed(|dir| fs::remove_file(dir.join("a")).unwrap()), "a");
        assert_eq!(changed(|dir| fs::write(dir.join("new"), "x").unwrap()), "new");
        assert_eq!(changed(|dir| fs::rename(dir.join("c"), dir.join("b")).unwrap()), "b");
    }

    #[test]
    fn a_change_that_restores_size_and_time_is_noticed() {
        let name = changed(|dir| {
            let path = dir.join("a");
            let before = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "z".repeat(100)).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        });
        assert_eq!(name, "a");
    }

    #[test]
    fn a_pipe_that_takes_a_files_place_does_not_hang() {
        let name = changed(|dir| {
            fs::remove_file(dir.join("b")).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, dir.join("b"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        });
        assert_eq!(name, "b");
    }

    #[test]
    fn a_file_that_shrinks_after_it_was_opened_is_noticed() {
        let dir = folder();
        let path = dir.path().join("in/a");
        let meta = fs::metadata(&path).unwrap();
        let kind = Kind::File { executable: false, size: meta.len() + 1 };
        let entry = Entry { kind, seen: Fingerprint::of(&meta) };
        let mut tar = Builder::new(Vec::new());
        let error = append(&mut tar, &path, Path::new("a"), &entry);
        assert!(matches!(error, Err(AppendError::Entry(PackError::Changed(_)))));
    }
}
