//! A log-linear histogram of microseconds that many threads may add to: sixteen buckets for each doubling, so a
//! bucket's bounds differ by at most 6.25%. Two histograms are added up by adding buckets with equal upper bounds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Sixteen buckets for each doubling.
const SUB_BITS: u32 = 4;
const SUB: u64 = 1 << SUB_BITS;
/// Longer than 2^32 µs (71 minutes) falls into the last bucket.
const DOUBLINGS: u32 = 32;
const BUCKETS: usize = ((DOUBLINGS - SUB_BITS + 1) as usize) << SUB_BITS;

/// Counts of latencies. Takes room from the first on: most versions of very many get no request for long.
#[derive(Debug, Default)]
pub(crate) struct Histogram(OnceLock<Box<[AtomicU64]>>);

impl Histogram {
    /// Adds one latency in microseconds.
    pub(crate) fn record(&self, us: u64) {
        let buckets = self.0.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        buckets[bucket(us)].fetch_add(1, Relaxed);
    }

    /// The buckets that hold something: inclusive upper bound in microseconds, and count.
    pub(crate) fn sparse(&self) -> Vec<(u64, u64)> {
        let counts = self.0.get().into_iter().flatten().enumerate().map(|(i, count)| (upper(i), count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((1 << DOUBLINGS) - 1);
    if us < SUB {
        return us as usize;
    }
    let exponent = 63 - us.leading_zeros();
    let sub = (us >> (exponent - SUB_BITS)) & (SUB - 1);
    ((u64::from(exponent - SUB_BITS + 1) << SUB_BITS) + sub) as usize
}

/// The largest value that falls into bucket `index`.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let shift = (index >> SUB_BITS) - 1;
    ((SUB + (index & (SUB - 1)) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_whose_bounds_hold_it() {
        for us in (0..5_000).chain((0..32).flat_map(|e| [(1u64 << e) - 1, 1 << e, (1 << e) + 1])) {
            let index = bucket(us);
            assert!(us <= upper(index), "{us}");
            assert!(index == 0 || us > upper(index - 1), "{us}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(upper(BUCKETS - 1), (1 << DOUBLINGS) - 1);
    }

    #[test]
    fn only_buckets_that_hold_something_are_told() {
        let histogram = Histogram::default();
        histogram.record(3);
        histogram.record(3);
        histogram.record(1000);
        assert_eq!(histogram.sparse(), [(3, 2), (1023, 1)]);
    }
}
