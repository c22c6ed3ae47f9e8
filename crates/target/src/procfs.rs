//! What `/proc` says of processes. Reads only; a process that is gone is an absence, never an error.
//! Called by the shim to find what its program left behind, and by the process target to recognise a program again.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number, as long as the machine is not restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start: u64,
}

impl ProcessId {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<ProcessId> {
        Stat::of(pid).map(|stat| ProcessId { pid, start: stat.start })
    }

    /// Whether it still runs; one that only waits to be reaped does not.
    pub(crate) fn runs(self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.start == self.start && !stat.is_dead())
    }

    /// Sends it a signal; never to a later process with its number. One that is gone needs none.
    pub(crate) fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
            && self.runs()
        {
            // Fails only where the process ended in this moment, or is no longer ours to signal.
            let _ = pidfd_send_signal(&fd, signal);
        }
    }
}

/// The few fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) start: u64,
}

impl Stat {
    pub(crate) fn of(pid: u32) -> Option<Stat> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Ended, and waits to be reaped.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    pub(crate) fn id(&self) -> ProcessId {
        ProcessId { pid: self.pid, start: self.start }
    }
}

/// The program's name is in brackets and may itself hold brackets and spaces: fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    let id = |i: usize| u32::try_from(number(i)?).ok();
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: id(1)?,
        group: id(2)?,
        session: id(3)?,
        start: number(19)?,
    })
}

/// Every process there is.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| Stat::of(e.file_name().to_str()?.parse().ok()?)).collect()
}

/// Those of `all` that descend from `ancestor`, itself left out.
pub(crate) fn descendants(all: &[Stat], ancestor: u32) -> Vec<Stat> {
    let mut children: HashMap<u32, Vec<&Stat>> = HashMap::new();
    for stat in all {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            found.push(*child);
        }
    }
    found
}

/// The value of a variable in the environment that a process was started with.
pub(crate) fn variable(pid: u32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environ.split(|b| *b == 0).find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// A process's working folder.
pub(crate) fn folder(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The inodes of the sockets that a process holds open, each with the descriptor's path.
pub(crate) fn sockets(pid: u32) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.flatten().filter_map(|e| Some((socket_inode(&e.path())?, e.path()))).collect()
}

/// The inode of the socket that a descriptor's path leads to.
pub(crate) fn socket_inode(descriptor: &Path) -> Option<u64> {
    fs::read_link(descriptor).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Differs after each start of the machine; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_move_the_fields() {
        let text = "42 (a) b (c) S 7 41 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat, Stat { pid: 42, state: b'S', parent: 7, group: 41, session: 40, start: 123456 });
        assert_eq!(parse_stat("42 (cut"), None);
        assert_eq!(parse_stat("42 (cut) S 7"), None);
    }

    #[test]
    fn this_process_runs_and_one_with_another_start_time_does_not() {
        let me = ProcessId::of(std::process::id()).unwrap();
        assert!(me.runs());
        assert!(!ProcessId { start: me.start + 1, ..me }.runs());
    }

    #[test]
    fn descendants_are_found_through_generations() {
        let stat = |pid, parent| Stat { pid, state: b'S', parent, group: 1, session: 1, start: 1 };
        let all = [stat(2, 1), stat(3, 2), stat(4, 3), stat(5, 1), stat(6, 5)];
        let mut pids: Vec<u32> = descendants(&all, 2).iter().map(|s| s.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [3, 4]);
    }
}
