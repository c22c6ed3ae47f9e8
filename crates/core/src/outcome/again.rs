//! What has been taken already, and how much may still be: the two bounds on the ledger's memory.

use std::collections::HashSet;

use super::OLDEST;
use crate::units::{Millis, Timestamp};

/// Outcomes per second that are taken in the long run: with two [`OLDEST`] of ids, at most some 60 MiB of memory.
const RATE: f64 = 5_000.0;
/// Outcomes that are taken at once.
const BURST: f64 = 20_000.0;

/// Ids of outcomes, remembered for [`OLDEST`] at least and twice that at most.
#[derive(Debug, Default)]
pub(super) struct Ids {
    now: HashSet<u64>,
    before: HashSet<u64>,
    since: Timestamp,
}

impl Ids {
    /// Forgets what is old enough.
    pub fn turn(&mut self, now: Timestamp) {
        if now.since(self.since) >= OLDEST {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
    }

    /// Whether this one was taken.
    pub fn has(&self, id: u64) -> bool {
        self.now.contains(&id) || self.before.contains(&id)
    }

    /// It is taken.
    pub fn insert(&mut self, id: u64) {
        self.now.insert(id);
    }
}

/// How much may be taken.
#[derive(Debug)]
pub(super) struct Allowance {
    left: f64,
    at: Timestamp,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance { left: BURST, at: Timestamp(0) }
    }
}

impl Allowance {
    /// Takes `n`, or says how long to wait.
    pub fn take(&mut self, n: usize, now: Timestamp) -> Result<(), Millis> {
        let seconds = now.since(self.at).0 as f64 / 1000.0;
        self.left = (self.left + seconds * RATE).min(BURST);
        self.at = now;
        let missing = n as f64 - self.left;
        if missing > 0.0 {
            return Err(Millis((missing / RATE * 1000.0).ceil() as u64));
        }
        self.left -= n as f64;
        Ok(())
    }
}
