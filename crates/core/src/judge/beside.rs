//! Whether the candidate's rate is above stable's by more than so much, by requests of the same time: one e-process for
//! both sides, in place of two intervals that must not touch. Decides nothing: the rules in `verdict` do.
//!
//! **The form.** The sub-Bernoulli form of `sequence`, with a tilt for each side. For `t > 0 > u`, with
//! `g = e^t - 1`, `h = e^u - 1`, and x bad events of n on either side (c the candidate's, s stable's),
//!
//! ```text
//! F(p, d) = exp(t x_c + u x_s - n_c ln(1 + (p + d) g) - n_s ln(1 + p h))
//! ```
//!
//! is evidence against "stable's rate is p or more and the candidate's p + d or less". Which p it is nobody knows, so the
//! p that speaks most against the evidence is taken, **for each pair of tilts by itself**:
//!
//! ```text
//! E(d) = sum over k of w_k  min over p of F_k(p, d)
//! ```
//!
//! It ever reaches `1/level` with a chance of at most `level` (Ville), whenever one looks, where the candidate is worse than
//! stable by at most `d`. Two readings, either of which is enough:
//! - Each request falls to the candidate with a constant chance `w`, drawn apart from what would happen to it, and its
//!   chance to be bad on the candidate is at most `d` more than on stable. At the p where
//!   `w g / (1 + (p + d) g) + (1 - w) h / (1 + p h)` is zero the expected factor of a request is at most 1, *whatever its own
//!   chance is*: it is linear in it, and the slope is zero. (Where that p is no share, the nearest share has the slope that
//!   does no harm.) So `F_k` at that p is a supermartingale through every burst and drift; it rests on `w` and the tilts
//!   alone, and the minimum is never more. `w` need not be known: the minimum is that p with the measured share for `w`.
//! - Whatever the assignment, the running means of the two rates differ by at most `d`: then the argument of `sequence`
//!   holds for each side at stable's running mean, and the minimum is never more.
//!
//! Sources: Howard, Ramdas, McAuliffe and Sekhon (2021) for the form; Turner, Ly and Grünwald, "Generic E-variables for
//! exact sequential k-sample tests that allow for optional stopping" (2024), for the choice of p, which makes the evidence
//! grow as fast as any test's can for the alternative that a pair of tilts stands for; the minimum over p in place of a known
//! share is ours.
//!
//! **The mixture.** An alternative is a pair of rates; its tilts are their odds against those of both together at the step's
//! declared weight. Most of the weight lies on 20 ratios, log-uniform from 1.5 to 99, of rates that are small, where bad
//! events alone tell, and whose each one is; a fifth of that on the same ratios where sticky users are so unequal that the odds
//! of the measured share are ten times the declared ones, or a tenth; a quarter of all on three grossly bad candidates, where
//! good events tell as much; one thousandth on 8 nearer ratios, so that the bound closes in on the truth. They are fixed
//! before the step.
//!
//! `ln E` is convex in `d`, as a minimum over p of what is convex in both: Newton's method from the left never steps over
//! the root.

use super::Counts;
use super::multiple::Side;
use super::sequence::log_sum;

/// By how much the odds of the measured share may differ from the declared ones, how many ratios of small rates there are
/// for that, and what they weigh among each other.
const SHARES: [(f64, usize, f64); 3] = [(1.0, 20, 0.8), (0.1, 10, 0.1), (10.0, 10, 0.1)];
/// Ratios nearer than those.
const FINE: usize = 8;
/// The weight of all the near ratios together.
const FINE_WEIGHT: f64 = 0.001;
/// The nearest ratio, the first that is not near, and the last.
const NEAREST: f64 = 1.02;
const FIRST: f64 = 1.5;
const LAST: f64 = 99.0;
/// Rates of grossly bad candidates, beside a stable that is at half of what is acceptable.
const GROSS: [f64; 3] = [0.1, 0.3, 0.99];
/// The weight of all of these together.
const GROSS_WEIGHT: f64 = 0.25;
/// A design for a smaller share than this is as good as one for this.
const LEAST_SHARE: f64 = 0.0001;
/// Newton's method ends when a step is smaller than this.
const PRECISION: f64 = 1e-9;
/// Newton's method ends here at the latest; it takes about ten.
const MAX_STEPS: usize = 60;

/// The tilts of one alternative.
#[derive(Debug, Clone, Copy)]
struct Pair {
    log_weight: f64,
    /// `t` and `e^t - 1`.
    candidate: (f64, f64),
    /// `u` and `e^u - 1`.
    stable: (f64, f64),
}

impl Pair {
    /// From the odds of both, against those of both together.
    fn new(weight: f64, candidate: f64, stable: f64) -> Pair {
        let [candidate, stable] = [candidate, stable].map(|odds| (odds.ln(), odds - 1.0));
        Pair { log_weight: weight.ln(), candidate, stable }
    }
}

/// Both sides as they would be if nobody had more than one bad event. Whoever was failed tries again and is failed again: what
/// `cap` lets through of one user tells no more than the first of it. As is usual with counts that come in clusters
/// (McCullagh and Nelder, "Generalized Linear Models", 1989, section 4.5), everything is divided by the clusters' mean size,
/// that of both sides together; the rates stay what they are. It only ever takes evidence away: a root of a mean is no less
/// than the mean of the roots.
pub(super) fn one_each(candidate: Counts, stable: Counts, keys_known: bool) -> OneEach {
    let (bad, keys) = (candidate.bad + stable.bad, candidate.bad_keys + stable.bad_keys);
    let size = if keys_known && keys > 0 { (bad as f64 / keys as f64).max(1.0) } else { 1.0 };
    let divided = |counts: Counts| {
        let side = Side::from(counts);
        Side { n: side.n / size, bad: side.bad / size }
    };
    OneEach { candidate: divided(candidate), stable: divided(stable), size }
}

