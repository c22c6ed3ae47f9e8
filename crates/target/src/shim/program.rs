//! Starting the program: the port it gets, the file that is run, its environment. Keeps no state.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slipway_core::address::Address;

use crate::folder::{Folder, Launch};

/// How often a program file that somebody still has open for writing is tried.
const BUSY_TRIES: u32 = 100;
/// From one such try to the next.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Starts the program of `launch` at `address` and returns its process id, which is also its process group.
/// The error is a sentence for people.
pub(super) fn start(folder: &Folder, launch: &Launch, address: &Address) -> Result<u32, String> {
    let command = launch.command(address);
    let (name, arguments) = command.split_first().ok_or("the command is empty")?;
    let env = launch.environment(address);
    let file = resolve(name, &folder.work(), env.get("PATH").map_or("", String::as_str))?;
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => format!("cannot start {name}: the interpreter or loader that it names is not there"),
        _ => format!("cannot start {name}: {e}"),
    };
    // A description of its own: the program may make it non-blocking, and the shim's must not become blocking.
    let output = File::options().read(true).write(true).open(folder.output()).map_err(failed)?;
    let mut program = Command::new(file);
    program
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(env)
        .current_dir(folder.work())
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(output.try_clone().map_err(failed)?)
        .stdout(output);
    let mut tries = 0;
    loop {
        match program.spawn() {
            // Whoever unpacked the file may have been starting another process at that moment, which then held the
            // file open for writing until its own start was over.
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            spawned => return spawned.map(|child| child.id()).map_err(failed),
        }
    }
}

/// The file that a command's first word means: below the working folder where it holds a `/`, on the path where not.
pub(crate) fn resolve(name: &str, work: &Path, path: &str) -> Result<PathBuf, String> {
    if name.is_empty() {
        return Err("the command is empty".to_string());
    }
    if name.contains('/') {
        let file = work.join(name);
        let place = if name.starts_with('/') { "" } else { " in the artifact" };
        return match fs::metadata(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(format!("command {name} not found{place}")),
            Err(e) => Err(format!("command {name} cannot be used: {e}")),
            Ok(meta) if meta.is_dir() => Err(format!("command {name} is a folder{place}")),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("command {name} is not executable{place}: chmod +x it before it is packed"))
            }
            Ok(_) => Ok(file),
        };
    }
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|file| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
        .ok_or_else(|| {
            let hint = if work.join(name).is_file() {
                format!(": write ./{name} for the artifact's own")
            } else {
                String::new()
            };
            format!("command {name} not found on the path {path}{hint}")
        })
}

/// A port that nothing uses now, other than `last`: below those that the kernel hands out to outgoing connections,
/// so that nobody takes it in the time until the program binds it.
pub(super) fn free_port(last: Option<u16>) -> Result<u16, String> {
    let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32768);
    let top = if ephemeral > 12_000 { ephemeral } else { u16::MAX };
    (0..200)
        .map(|_| rand::random_range(10_000..top))
        .filter(|port| Some(*port) != last)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| format!("no free port between 10000 and {top}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_start_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path();
        fs::write(work.join("plain"), "x").unwrap();
        fs::create_dir(work.join("dir")).unwrap();
        for (name, why) in [
            ("", "the command is empty"),
            ("./nope", "command ./nope not found in the artifact"),
            ("./plain", "command ./plain is not executable in the artifact: chmod +x it before it is packed"),
            ("./dir", "command ./dir is a folder in the artifact"),
            ("/nope", "command /nope not found"),
            ("plain", "command plain not found on the path /bin: write ./plain for the artifact's own"),
        ] {
            assert_eq!(resolve(name, work, "/bin").unwrap_err(), why);
        }
        assert_eq!(resolve("sh", work, "rel:/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn the_next_port_is_another_one_and_free() {
        let port = free_port(None).unwrap();
        let held = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        for _ in 0..100 {
            assert_ne!(free_port(None).unwrap(), port);
        }
        drop(held);
    }
}
