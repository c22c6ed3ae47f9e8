//! Where an instance that asks for a socket gets it: one for each start, in a folder that nobody else may enter. A later
//! start has another path, as it would have another port, so nobody who means the one reaches the other.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::getuid;
use slipway_core::address::{Address, SOCKET_PATH_LIMIT};

/// `/` and the number of a start.
const NUMBER: usize = 11;

/// The folder for the sockets of the instance in `instance`: in there, or where such a path would be too long for a
/// socket, under `/tmp` by a name of its own.
pub(crate) fn folder(instance: &Path, token: &str) -> PathBuf {
    let near = instance.join("sockets");
    let fits = near.to_str().is_some_and(|path| path.len() + NUMBER <= SOCKET_PATH_LIMIT);
    let name = token.get(..16).unwrap_or(token);
    if fits { near } else { Path::new("/tmp").join(format!("slipway-{name}")) }
}

/// Makes the folder where it is missing and clears away what earlier starts left; where this start is to listen.
pub(crate) fn prepare(folder: &Path, incarnation: u32) -> Result<Address, String> {
    let failed = |e: io::Error| format!("cannot prepare {} for a socket: {e}", folder.display());
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let is = fs::symlink_metadata(folder).map_err(failed)?;
    if !is.is_dir() || is.uid() != getuid().as_raw() || is.mode() & 0o077 != 0 {
        return Err(format!("{} is not a folder of this user's alone: remove it", folder.display()));
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    let path = folder.join(incarnation.to_string());
    Address::unix(&path.to_string_lossy()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_path_is_short_enough_wherever_the_instance_lies() {
        let token = "0123456789abcdef0123456789abcdef";
        assert_eq!(folder(Path::new("/data/instances/shop-1"), token), Path::new("/data/instances/shop-1/sockets"));
        let deep = PathBuf::from(format!("/{}", "deep/".repeat(30)));
        assert_eq!(folder(&deep, token), Path::new("/tmp/slipway-0123456789abcdef"));
        for length in 1..200 {
            let instance = PathBuf::from(format!("/{}", "x".repeat(length)));
            let socket = folder(&instance, token).join(u32::MAX.to_string());
            assert!(Address::unix(socket.to_str().unwrap()).is_ok(), "{length}");
        }
    }

    #[test]
    fn a_start_finds_nothing_of_the_one_before() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("sockets");
        let first = prepare(&folder, 1).unwrap();
        drop(UnixListener::bind(first.socket().unwrap()).unwrap());
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let second = prepare(&folder, 2).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        UnixListener::bind(second.socket().unwrap()).unwrap();
    }

    #[test]
    fn a_folder_of_somebody_elses_is_not_used() {
        let data = tempfile::tempdir().unwrap();
        let open = data.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let link = data.path().join("link");
        symlink(data.path().join("elsewhere"), &link).unwrap();
        for folder in [open, link] {
            let why = prepare(&folder, 1).unwrap_err();
            assert!(why.ends_with("is not a folder of this user's alone: remove it"), "{why}");
        }
    }
}
