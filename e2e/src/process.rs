//! Processes by what they belong to, and signals by process id. Nothing here touches a process by its name alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit};

pub use rustix::process::Signal;

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line, with spaces between arguments.
    pub command: String,
}

/// Every process that works in `folder` or below, or was started with a path in it as an argument.
pub fn belonging_to(folder: &Path) -> Vec<Process> {
    let folders = [folder.to_path_buf(), folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf())];
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = pids.filter(|pid| *pid != std::process::id());
    others.filter_map(look).filter(|(cwd, process)| belongs(cwd, &process.command, &folders)).map(|(_, p)| p).collect()
}

/// Whether `pid` runs; one that has ended but was not waited for does not.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    kill_process(id(pid)?, signal).with_context(|| format!("cannot signal process {pid}"))
}

/// From now on `pid` can write no byte to any file, as on a full disk; or it can again. A write fails in place of
/// ending the process only where it was started with SIGXFSZ ignored.
pub fn full_disk(pid: u32, full: bool) -> anyhow::Result<()> {
    let before = getrlimit(Resource::Fsize);
    let limit = Rlimit { current: if full { Some(0) } else { before.current }, maximum: before.maximum };
    prlimit(Some(id(pid)?), Resource::Fsize, limit).with_context(|| format!("cannot limit process {pid}"))?;
    Ok(())
}

fn id(pid: u32) -> anyhow::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("{pid} is no process id"))
}

fn look(pid: u32) -> Option<(PathBuf, Process)> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    if !runs(pid) {
        return None;
    }
    let command = String::from_utf8_lossy(&arguments).trim_end_matches('\0').replace('\0', " ");
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    Some((cwd, Process { pid, command }))
}

fn belongs(cwd: &Path, command: &str, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| cwd.starts_with(folder) || command.contains(&*folder.to_string_lossy()))
}
