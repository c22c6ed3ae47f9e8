//! How long somebody who cannot be told is tried again.

use crate::units::{Millis, Timestamp};

/// From one failed attempt to the next, at the most.
const LONGEST: Millis = Millis::from_secs(300);
/// How old an event may become before it is left out.
const GIVE_UP: Millis = Millis::from_secs(24 * 3600);
/// Attempts that every event gets, however old it is.
const FEWEST: u64 = 5;

/// How long to wait after so many failed attempts in a row: half a second, doubled each time, up to five minutes.
pub fn again_after(attempts: u64) -> Millis {
    Millis((500_u64 << attempts.saturating_sub(1).min(16)).min(LONGEST.0))
}

/// Whether an event of `at` that was tried so often is left out, so that what comes after it is told.
pub fn given_up(at: Timestamp, attempts: u64, now: Timestamp) -> bool {
    attempts >= FEWEST && now.since(at) > GIVE_UP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_less_and_less_often_and_not_for_ever() {
        let waits: Vec<u64> = [1, 2, 3, 10, 11, 1_000].map(|n| again_after(n).0).to_vec();
        assert_eq!(waits, [500, 1_000, 2_000, 256_000, 300_000, 300_000]);
        let (day, now) = (24 * 3_600_000, Timestamp(1_800_000_000_000));
        assert!(!given_up(Timestamp(now.0 - day), 500, now));
        assert!(given_up(Timestamp(now.0 - day - 1), 5, now));
        assert!(!given_up(Timestamp(now.0 - 30 * day), 4, now), "after a long absence it is tried all the same");
    }
}
