//! Raw connections to one instance that wait for the next request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fast::link::Raw;
use crate::upstream::IDLE_CONNECTIONS;

/// Idle connections, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Raw>>);

impl Pool {
    /// One that had been idle for at most `fresh_enough` at `now`, and for how long; none, where that is zero, since only a
    /// new one will do then.
    pub(crate) fn take(&self, fresh_enough: Duration, now: Instant) -> Option<(Raw, Duration)> {
        if fresh_enough.is_zero() {
            return None;
        }
        let mut idle = self.lock();
        loop {
            let idle_for = now.saturating_duration_since(idle.last()?.since);
            if idle_for > fresh_enough {
                return None;
            }
            let raw = idle.pop()?;
            if raw.is_usable() {
                return Some((raw, idle_for));
            }
        }
    }

    /// Takes one back whose request and response are complete.
    pub(crate) fn put(&self, raw: Raw) {
        let mut idle = self.lock();
        if idle.len() < IDLE_CONNECTIONS && !raw.connection.is_cut_off() {
            idle.push(raw);
        }
    }

    /// Closes those that were idle for longer than `limit`, or have ended.
    pub(crate) fn close_idle(&self, limit: Duration) {
        self.lock().retain(|raw| raw.since.elapsed() < limit && raw.is_usable());
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Raw>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
