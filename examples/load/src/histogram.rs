//! A log-linear histogram of microseconds: 32 buckets for each doubling, so that a quantile is right within 3.2%.

use std::time::Duration;

use crate::report::Latency;

const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;

/// Latencies, by bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    n: u64,
    max_us: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let at = bucket(us);
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += 1;
        self.n += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn summary(&self) -> Latency {
        let ms = |q| self.quantile_us(q) as f64 / 1000.0;
        Latency {
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: self.max_us as f64 / 1000.0,
        }
    }

    /// An upper bound of the `q` quantile that is at most one bucket too high; 0 where nothing was recorded.
    fn quantile_us(&self, q: f64) -> u64 {
        let rank = ((self.n as f64 * q).ceil() as u64).clamp(1, self.n.max(1));
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(at).min(self.max_us);
            }
        }
        0
    }
}

fn bucket(us: u64) -> usize {
    if us < SUB {
        return us as usize;
    }
    let exponent = 63 - us.leading_zeros();
    let shift = exponent - SUB_BITS;
    (((u64::from(shift) + 1) << SUB_BITS) + ((us >> shift) - SUB)) as usize
}

/// The largest value that falls into a bucket.
fn upper(at: usize) -> u64 {
    let at = at as u64;
    if at < SUB {
        return at;
    }
    let shift = (at >> SUB_BITS) - 1;
    let next = u128::from(SUB + (at & (SUB - 1)) + 1) << shift;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for us in (0..2000).chain([4095, 4096, 1_000_000, u64::MAX / 3, u64::MAX]) {
            let at = bucket(us);
            assert!(upper(at) >= us && (at == 0 || upper(at - 1) < us), "{us}");
            assert!(upper(at) as f64 <= us as f64 * 1.032, "{us}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.summary().p99_ms, 0.0);
        (1..=1000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        let summary = histogram.summary();
        for (found, wanted) in
            [(summary.p50_ms, 500.0), (summary.p90_ms, 900.0), (summary.p99_ms, 990.0), (summary.max_ms, 1000.0)]
        {
            assert!(found >= wanted && found <= wanted * 1.032, "{found} for {wanted}");
        }
    }
}
