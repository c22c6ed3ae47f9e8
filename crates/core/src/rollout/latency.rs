//! One version's latency over the last minutes, kept as a histogram that forgets. Gateways report cumulative
//! histograms by stretch of evidence; what is new in each is added, and taken away again when it is too old.
//! Part of the book.

use std::collections::{BTreeMap, VecDeque};

use crate::traffic::Epoch;
use crate::units::{Millis, Timestamp};

/// What is forgotten at once.
const PIECE: Millis = Millis::from_secs(10);

type Buckets = BTreeMap<u64, u64>;

/// A histogram that forgets.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// All pieces together.
    pub(super) sum: Buckets,
    /// Each a list, since that takes the least room and there are many.
    pieces: VecDeque<(Timestamp, Vec<(u64, u64)>)>,
    /// As each stretch was last reported.
    told: BTreeMap<Epoch, Buckets>,
}

impl Latency {
    /// Takes in a cumulative histogram. What it held before anybody looked (not `lately`) belongs to no time.
    pub(super) fn take(&mut self, epoch: Epoch, cumulative: &[(u64, u64)], lately: bool, now: Timestamp) {
        let known = self.told.contains_key(&epoch);
        let told = self.told.entry(epoch).or_default();
        for (upper, count) in cumulative {
            let before = told.insert(*upper, *count).unwrap_or_default();
            let new = count.saturating_sub(before);
            if new == 0 || !(known || lately) {
                continue;
            }
            if self.pieces.back().is_none_or(|(at, _)| now.since(*at) >= PIECE) {
                self.pieces.push_back((now, Vec::new()));
            }
            if let Some((_, piece)) = self.pieces.back_mut() {
                match piece.iter_mut().find(|(known, _)| known == upper) {
                    Some((_, count)) => *count += new,
                    None => piece.push((*upper, new)),
                }
                *self.sum.entry(*upper).or_default() += new;
            }
        }
    }

    /// Forgets what is older than `kept`, and stretches that are `known` no more. Whether anything is left.
    pub(super) fn forget(&mut self, now: Timestamp, kept: Millis, known: impl Fn(Epoch) -> bool) -> bool {
        while let Some((_, piece)) = self.pieces.pop_front_if(|(at, _)| now.since(*at) > kept) {
            for (upper, count) in piece {
                if let Some(sum) = self.sum.get_mut(&upper) {
                    *sum -= count;
                }
            }
            self.sum.retain(|_, count| *count > 0);
        }
        self.told.retain(|epoch, _| known(*epoch));
        !self.told.is_empty() || !self.pieces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_histograms_are_added_once_and_forgotten_in_time() {
        let mut latency = Latency::default();
        let known = |_| true;
        latency.take(Epoch(1), &[(10, 5)], false, Timestamp(1_000));
        assert!(latency.sum.is_empty(), "from before anybody looked");
        latency.take(Epoch(1), &[(10, 7), (20, 1)], true, Timestamp(2_000));
        latency.take(Epoch(1), &[(10, 7), (20, 1)], true, Timestamp(3_000));
        latency.take(Epoch(2), &[(20, 4)], true, Timestamp(30_000));
        assert_eq!(latency.sum, Buckets::from([(10, 2), (20, 5)]));
        assert!(latency.forget(Timestamp(65_000), Millis::from_secs(60), known));
        assert_eq!(latency.sum, Buckets::from([(20, 4)]));
        assert!(!latency.forget(Timestamp(200_000), Millis::from_secs(60), |_| false));
        assert!(latency.sum.is_empty());
    }
}
