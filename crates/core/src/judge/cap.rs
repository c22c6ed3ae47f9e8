//! The per-user cap: one user who retries a hundred times is one unhappy user. The gateway counts through this, for
//! each objective and version and epoch; simulations do too. Holds no counts of its own but what the cap needs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Bad events after which a key counts no more.
const ENOUGH: u8 = 3;
/// Keys remembered unless told otherwise: about 2 MiB at most.
const DEFAULT_LIMIT: usize = 1 << 16;

/// Decides which events count: a key's count, good and bad, until its third bad one, and then not at all. That depends
/// on the past alone, never on the event itself, so sequential tests on what counts stay valid.
///
/// Only keys that had a bad event are remembered, up to a limit. Past it the events of further keys count without a
/// cap: by then so many users have been hurt that no verdict hangs on one of them. The keys that are remembered stay
/// capped.
#[derive(Debug, Clone)]
pub struct UserCap {
    bad: HashMap<u64, u8>,
    limit: usize,
}

impl Default for UserCap {
    fn default() -> Self {
        UserCap::with_limit(DEFAULT_LIMIT)
    }
}

impl UserCap {
    /// A cap that remembers at most `limit` keys.
    pub fn with_limit(limit: usize) -> UserCap {
        UserCap { bad: HashMap::new(), limit }
    }

    /// Takes note of an event of the key with this hash; whether it counts.
    pub fn record(&mut self, key_hash: u64, bad: bool) -> bool {
        if !bad {
            return self.bad.get(&key_hash).is_none_or(|seen| *seen < ENOUGH);
        }
        let room = self.bad.len() < self.limit;
        match self.bad.entry(key_hash) {
            Entry::Occupied(mut seen) if *seen.get() < ENOUGH => {
                *seen.get_mut() += 1;
                true
            }
            Entry::Occupied(_) => false,
            Entry::Vacant(new) => {
                if room {
                    new.insert(1);
                }
                true
            }
        }
    }

    /// Distinct keys with a bad event; at the limit, at least so many.
    pub fn bad_keys(&self) -> u64 {
        self.bad.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_until_its_third_bad_event_and_then_not_at_all() {
        let mut cap = UserCap::default();
        let events = [false, true, true, false, true, true, false];
        let counted: Vec<bool> = events.iter().map(|bad| cap.record(7, *bad)).collect();
        assert_eq!(counted, [true, true, true, true, true, false, false]);
        assert!(cap.record(8, true), "others are not touched");
        assert_eq!(cap.bad_keys(), 2);
    }

    #[test]
    fn past_the_limit_new_keys_count_and_known_keys_stay_capped() {
        let mut cap = UserCap::with_limit(2);
        for key in [1, 1, 1, 2] {
            assert!(cap.record(key, true));
        }
        for _ in 0..10 {
            assert!(cap.record(3, true));
        }
        assert!(!cap.record(1, true) && !cap.record(1, false));
        assert_eq!(cap.bad_keys(), 2);
    }
}
