//! Beginnings that wait for their end: `missing checkout_completed within 30s` after `checkout_started`.
//!
//! A beginning is judged when its time is over, good or bad: were the good ones counted as they end, a version that
//! loses everything would look well until the first time runs out. And its time is over only when whoever reports was
//! heard with something later: while nobody is heard nothing is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Refused;
use crate::units::{Millis, Timestamp};

/// How much later than their time reports may arrive, one after the other.
const LATE: Millis = Millis::from_secs(2);
/// Beginnings, and ends without one, that are remembered for one objective of one version.
const MOST: usize = 100_000;

/// Beginnings and ends, by what they are about.
#[derive(Debug, Default)]
pub(super) struct Waits {
    open: BTreeMap<(Timestamp, u64), Wait>,
    begun: HashMap<u64, Timestamp>,
    /// Ends whose beginning has not been heard of.
    early: HashMap<u64, Timestamp>,
    early_by_time: BTreeSet<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Wait {
    key: u64,
    ended: bool,
}

impl Waits {
    /// It began. One of the same subject that waits already is the same one.
    pub fn begin(&mut self, subject: u64, key: u64, at: Timestamp, within: Millis) -> Result<(), Refused> {
        if self.begun.contains_key(&subject) {
            return Ok(());
        }
        if self.open.len() >= MOST {
            return Err(Refused::Full);
        }
        let early = self.early.remove(&subject);
        if let Some(end) = early {
            self.early_by_time.remove(&(end, subject));
        }
        let ended = early.is_some_and(|end| end >= at && end <= at.plus(within));
        self.begun.insert(subject, at);
        self.open.insert((at, subject), Wait { key, ended });
        Ok(())
    }

    /// It ended as it should.
    pub fn end(&mut self, subject: u64, at: Timestamp, within: Millis) -> Result<(), Refused> {
        match self.begun.get(&subject) {
            Some(begun) if at <= begun.plus(within) => {
                if let Some(wait) = self.open.get_mut(&(*begun, subject)) {
                    wait.ended = true;
                }
            }
            Some(_) => {}
            None if self.early.len() >= MOST => return Err(Refused::Full),
            None => {
                if let Some(before) = self.early.insert(subject, at) {
                    self.early_by_time.remove(&(before, subject));
                }
                self.early_by_time.insert((at, subject));
            }
        }
        Ok(())
    }

    /// Those whose time is over by what was heard: the user and whether the end is missing, in the order they began.
    pub fn over(&mut self, heard: Timestamp, within: Millis) -> Vec<(u64, bool)> {
        let mut over = Vec::new();
        while let Some(first) = self.open.first_entry() {
            let (at, subject) = *first.key();
            if at.plus(within).plus(LATE) > heard {
                break;
            }
            let wait = first.remove();
            self.begun.remove(&subject);
            over.push((wait.key, !wait.ended));
        }
        while let Some((at, subject)) = self.early_by_time.first().copied()
            && at.plus(within).plus(LATE) <= heard
        {
            self.early_by_time.pop_first();
            self.early.remove(&subject);
        }
        over
    }
}
