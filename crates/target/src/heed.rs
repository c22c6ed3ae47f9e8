//! Signals that this process was started with as ignored, as a shell does to what it starts in the background. Whatever it
//! starts would ignore them too, and many programs cannot undo that: an instance would never hear that it is to stop.

use slipway_core::spec::StopSignal;
use tokio::signal::unix::{SignalKind, signal};

use crate::shim;

/// Has what is started from now on hear `declared`, by catching it here, where it goes on to have no effect. Must be called
/// within a runtime.
pub(crate) fn heed(declared: StopSignal) {
    let number = shim::signal(declared).as_raw();
    if !ignored(number) {
        return;
    }
    if let Err(error) = signal(SignalKind::from_raw(number)) {
        tracing::warn!(%error, number, "a signal that is ignored stays so for instances");
    }
}

fn ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & (1 << (number - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rust_ignores_from_the_start_is_seen() {
        // SIGPIPE, by the standard library; nobody ignores SIGTERM or SIGCHLD here.
        assert_eq!([13, 15, 17].map(ignored), [true, false, false]);
    }
}
