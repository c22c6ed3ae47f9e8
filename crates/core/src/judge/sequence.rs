//! Evidence about one ratio that stays valid however often it is looked at: an e-process for "the share of bad events
//! is above (below) a", and its inversion, a confidence sequence. Knows nothing of stable, candidates or verdicts.
//! Called by the rules of the judge and by the planning arithmetic.
//!
//! **The form.** For a tilt `t > 0` and events `X_i` of 0 or 1 whose chance of being bad, given the past, is `p_i`,
//! the product of `exp(t X_i) / (1 + p_i (e^t - 1))` is a martingale that starts at 1. The logarithm is concave, so
//! with `a` at or above the mean of the `p_i` so far,
//!
//! ```text
//! E(a) = sum over k of w_k exp(t_k x - n ln(1 + a (e^t_k - 1)))       x bad events of n
//! ```
//!
//! never exceeds a mixture of such martingales, and by Ville's inequality it ever reaches `1/level` with a chance of
//! at most `level`, at whatever time one looks and stops. This is the *sub-Bernoulli* form of Howard, Ramdas, McAuliffe
//! and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021), section 3. Number for number
//! it is also the likelihood ratio `(q/a)^x ((1-q)/(1-a))^(n-x)` with `q = a e^t / (1 + a (e^t - 1))`; read as a
//! likelihood ratio it would hold for independent events of one constant rate only. What makes the difference is that
//! the **tilts are fixed beforehand**, not chosen anew for each `a`: then one and the same mixture serves every `a`, and
//! the bounds hold for the *running mean* of a rate that drifts and bursts. Negative tilts give the mirror image.
//!
//! The same argument carries over to the split: let every request go to this side with a constant chance, drawn
//! apart from what is to happen to it. Then the bounds of either side hold for the running mean over the requests of
//! *both* sides, so a burst that hits everyone makes no false difference between candidate and stable.
//!
//! **The mixture.** 40 tilts, log-uniform in the alternative `q`: from 1.5 to 99 times the anchor (an objective's
//! `at_most`), capped at 0.99, which costs about 1.3 times Wald's bound where a flat prior costs 1.7. One thousandth
//! of the weight lies on 8 finer tilts, so that the bounds close in on the truth as evidence grows instead of stopping
//! a fifth away from it.
//!
//! `ln E` is convex in `a`, so Newton's method from the far side never steps over the root: the bounds are reached in a
//! few steps, and each step on the way is a valid, if wider, bound.

use super::Counts;

/// Tilts of the mixture proper.
const COARSE: usize = 40;
/// Tilts for alternatives nearer than 1.5 times the anchor.
const FINE: usize = 8;
/// The weight of all the fine tilts together.
const FINE_WEIGHT: f64 = 0.001;
/// Nearest alternative of the mixture proper, as a multiple of the anchor.
const NEAREST: f64 = 1.5;
/// Farthest alternative of the mixture proper, as a multiple of the anchor.
const FARTHEST: f64 = 99.0;
/// Nearest alternative of all, as a multiple of the anchor.
const FINEST: f64 = 1.02;
/// No alternative lies above this.
const CEILING: f64 = 0.99;
/// Newton's method ends when a step is smaller than this share of the bound.
const PRECISION: f64 = 1e-8;
/// Newton's method ends here at the latest; it takes about ten.
const MAX_STEPS: usize = 60;
/// Terms that are smaller than the largest by this factor's exponent do not change a sum.
const NEGLIGIBLE: f64 = 38.0;

#[derive(Debug, Clone, Copy)]
struct Tilt {
    log_weight: f64,
    /// `t`.
    tilt: f64,
    /// `e^t - 1`.
    growth: f64,
}

type Mixture = [Tilt; COARSE + FINE];

/// The mixtures of one objective, for both directions.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    above: Mixture,
    below: Mixture,
}

impl Sequence {
    /// A sequence that is sharpest for rates about `anchor`.
    pub(super) fn new(anchor: f64) -> Sequence {
        let anchor = anchor.clamp(1e-9, 0.5);
        let farthest = (anchor * FARTHEST).min(CEILING) / anchor;
        Sequence {
            above: mixture(anchor, farthest, |ratio| anchor * ratio),
            below: mixture(anchor, FARTHEST, |ratio| anchor / ratio),
        }
    }

    /// A sequence for whose an event is: its alternatives are odds of 1.02 to 99 times those that are asked about.
    pub(super) fn of_odds() -> Sequence {
        Sequence { above: tilts(FARTHEST, |ratio| ratio), below: tilts(FARTHEST, |ratio| 1.0 / ratio) }
    }

    /// Whether the rate is shown to be above `rate`, wrongly with a chance of at most `level` over all looks.
    pub(super) fn shown_above(&self, counts: Counts, rate: f64, level: f64) -> bool {
        let (n, bad) = numbers(counts);
        bad > 0.0 && log_evidence(&self.above, n, bad, rate).0 >= -level.ln()
    }

