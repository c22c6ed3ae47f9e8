//! What there is to pack: every entry under a path with its fingerprint, in the order in which it is packed.
//! Reads names and metadata only, never content. Called by [`crate::pack()`], before and after.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::pack::{Limits, PackError};

/// How many symbolic links may be followed on the way to one target: what Linux allows.
const LINK_LIMIT: usize = 40;

/// Everything under a path by its relative name, sorted by the name's bytes, so that parents come before children.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) entries: BTreeMap<Vec<u8>, Entry>,
    /// Where relative names start.
    pub(crate) root: PathBuf,
}

/// One entry: what is packed of it, and what tells that it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) seen: Fingerprint,
}

/// What an entry is, as far as it is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File { executable: bool, size: u64 },
    Link { to: PathBuf },
}

/// Metadata that a change of content cannot leave alone: even a writer that restores the modification time
/// moves the change time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

impl Fingerprint {
    pub(crate) fn of(meta: &Metadata) -> Self {
        let ns = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Listing {
    /// Lists `path`, a folder or a single file, which may itself be a symbolic link to one.
    pub(crate) fn of(path: &Path, limits: &Limits) -> Result<Self, PackError> {
        let meta = fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => PackError::Missing(path.to_path_buf()),
            _ => PackError::io("read", path, source),
        })?;
        let mut entries = BTreeMap::new();
        if meta.is_dir() {
            let mut waiting = vec![PathBuf::new()];
            while let Some(folder) = waiting.pop() {
                read_folder(path, &folder, limits, &mut entries, &mut waiting)?;
            }
        } else {
            let name = path.file_name().ok_or_else(|| PackError::unpackable(path, "it has no file name"))?;
            entries.insert(name.as_bytes().to_vec(), Entry { kind: kind(path, &meta)?, seen: Fingerprint::of(&meta) });
        }
        let root = if meta.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }.to_path_buf();
        let listing = Self { entries, root };
        listing.check(path, limits)?;
        Ok(listing)
    }

    /// Number of regular files and symbolic links.
    pub(crate) fn files(&self) -> usize {
        self.entries.values().filter(|e| e.kind != Kind::Folder).count()
    }

    /// The first name, by bytes, that is not the same in `other`.
    pub(crate) fn difference(&self, other: &Self) -> Option<PathBuf> {
        let names = self.entries.keys().chain(other.entries.keys());
        let first = names.filter(|name| self.entries.get(*name) != other.entries.get(*name)).min()?;
        Some(self.root.join(relative(first)))
    }

    fn check(&self, path: &Path, limits: &Limits) -> Result<(), PackError> {
        if !self.entries.values().any(|e| matches!(e.kind, Kind::File { .. })) {
            return Err(PackError::Empty(path.to_path_buf()));
        }
        let size: u64 =
            self.entries.values().map(|e| if let Kind::File { size, .. } = e.kind { size } else { 0 }).sum();
        if size > limits.size {
            return Err(PackError::TooLarge { path: path.to_path_buf(), limit: limits.size });
        }
        for (name, entry) in &self.entries {
            if let Kind::Link { to } = &entry.kind {
                self.resolve(name, to).map_err(|why| PackError::unpackable(&self.root.join(relative(name)), why))?;
            }
        }
        Ok(())
    }

    /// Follows a link through the listing alone, as it will be followed wherever it is unpacked: a way that leaves
    /// the folder and comes back by its present name would break there.
    fn resolve(&self, name: &[u8], to: &Path) -> Result<(), &'static str> {
        const OUTSIDE: &str = "the symbolic link leads out of what is packed";
        let mut at: Vec<OsString> = relative(name).iter().map(|part| part.to_os_string()).collect();
        at.pop();
        let mut ahead: Vec<Step> = Vec::new();
        let mut followed = 1;
        push_steps(&mut ahead, to).ok_or(OUTSIDE)?;
        while let Some(step) = ahead.pop() {
            match step {
                Step::Up => drop(at.pop().ok_or(OUTSIDE)?),
                Step::Into(part) => {
                    at.push(part);
                    let here: PathBuf = at.iter().collect();
                    let entry = self.entries.get(here.as_os_str().as_bytes());
                    match entry.map(|e| &e.kind) {
                        None => return Err("the symbolic link leads to nothing"),
                        Some(Kind::Link { to }) => {
                            followed += 1;
                            if followed > LINK_LIMIT {
                                return Err("the symbolic link leads in a circle");
                            }
                            at.pop();
                            push_steps(&mut ahead, to).ok_or(OUTSIDE)?;
                        }
                        Some(Kind::File { .. }) if !ahead.is_empty() => {
                            return Err("the symbolic link leads to nothing");
                        }
                        Some(Kind::Folder | Kind::File { .. }) => {}
                    }
                }
            }
        }
        Ok(())
    }
}

enum Step {
    Up,
    Into(OsString),
}

/// Puts the steps of `to` in front of those that are still ahead; `None` where it is absolute.
fn push_steps(ahead: &mut Vec<Step>, to: &Path) -> Option<()> {
    let mut steps = Vec::new();
    for part in to.components() {
        match part {
            Component::Normal(name) => steps.push(Step::Into(name.to_os_string())),
            Component::ParentDir => steps.push(Step::Up),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    ahead.extend(steps.into_iter().rev());
    Some(())
}

/// A name of the listing as a path.
pub(crate) fn relative(name: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(name.to_vec()))
}

fn read_folder(
    root: &Path,
    folder: &Path,
    limits: &Limits,
    entries: &mut BTreeMap<Vec<u8>, Entry>,
    waiting: &mut Vec<PathBuf>,
) -> Result<(), PackError> {
    let full = root.join(folder);
    let failed = |source| PackError::io("list", &full, source);
    for item in fs::read_dir(&full).map_err(failed)? {
        let name = folder.join(item.map_err(failed)?.file_name());
        let path = root.join(&name);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(PackError::Changed(path)),
            Err(e) => return Err(PackError::io("read", &path, e)),
        };
        let entry = Entry { kind: kind(&path, &meta)?, seen: Fingerprint::of(&meta) };
        if entry.kind == Kind::Folder {
            waiting.push(name.clone());
        }
        entries.insert(name.into_os_string().into_vec(), entry);
        if entries.len() > limits.files {
            return Err(PackError::TooManyFiles { path: root.to_path_buf(), limit: limits.files });
        }
    }
    Ok(())
}

fn kind(path: &Path, meta: &Metadata) -> Result<Kind, PackError> {
    let file_type = meta.file_type();
    if file_type.is_dir() {
        return Ok(Kind::Folder);
    }
    if file_type.is_file() {
        return Ok(Kind::File { executable: meta.permissions().mode() & 0o111 != 0, size: meta.size() });
    }
    if file_type.is_symlink() {
        let to = fs::read_link(path).map_err(|source| PackError::io("read", path, source))?;
        return Ok(Kind::Link { to });
    }
    let why = match file_type {
        t if t.is_socket() => "it is a socket",
        t if t.is_fifo() => "it is a named pipe",
        _ => "it is a device",
    };
    Err(PackError::unpackable(path, why))
}
