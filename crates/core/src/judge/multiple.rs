//! `tolerate` as a multiple: bounds of the ratio R of the candidate's rate to stable's. Where both serve at the same
//! time only bad events are looked at, and whose each one is asked: with the candidate's share w of the requests it is
//! the candidate's with odds w R : (1 - w), so whatever makes the rates of both rise and fall together cancels.
//! Decides nothing: the rules in `verdict` do, and the planning arithmetic asks it with expected numbers.
//!
//! **The form.** Of m bad events x are the candidate's. "R is at most r" says that the chance of each one to be the
//! candidate's is at most `p = w r / (w r + 1 - w)`. A mixture over larger ratios is evidence against that, and its
//! tilts are the logarithms of R/r, whatever w is: they are fixed beforehand, and the sub-Bernoulli form of `sequence`
//! holds, also for a ratio that drifts.
//!
//! **The share.** w is not the declared weight: sticky users are unequal, so it is measured, as requests of the
//! candidate among those of both. A measured share is not exact. It has a confidence sequence of its own at half of the
//! level, and the end of it that speaks against a verdict is the one that is used.
//!
//! Where stable's evidence is from before a switch or a batch there is no common traffic to share out. The rates'
//! own bounds are divided then ([`Multiple::before`]), which is wider and lets a shared burst count.

use super::Bounds;
use super::sequence::Sequence;
use crate::units::Weight;

/// A ratio above this is told as this: it has to be a number for the record.
const LARGEST: f64 = 1e6;

/// Events and the bad ones among them, as they are or as they are expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) n: f64,
    pub(super) bad: f64,
}

impl Side {
    /// The share of bad events, 0 where there are none at all.
    pub(super) fn rate(self) -> f64 {
        if self.n > 0.0 { self.bad / self.n } else { 0.0 }
    }
}

impl From<super::Counts> for Side {
    fn from(counts: super::Counts) -> Side {
        Side { n: counts.n as f64, bad: counts.bad.min(counts.n) as f64 }
    }
}

/// The sequences of one step.
#[derive(Debug, Clone)]
pub(super) struct Multiple {
    whose: Sequence,
    share: Sequence,
    /// Shares are counted on the smaller side, about which the sequence is sharp.
    candidate_is_smaller: bool,
}

impl Multiple {
    /// For a step in which the candidate is to have `weight` of the traffic.
    pub(super) fn new(weight: Weight) -> Multiple {
        let share = weight.share();
        let smaller = share.min(1.0 - share).max(0.0001);
        Multiple { whose: Sequence::of_odds(), share: Sequence::new(smaller), candidate_is_smaller: share <= 0.5 }
    }

    /// Bounds of the ratio, from both at the same time: the lower one too high with a chance of at most `alpha`, the
    /// upper one too low with one of at most `beta`, over all looks.
    pub(super) fn concurrent(&self, candidate: Side, stable: Side, alpha: f64, beta: f64) -> Bounds {
        let (bad, all) = (candidate.bad, candidate.bad + stable.bad);
        if all <= 0.0 || candidate.n <= 0.0 || stable.n <= 0.0 {
            return Bounds { lower: 0.0, upper: LARGEST };
        }
        let against = odds(self.most(candidate.n, stable.n, alpha / 2.0));
        let favour = odds(self.least(candidate.n, stable.n, beta / 2.0));
        let lower = odds(self.whose.lower_expected(all, bad, alpha / 2.0)) / against;
        let upper = odds(self.whose.upper_expected(all, bad, beta / 2.0)) / favour;
        bounds(lower, upper)
    }

    /// Bounds of the ratio from bounds of the rates.
    pub(super) fn before(candidate: Bounds, stable: Bounds) -> Bounds {
        bounds(candidate.lower / stable.upper, candidate.upper / stable.lower)
    }

    /// The candidate's share of the requests is at most this.
    fn most(&self, candidate: f64, stable: f64, level: f64) -> f64 {
        let all = candidate + stable;
        match self.candidate_is_smaller {
            true => self.share.upper_expected(all, candidate, level),
            false => 1.0 - self.share.lower_expected(all, stable, level),
        }
    }

    /// The candidate's share of the requests is at least this.
    fn least(&self, candidate: f64, stable: f64, level: f64) -> f64 {
        let all = candidate + stable;
        match self.candidate_is_smaller {
            true => self.share.lower_expected(all, candidate, level),
            false => 1.0 - self.share.upper_expected(all, stable, level),
        }
    }
}

/// The largest ratio at which a step of `next` would make everything together no worse than `times` stable's rate.
pub(super) fn largest_ratio(times: f64, next: f64) -> f64 {
    1.0 + (times - 1.0) / next
}

fn odds(share: f64) -> f64 {
    share / (1.0 - share)
}

/// Not a number, from nothing divided by nothing, bounds nothing.
fn bounds(lower: f64, upper: f64) -> Bounds {
    let lower = if lower.is_nan() { 0.0 } else { lower.min(LARGEST) };
    Bounds { lower, upper: if upper.is_nan() { LARGEST } else { upper.min(LARGEST) } }
}
