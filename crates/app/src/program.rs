//! Where this program was started from, for starting it again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The path by which this program was started, links and all: what lies there later is what whoever put it there wants to
/// have run. Has to be asked at the start, since a program that is replaced knows no more where it was.
pub(crate) fn own() -> Result<PathBuf> {
    let resolved = std::env::current_exe().context("this program cannot be found again")?;
    let word = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    Ok(named(&word, std::env::split_paths(&paths), &resolved).unwrap_or(resolved))
}

/// What `word` means as a command, if that is the program which is `resolved`.
fn named(word: &Path, paths: impl Iterator<Item = PathBuf>, resolved: &Path) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| path.canonicalize().is_ok_and(|is| is == resolved);
    if word.components().count() > 1 || word.is_absolute() {
        return std::path::absolute(word).ok().filter(is_it);
    }
    paths.filter(|path| path.is_absolute()).map(|path| path.join(word)).find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_where_it_leads_to_this_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("it is there");
        let (one, link) = (folder.join("slipway-1"), folder.join("slipway"));
        std::fs::write(&one, "").expect("a file");
        std::os::unix::fs::symlink(&one, &link).expect("a link");
        let found = |word: &Path, resolved: &Path| named(word, [folder.clone()].into_iter(), resolved);
        assert_eq!(found(&link, &one), Some(link.clone()));
        assert_eq!(found(Path::new("slipway"), &one), Some(link));
        assert_eq!(found(&one, &one), Some(one.clone()));
        assert_eq!(found(Path::new("other"), &one), None);
        assert_eq!(found(&folder.join("slipway"), &folder.join("slipway-2")), None, "another program by now");
    }
}
