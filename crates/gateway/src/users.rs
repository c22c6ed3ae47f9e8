//! Which users an epoch has met already, so that each is counted once as a draw of the split.
//!
//! Bounded: the first few thousand are enough to see whether the split is kept, and those beyond are not looked at.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Mutex, PoisonError};

use slipway_core::traffic::link::USERS_KEPT;

/// The first users of an epoch.
#[derive(Debug, Default)]
pub(crate) struct Users {
    keys: Mutex<HashSet<u64>>,
    full: AtomicBool,
}

impl Users {
    /// Whether the epoch meets the user with this hash for the first time. Always `false` once it has met enough.
    pub(crate) fn is_new(&self, key: u64) -> bool {
        if self.full.load(Relaxed) {
            return false;
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if self.full.load(Relaxed) || !keys.insert(key) {
            return false;
        }
        if keys.len() >= USERS_KEPT {
            self.full.store(true, Relaxed);
            *keys = HashSet::new();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_is_new_once_and_after_enough_nobody_is() {
        let users = Users::default();
        assert!(users.is_new(1) && !users.is_new(1) && users.is_new(2));
        let more = (3..10_000).filter(|key| users.is_new(*key)).count();
        assert_eq!(more + 2, USERS_KEPT);
        assert!(!users.is_new(1), "nor is one who was met before");
    }
}