    /// Whether the rate is shown to be at most `rate`, wrongly with a chance of at most `level` over all looks.
    pub(super) fn shown_within(&self, counts: Counts, rate: f64, level: f64) -> bool {
        let (n, bad) = numbers(counts);
        self.shown_within_expected(n, bad, rate, level)
    }

    /// The same for numbers that are expected and need not be whole.
    pub(super) fn shown_within_expected(&self, n: f64, bad: f64, rate: f64, level: f64) -> bool {
        rate >= 1.0 || log_evidence(&self.below, n, bad, rate).0 >= -level.ln()
    }

    /// The lower bound of the rate, too high with a chance of at most `level` over all looks.
    pub(super) fn lower(&self, counts: Counts, level: f64) -> f64 {
        let (n, bad) = numbers(counts);
        self.lower_expected(n, bad, level)
    }

    /// The same for numbers that are expected and need not be whole.
    pub(super) fn lower_expected(&self, n: f64, bad: f64, level: f64) -> f64 {
        if bad <= 0.0 {
            return 0.0;
        }
        let seen = bad / n;
        newton(&self.above, n, bad, level, [seen / 2.0, seen / 16.0, seen / 4096.0, 0.0]).unwrap_or(0.0)
    }

    /// The upper bound of the rate, too low with a chance of at most `level` over all looks.
    pub(super) fn upper(&self, counts: Counts, level: f64) -> f64 {
        let (n, bad) = numbers(counts);
        self.upper_expected(n, bad, level)
    }

    /// The same for numbers that are expected and need not be whole.
    pub(super) fn upper_expected(&self, n: f64, bad: f64, level: f64) -> f64 {
        if n <= 0.0 {
            return 1.0;
        }
        let seen = bad / n;
        let zero_bad = -2.0 * level.ln() / n;
        let guesses = [1.5 * seen + zero_bad, 2.0 * seen + 2.0 * zero_bad, 4.0 * (seen + zero_bad), 1.0];
        newton(&self.below, n, bad, level, guesses.map(|a| a.min(1.0))).unwrap_or(1.0).min(1.0)
    }
}

fn mixture(anchor: f64, farthest: f64, alternative: impl Fn(f64) -> f64) -> Mixture {
    tilts(farthest, |ratio| {
        let q = alternative(ratio).min(CEILING);
        q / (1.0 - q) * (1.0 - anchor) / anchor
    })
}

/// Tilts by the odds of an alternative, as a multiple of the odds that are asked about.
fn tilts(farthest: f64, odds: impl Fn(f64) -> f64) -> Mixture {
    let nearest = NEAREST.min(farthest);
    std::array::from_fn(|k| {
        let (from, to, k, of, weight) = if k < COARSE {
            (nearest, farthest, k, COARSE - 1, (1.0 - FINE_WEIGHT) / COARSE as f64)
        } else {
            (FINEST, nearest, k - COARSE, FINE, FINE_WEIGHT / FINE as f64)
        };
        let odds = odds(from * (to / from).powf(k as f64 / of as f64));
        Tilt { log_weight: weight.ln(), tilt: odds.ln(), growth: odds - 1.0 }
    })
}

fn numbers(counts: Counts) -> (f64, f64) {
    (counts.n as f64, counts.bad.min(counts.n) as f64)
}

/// `ln E(a)` and its derivative by `a`.
fn log_evidence(mixture: &Mixture, n: f64, bad: f64, a: f64) -> (f64, f64) {
    log_sum(&mixture.map(|t| {
        let term = t.log_weight + t.tilt * bad - n * (a * t.growth).ln_1p();
        (term, -n * t.growth / (1.0 + a * t.growth))
    }))
}

/// The logarithm of a sum of exponentials, and its derivative: of the terms and their derivatives.
pub(super) fn log_sum(terms: &[(f64, f64)]) -> (f64, f64) {
    let largest = terms.iter().map(|(term, _)| *term).fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut slope) = (0.0, 0.0);
    for (term, its_slope) in terms {
        if *term > largest - NEGLIGIBLE {
            let part = (term - largest).exp();
            sum += part;
            slope += part * its_slope;
        }
    }
    (largest + sum.ln(), slope / sum)
}

/// The rate at which the evidence is `1/level`, from the side on which it is larger. `None` where it is smaller at
/// every guess; the last guess is the end of the scale.
fn newton(mixture: &Mixture, n: f64, bad: f64, level: f64, guesses: [f64; 4]) -> Option<f64> {
    let target = -level.ln();
    let (mut a, (mut evidence, mut slope)) = guesses
        .iter()
        .map(|&a| (a, log_evidence(mixture, n, bad, a)))
        .find(|(_, (evidence, _))| *evidence >= target)?;
    for _ in 0..MAX_STEPS {
        let next = a - (evidence - target) / slope;
        if (next - a).abs() <= PRECISION * next.abs() || !next.is_finite() {
            break;
        }
        let (found, found_slope) = log_evidence(mixture, n, bad, next);
        if found < target {
            break; // Rounding: the step before is on the safe side.
        }
        (a, evidence, slope) = (next, found, found_slope);
    }
    Some(a)
}
