//! Unpacks an artifact into a working folder: files, folders and links that stay inside, nothing else.
//!
//! Whoever made the archive may write only below the folder it is unpacked to, so links are made last and looked at
//! after that. Does not verify digests; the store of artifacts does. Called by the process target's start.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use slipway_core::instance::TargetError;
use tar::{Archive, Entry, EntryType};

/// Unpacks `artifact` (an uncompressed tar) into `into`, which must not exist yet.
pub(crate) fn unpack(artifact: &Path, into: &Path) -> Result<(), TargetError> {
    let file = File::open(artifact).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => TargetError::Hopeless(format!("the artifact is gone: no {}", artifact.display())),
        _ => TargetError::Transient(format!("cannot open the artifact {}: {e}", artifact.display())),
    })?;
    make_folder(into)?;
    let mut links = Vec::new();
    let mut archive = Archive::new(io::BufReader::with_capacity(128 << 10, file));
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.into_owned();
        let inner = inside(&name)?;
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(&into.join(inner))?,
            EntryType::Regular | EntryType::Continuous => write_file(&mut entry, &name, &into.join(inner))?,
            EntryType::Symlink => links.push((inner, link_target(&entry, &name)?)),
            EntryType::XGlobalHeader => {}
            other => {
                return Err(refused(&name, &format!("is a {other:?}; only files, folders and links are unpacked")));
            }
        }
    }
    make_links(into, &links)
}

/// The name below the folder: no `..`, not absolute. `.` parts go.
fn inside(name: &Path) -> Result<PathBuf, TargetError> {
    let mut inner = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => inner.push(part),
            Component::CurDir => {}
            _ => return Err(refused(name, "points outside of it")),
        }
    }
    Ok(inner)
}

fn make_folder(path: &Path) -> Result<(), TargetError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|e| unwritable(path, &e))
}

fn write_file<R: io::Read>(entry: &mut Entry<R>, name: &Path, path: &Path) -> Result<(), TargetError> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let mode = entry.header().mode().map_err(unreadable)? & 0o777 | 0o600;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => refused(name, "is in it twice"),
            _ => unwritable(path, &e),
        })?;
    let size = entry.size();
    // Reading and writing fail for different reasons, so they are told apart.
    let mut block = vec![0; 128 << 10];
    let mut written = 0;
    loop {
        let n = io::Read::read(entry, &mut block).map_err(unreadable)?;
        if n == 0 {
            break;
        }
        io::Write::write_all(&mut file, &block[..n]).map_err(|e| unwritable(path, &e))?;
        written += n as u64;
    }
    if written < size {
        return Err(refused(name, &format!("is cut off after {written} of {size} bytes")));
    }
    Ok(())
}

fn link_target<R: io::Read>(entry: &Entry<R>, name: &Path) -> Result<PathBuf, TargetError> {
    match entry.link_name().map_err(unreadable)? {
        Some(target) => Ok(target.into_owned()),
        None => Err(refused(name, "is a link to nowhere")),
    }
}

/// Files are in place by now and went through no link. Each link is made, then all are followed: a link that is inside
/// by its text may still lead out through another one.
fn make_links(root: &Path, links: &[(PathBuf, PathBuf)]) -> Result<(), TargetError> {
    for (inner, target) in links {
        stays_inside(inner, target)?;
        let path = root.join(inner);
        let parent = path.parent().unwrap_or(root);
        make_folder(parent)?;
        let real = parent.canonicalize().map_err(|e| unwritable(parent, &e))?;
        if real != root.canonicalize().map_err(|e| unwritable(root, &e))?.join(inner.parent().unwrap_or(Path::new("")))
        {
            return Err(refused(inner, "lies behind a link"));
        }
        symlink(target, &path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => refused(inner, "is in it twice"),
            _ => unwritable(&path, &e),
        })?;
    }
    let root = root.canonicalize().map_err(|e| unwritable(root, &e))?;
    for (inner, _) in links {
        // A link to something that is not there is the program's own affair.
        if let Ok(real) = root.join(inner).canonicalize()
            && !real.starts_with(&root)
        {
            return Err(refused(inner, "is a link that leads outside of it"));
        }
    }
    Ok(())
}

fn stays_inside(link: &Path, target: &Path) -> Result<(), TargetError> {
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => {
                return Err(refused(link, &format!("is a link that leads outside of it, to {}", target.display())));
            }
        }
    }
    Ok(())
}

