//! The configuration's files: written into the working folder after the artifact, over what the artifact brought.
//!
//! The artifact may hold links; nothing is written through one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use slipway_core::instance::TargetError;

/// Writes every file below `into`, making the folders that are missing.
pub(crate) fn write(files: &BTreeMap<String, String>, into: &Path) -> Result<(), TargetError> {
    for (path, text) in files {
        write_one(into, path, text).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => TargetError::Hopeless(format!(
                "the configuration's file {path} cannot be written: the artifact has something else in its place"
            )),
            _ => TargetError::Transient(format!("the configuration's file {path} cannot be written: {error}")),
        })?;
    }
    Ok(())
}

fn write_one(into: &Path, path: &str, text: &str) -> io::Result<()> {
    let mut at = into.to_path_buf();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        at.push(part);
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => Some(found.file_type()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match (parts.peek().is_some(), found) {
            (true, None) => fs::create_dir(&at)?,
            (true, Some(kind)) if !kind.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            (false, Some(kind)) if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            // A link or a file of the artifact gives way; what a link led to stays as it is.
            (false, Some(_)) => fs::remove_file(&at)?,
            _ => {}
        }
    }
    fs::write(at, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(path.to_string(), "new".to_string())])
    }

    #[test]
    fn files_win_over_the_artifact_and_go_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (work, outside) = (folder.path().join("work"), folder.path().join("outside"));
        fs::create_dir_all(work.join("conf")).unwrap();
        fs::write(work.join("conf/a"), "old").unwrap();
        fs::write(&outside, "theirs").unwrap();
        std::os::unix::fs::symlink(&outside, work.join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), work.join("up")).unwrap();
        for path in ["conf/a", "deep/er/b", "link"] {
            write(&files(path), &work).unwrap();
            assert_eq!(fs::read_to_string(work.join(path)).unwrap(), "new", "{path}");
        }
        assert_eq!(fs::read_to_string(&outside).unwrap(), "theirs");
        for path in ["up/stolen", "conf", "conf/a/b"] {
            assert!(matches!(write(&files(path), &work), Err(TargetError::Hopeless(_))), "{path}");
        }
        assert!(!folder.path().join("stolen").exists());
    }
}