/// What [`one_each`] makes of both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneEach {
    pub(super) candidate: Side,
    pub(super) stable: Side,
    /// The bad events of a user who has any, on the mean; 1 where users are not known.
    pub(super) size: f64,
}

/// The mixture of one objective in one step.
#[derive(Debug, Clone)]
pub(super) struct Beside(Vec<Pair>);

impl Beside {
    /// For an objective that accepts `at_most`, and a step in which the candidate is to have this share of the requests.
    pub(super) fn new(at_most: f64, share: f64) -> Beside {
        let share = share.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
        let small = |weight: f64, share: f64, ratio: f64| {
            let together = share * ratio + 1.0 - share;
            Pair::new(weight, ratio / together, 1.0 / together)
        };
        let between = |from: f64, to: f64, part: f64| from * (to / from).powf(part);
        let coarse = SHARES.into_iter().flat_map(|(factor, count, weight)| {
            let odds = odds(share) * factor;
            let (share, weight) = (odds / (1.0 + odds), weight * (1.0 - GROSS_WEIGHT - FINE_WEIGHT) / count as f64);
            (0..count).map(move |k| small(weight, share, between(FIRST, LAST, k as f64 / (count - 1) as f64)))
        });
        let fine =
            (0..FINE).map(|k| small(FINE_WEIGHT / FINE as f64, share, between(NEAREST, FIRST, k as f64 / FINE as f64)));
        let gross = GROSS.into_iter().map(|rate| {
            let stable = (at_most / 2.0).min(rate / 2.0);
            let together = odds(share * rate + (1.0 - share) * stable);
            Pair::new(GROSS_WEIGHT / GROSS.len() as f64, odds(rate) / together, odds(stable) / together)
        });
        Beside(coarse.chain(fine).chain(gross).collect())
    }

    /// Whether the candidate's rate is shown to be above stable's by more than `excess`, wrongly with a chance of at most
    /// `level` over all looks.
    pub(super) fn shown_above(
        &self,
        candidate: impl Into<Side>,
        stable: impl Into<Side>,
        excess: f64,
        level: f64,
    ) -> bool {
        let (candidate, stable) = (candidate.into(), stable.into());
        candidate.bad > 0.0 && self.log_evidence(candidate, stable, excess).0 >= -level.ln()
    }

    /// The lower bound of the candidate's rate minus stable's, too high with a chance of at most `level` over all looks.
    pub(super) fn lower(&self, candidate: impl Into<Side>, stable: impl Into<Side>, level: f64) -> f64 {
        let (candidate, stable) = (candidate.into(), stable.into());
        let target = -level.ln();
        let seen = candidate.rate() - stable.rate();
        let guesses = [0.25, 0.5, 0.75, 0.95].map(|to: f64| seen * (1.0 - to) - to * stable.rate().max(0.0));
        let found = guesses
            .into_iter()
            .chain([-0.01, -0.1, -0.5, -1.0])
            .map(|excess: f64| (excess, self.log_evidence(candidate, stable, excess)))
            .find(|(_, (evidence, _))| *evidence >= target);
        let Some((mut excess, (mut evidence, mut slope))) = found else { return -1.0 };
        for _ in 0..MAX_STEPS {
            let next = (excess - (evidence - target) / slope).min(1.0);
            if next - excess <= PRECISION || !next.is_finite() {
                break;
            }
            let (there, its_slope) = self.log_evidence(candidate, stable, next);
            if there < target {
                break; // Rounding: the step before is on the safe side.
            }
            (excess, evidence, slope) = (next, there, its_slope);
        }
        excess
    }

    /// `E(d)`.
    #[cfg(test)]
    pub(super) fn evidence(&self, candidate: Side, stable: Side, excess: f64) -> f64 {
        self.log_evidence(candidate, stable, excess).0.exp()
    }

    /// `ln E(d)` and its derivative by `d`.
    fn log_evidence(&self, candidate: Side, stable: Side, excess: f64) -> (f64, f64) {
        let (c, s) = (candidate.n, stable.n);
        if c + s <= 0.0 {
            return (0.0, 0.0);
        }
        // Both rates have to be shares.
        let (least, most) = ((-excess).max(0.0), (1.0 - excess).min(1.0));
        let terms = self.0.iter().map(|pair| {
            let ((t, g), (u, h)) = (pair.candidate, pair.stable);
            let balanced = -(c * g + s * h) / ((c + s) * g * h) - s / (c + s) * excess;
            let p = balanced.max(least).min(most);
            let (of_candidate, of_stable) = ((p + excess) * g, p * h);
            let log = t * candidate.bad + u * stable.bad - c * of_candidate.ln_1p() - s * of_stable.ln_1p();
            // At an end of the scale that moves with the excess, only stable's rate does.
            let slope = match (balanced <= least && excess < 0.0) || (balanced >= most && excess > 0.0) {
                true => s * h / (1.0 + of_stable),
                false => -c * g / (1.0 + of_candidate),
            };
            (pair.log_weight + log, slope)
        });
        log_sum(&terms.collect::<Vec<_>>())
    }
}

fn odds(share: f64) -> f64 {
    share / (1.0 - share)
}
