//! One objective's events, with the cap for each user.

use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Mutex, PoisonError};

use slipway_core::judge::UserCap;
use slipway_core::traffic::link::ObjectiveCount;
use slipway_core::traffic::{Counted, CountedBad};

/// One objective's events under the cap.
#[derive(Debug)]
pub(crate) struct Tally {
    name: String,
    /// What makes an event bad.
    pub(crate) bad: CountedBad,
    /// Events, bad ones and distinct bad keys, changed and read together.
    numbers: Mutex<(u64, u64, u64)>,
    cap: Mutex<UserCap>,
    /// Whether any key had a bad event: until then none can be over the cap.
    any_bad: AtomicBool,
}

impl Tally {
    /// Nothing has happened.
    pub(crate) fn new(counted: &Counted) -> Tally {
        Tally {
            name: counted.name.clone(),
            bad: counted.bad,
            numbers: Mutex::default(),
            cap: Mutex::default(),
            any_bad: AtomicBool::new(false),
        }
    }

    /// Something happened to the user `key`.
    pub(crate) fn event(&self, key: u64, bad: bool) {
        if bad {
            self.any_bad.store(true, Release);
        }
        let mut bad_keys = None;
        if self.any_bad.load(Acquire) {
            let mut cap = self.cap.lock().unwrap_or_else(PoisonError::into_inner);
            if !cap.record(key, bad) {
                return;
            }
            bad_keys = Some(cap.bad_keys());
        }
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.0 += 1;
        numbers.1 += u64::from(bad);
        numbers.2 = numbers.2.max(bad_keys.unwrap_or_default());
    }

    /// The numbers as they are told to the control plane.
    pub(crate) fn count(&self) -> ObjectiveCount {
        let (n, bad, bad_keys) = *self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        ObjectiveCount { name: self.name.clone(), n, bad, bad_keys }
    }
}
