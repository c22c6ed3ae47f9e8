//! Kayenta's Mann-Whitney judge at the settings that Spinnaker suggests.
//!
//! By its documentation (spinnaker.io, "How canary judgment works" and "Best practices for configuring canary", and the
//! classifier that they describe): canary and baseline are of equal size, are deployed at the same time and get the
//! same traffic, here 5% each; a lifetime of three hours with a judgement every hour, on one point a minute since the
//! beginning, which makes the 50 points that are asked for. A metric is High if the lower end of the 98% confidence
//! interval of the shift between both lies above a quarter of its Hodges-Lehmann estimate; a metric without data on
//! either side, or with equal data, is not. The score is the share of metrics that pass: below 75 (marginal) the
//! canary is given up at once, and in the end it needs 95. Of two metrics one that is High gives 50.
//!
//! The interval is that of the classic order statistics of all differences, with the normal approximation for their
//! ranks, which R's `wilcox.test` (the classifier's origin) finds by root search; its correction for ties is left out.

use slipway_core::units::Millis;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{Course, Exposure, Next, OBJECTIVES, Seen};

const POINT: Millis = Millis::from_secs(60);
const POINTS_PER_RUN: usize = 60;
const RUNS: usize = 3;
const SHARE: f64 = 0.05;
const CONFIDENCE: f64 = 0.98;
/// The part of the estimate within which a shift does not matter.
const TOLERANCE: f64 = 0.25;
const MARGINAL: f64 = 75.0;
const PASS: f64 = 95.0;

/// One canary analysis.
#[derive(Debug, Clone, Default)]
pub struct Kayenta {
    canary: [Vec<f64>; OBJECTIVES],
    baseline: [Vec<f64>; OBJECTIVES],
    points: usize,
}

impl Course for Kayenta {
    fn exposure(&self) -> Exposure {
        Exposure { candidate: SHARE, baseline: SHARE }
    }

    fn interval(&self) -> Millis {
        POINT
    }

    fn look(&mut self, seen: &Seen) -> Next {
        for objective in 0..OBJECTIVES {
            self.canary[objective].extend(seen.candidate.rate(objective));
            self.baseline[objective].extend(seen.baseline.rate(objective));
        }
        self.points += 1;
        if !self.points.is_multiple_of(POINTS_PER_RUN) {
            return Next::GoOn;
        }
        let high = |objective: &usize| is_high(&self.canary[*objective], &self.baseline[*objective]);
        let passed = (0..OBJECTIVES).filter(|objective| !high(objective)).count();
        let score = 100.0 * passed as f64 / OBJECTIVES as f64;
        let last = self.points == POINTS_PER_RUN * RUNS;
        match last {
            true if score >= PASS => Next::Finished,
            false if score >= MARGINAL => Next::GoOn,
            _ => Next::RolledBack,
        }
    }
}

fn is_high(canary: &[f64], baseline: &[f64]) -> bool {
    if canary.is_empty() || baseline.is_empty() || canary == baseline {
        return false;
    }
    let (lower, estimate) = shift(canary, baseline);
    lower > TOLERANCE * estimate.abs()
}

/// The lower end of the confidence interval of the shift from baseline to canary, and its Hodges-Lehmann estimate.
fn shift(canary: &[f64], baseline: &[f64]) -> (f64, f64) {
    let mut differences: Vec<f64> = canary.iter().flat_map(|c| baseline.iter().map(move |b| c - b)).collect();
    let (n, m) = (canary.len() as f64, baseline.len() as f64);
    let z = Normal::standard().inverse_cdf(1.0 - (1.0 - CONFIDENCE) / 2.0);
    let rank = n * m / 2.0 - z * (n * m * (n + m + 1.0) / 12.0).sqrt();
    // Below the first difference there is none: nothing is shown.
    let lower = match rank.floor() {
        rank if rank >= 1.0 => nth(&mut differences, rank as usize - 1),
        _ => f64::NEG_INFINITY,
    };
    let all = differences.len();
    let middle = (nth(&mut differences, (all - 1) / 2) + nth(&mut differences, all / 2)) / 2.0;
    (lower, middle)
}

fn nth(values: &mut [f64], index: usize) -> f64 {
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::super::Sum;
    use super::*;

    fn numbers(from: u32, to: u32) -> Vec<f64> {
        (from..=to).map(f64::from).collect()
    }

    /// By hand: of 1 to 10 against 11 to 20 the differences are 1 once, 2 twice, up to 10 ten times, and down again. The
    /// rank of the lower end is 50 - 2.326 * sqrt(175) = 19.2, and the 19th is a 6.
    #[test]
    fn the_interval_is_that_of_the_differences() {
        assert_eq!(shift(&numbers(11, 20), &numbers(1, 10)), (6.0, 10.0));
        assert!(is_high(&numbers(11, 20), &numbers(1, 10)), "6 is above a quarter of 10");
        assert!(!is_high(&numbers(2, 11), &numbers(1, 10)), "a shift of one is not shown");
        assert!(!is_high(&numbers(1, 10), &numbers(11, 20)), "better is not worse");
        assert!(!is_high(&numbers(1, 10), &numbers(1, 10)) && !is_high(&[], &[1.0]) && !is_high(&[2.0], &[1.0]));
    }

    #[test]
    fn it_judges_every_hour_and_a_high_metric_ends_it() {
        let point = |k: usize, bad| {
            let sum = |bad| Sum { n: 1_000 + k as u64 % 7, bad: [bad, 0] };
            Seen { candidate: sum(bad), baseline: sum(5) }
        };
        let looks = |bad| {
            let mut course = Kayenta::default();
            let all = |k: usize| (k + 1, course.look(&point(k, bad)));
            (0..180).map(all).find(|(_, next)| *next != Next::GoOn)
        };
        assert_eq!(looks(50), Some((60, Next::RolledBack)));
        assert_eq!(looks(5), Some((180, Next::Finished)));
    }
}
