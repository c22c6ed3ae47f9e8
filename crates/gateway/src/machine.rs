//! Where this process runs, and whether another one of the same machine still does.

use std::fs;

use slipway_core::traffic::link::Machine;

/// Where this process runs.
pub(crate) fn here() -> Machine {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    Machine(format!("{} {}", boot.trim(), space.display()))
}

/// Whether a process of this machine runs. One that has ended but was not waited for yet does not.
pub(crate) fn runs(pid: u32) -> bool {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
        && let Some((_, after_name)) = stat.rsplit_once(')')
    {
        return !matches!(after_name.trim_start().chars().next(), Some('Z' | 'X'));
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}