fn refused(name: &Path, why: &str) -> TargetError {
    TargetError::Hopeless(format!("the artifact cannot be unpacked: {} {why}", name.display()))
}

fn unreadable(e: io::Error) -> TargetError {
    match e.raw_os_error() {
        Some(_) => TargetError::Transient(format!("the artifact cannot be read: {e}")),
        None => TargetError::Hopeless(format!("the artifact cannot be unpacked: {e}")),
    }
}

fn unwritable(path: &Path, e: &io::Error) -> TargetError {
    match e.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
            TargetError::Hopeless(format!("the artifact has both a file and a folder at {}", path.display()))
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            TargetError::Hopeless(format!("the artifact has a name that cannot be a file: {}", path.display()))
        }
        _ => TargetError::Transient(format!("cannot write {}: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    enum Item<'a> {
        File(&'a str, u32, &'a str),
        Link(&'a str, &'a str),
        Other(&'a str, EntryType),
    }
    use Item::*;

    /// Written field by field: the builder itself refuses to make what is to be refused here.
    fn pack(items: &[Item]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for item in items {
            let mut header = tar::Header::new_gnu();
            let (name, body) = match item {
                File(name, mode, body) => {
                    header.set_mode(*mode);
                    (name, *body)
                }
                Link(name, target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
                    (name, "")
                }
                Other(name, kind) => {
                    header.set_entry_type(*kind);
                    (name, "")
                }
            };
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<(), TargetError>) {
        let folder = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("artifact.tar");
        fs::write(&artifact, bytes).unwrap();
        let result = unpack(&artifact, &folder.path().join("outer/work"));
        (folder, result)
    }

    fn refusal(items: &[Item]) -> String {
        let (folder, result) = unpacked(&pack(items));
        assert!(!folder.path().join("outer/evil").exists() && !folder.path().join("evil").exists());
        match result {
            Err(TargetError::Hopeless(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_links_and_exec_bits_arrive() {
        let (folder, result) = unpacked(&pack(&[
            File("./bin/run", 0o4755, "#!/bin/sh\n"),
            File("data", 0o444, "d"),
            Link("bin/data", "../data"),
            Link("dangling", "not-there"),
        ]));
        result.unwrap();
        let work = folder.path().join("outer/work");
        assert_eq!(fs::metadata(work.join("bin/run")).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_to_string(work.join("bin/data")).unwrap(), "d");
    }

    #[test]
    fn what_would_leave_the_folder_is_refused() {
        for (items, why) in [
            (vec![File("../evil", 0o644, "x")], "../evil points outside of it"),
            (vec![File("a/../../evil", 0o644, "x")], "a/../../evil points outside of it"),
            (vec![File("/tmp/evil", 0o644, "x")], "/tmp/evil points outside of it"),
            (vec![Link("l", "..")], "l is a link that leads outside of it, to .."),
            (vec![Link("l", "/etc")], "l is a link that leads outside of it, to /etc"),
            (vec![File("d/f", 0o644, ""), Link("d/up", "../d/.."), Link("out", "d/up/..")], "out is a link that leads"),
            (vec![File("d/f", 0o644, ""), Link("l", "d"), Link("l/x", "f")], "l/x lies behind a link"),
            (vec![Other("dev", EntryType::Char)], "dev is a Char"),
            (vec![Other("pipe", EntryType::Fifo)], "pipe is a Fifo"),
            (vec![Other("hard", EntryType::Link)], "hard is a Link"),
            (vec![File("f", 0o644, "1"), File("f", 0o644, "2")], "f is in it twice"),
        ] {
            let said = refusal(&items);
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_file_is_never_written_through_a_link() {
        let why = refusal(&[Link("l", "d"), File("d/f", 0o644, ""), File("l/evil", 0o644, "x")]);
        assert!(why.contains("is in it twice"), "{why}");
    }

    #[test]
    fn a_cut_off_artifact_and_a_missing_one_are_hopeless() {
        let whole = pack(&[File("big", 0o644, &"x".repeat(5000))]);
        let (_folder, result) = unpacked(&whole[..2000]);
        let Err(TargetError::Hopeless(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("big is cut off") || why.contains("unexpected EOF"), "{why}");
        let (_folder, result) = unpacked(&[7; 1024]);
        assert!(matches!(result, Err(TargetError::Hopeless(_))), "{result:?}");
        let folder = tempfile::tempdir().unwrap();
        let result = unpack(&folder.path().join("none"), &folder.path().join("work"));
        assert!(matches!(result, Err(TargetError::Hopeless(_))), "{result:?}");
    }
}
