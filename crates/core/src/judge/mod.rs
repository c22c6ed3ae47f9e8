//! The judge: from counted events to a verdict, with its reasons and numbers.
//!
//! Every objective is a ratio of bad events to all events. The judge compares the candidate with stable and with the
//! objective by confidence sequences that are valid at every look (`sequence`), so it may be asked after every
//! request. It has no memory and no clock: what must be remembered between looks ([`Evidence::waiting_since`],
//! [`Pause`]) is handed in and out. It does not count events, does not cap what one user contributes (the gateway
//! does, with [`UserCap`]), and decides nothing about steps: the planner asks, and acts on the answer.

mod beside;
mod bound;
mod cap;
mod multiple;
mod outage;
mod requests_needed;
mod sentence;
mod sequence;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod simulation;
mod verdict;

use serde::{Deserialize, Serialize};

use crate::units::{Timestamp, Weight};

pub(crate) use bound::Micros;
pub use bound::{LatencyBound, Quantile};
pub use cap::UserCap;
pub use outage::{MAX_RESTARTS, Pause, Stability, Watch, breached, stability, watch};
pub use requests_needed::{Forecast, requests_needed, requests_to_catch};
pub(crate) use sentence::{NOTHING_REPORTED, percent};
pub use verdict::{FAIL_KEYS, STABLE_WAIT, judge};

/// Counted events of one version, for one objective, under the per-user cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Distinct assignment keys with a bad event. Means nothing in a sliding window.
    pub bad_keys: u64,
}

impl Counts {
    /// The share of bad events, 0 where there are none at all.
    pub fn rate(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.bad.min(self.n) as f64 / self.n as f64 }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.n += other.n;
        self.bad += other.bad;
        self.bad_keys += other.bad_keys;
    }
}

impl std::ops::Add for Counts {
    type Output = Counts;
    fn add(mut self, other: Counts) -> Counts {
        self += other;
        self
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Counts>>(counts: I) -> Counts {
        counts.fold(Counts::default(), |sum, c| sum + c)
    }
}

/// What one objective may spend on errors in one attempt of one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The chance of failing a healthy candidate, over all looks.
    pub alpha: f64,
    /// The chance of passing one that is worse than tolerated, over all looks.
    pub beta: f64,
}

impl Budget {
    /// The budget of one attempt of one step for one objective. `alpha` is the rollout's and is divided over `steps`
    /// (judged steps, verification included) and `objectives`, since any one of them can undo; `beta` is not, since
    /// every one of them has to pass. Both are divided over the attempts of a step: the first, and one for each
    /// restart after an outage of stable's. See [`Budget::afresh`].
    pub fn divided(alpha: f64, beta: f64, steps: usize, objectives: usize) -> Budget {
        Budget { alpha: divide_alpha(alpha, steps, objectives), beta: beta / ATTEMPTS }
    }

    /// The same where each objective is judged in so many strata: any of them can fail it, so alpha is divided, and
    /// either can be what passes it, so beta is too.
    pub fn among(self, strata: usize) -> Budget {
        let parts = strata.max(1) as f64;
        Budget { alpha: self.alpha / parts, beta: self.beta / parts }
    }

    /// The same for a step that began afresh so many times. There may be more of these than the budget was divided for, where
    /// the causes were different ones: what they may spend adds up to no more all the same.
    pub fn afresh(self, times: u32) -> Budget {
        let parts = match times {
            0 | 1 => 1.0,
            2 => 2.0,
            _ => 4.0,
        };
        Budget { alpha: self.alpha / parts, beta: self.beta / parts }
    }

    /// The same where so many more can fail an objective, and none of them can pass it.
    pub fn beside(self, more: usize) -> Budget {
        Budget { alpha: self.alpha / (1 + more) as f64, ..self }
    }
}

/// Attempts of one step at most: the first and [`MAX_RESTARTS`] more.
const ATTEMPTS: f64 = MAX_RESTARTS as f64 + 1.0;

/// One objective's part of `alpha` in one attempt of one of `steps` judged steps, verification included.
pub fn divide_alpha(alpha: f64, steps: usize, objectives: usize) -> f64 {
    alpha / (steps.max(1) as f64 * objectives.max(1) as f64 * ATTEMPTS)
}

/// What the candidate is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Stable in the same epoch, by a split of constant weight.
    Concurrent(Counts),
    /// Stable before the switch or the first batch.
    Before {
        /// Its up to ten minutes before.
        before: Counts,
        /// What it did since, in the candidate's epoch, where it still serves. Not compared with, but heard before
        /// a bad day for everyone is blamed on the candidate.
        meanwhile: Counts,
    },
    /// A first release: nothing to compare with.
    None,
}

/// Which verdicts a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A canary step below 100%: goes on only after a pass.
    PassOrFail,
    /// Verification, rolling, blue-green: only a fail has consequences. A pass is told where it was earned, for the
    /// record, and must not cut the time short.
    FailOnly,
}

/// Everything the judge looks at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The candidate in this epoch.
    pub candidate: Counts,
    /// What it is compared with.
    pub stable: Comparison,
    /// Stable over the last ten minutes: was it within `at_most`?
    pub stable_ten_minutes: Counts,
    /// Stable over the last ten seconds: is it above `at_most` now?
    pub stable_ten_seconds: Counts,
    /// The candidate's share of the requests.
    pub candidate_weight: Weight,
    /// Its share after a pass; in verification, where no pass is asked for, its share then.
    pub next_weight: Weight,
    /// Which verdicts the step needs.
    pub rule: Rule,
    /// When this epoch's evidence began.
    pub since: Timestamp,
    /// When this objective's judgement first said `waiting_for_stable`, and has said so at every look since.
    pub waiting_since: Option<Timestamp>,
    /// Requests that the candidate must have had before it can pass.
    pub min_requests: u64,
    /// Whether assignment keys tell users apart. Then a fail needs bad events from three of them.
    pub keys_known: bool,
}

/// What the evidence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The next step's harm is shown to be within what is tolerated.
    Pass,
    /// The candidate is shown to be worse than tolerated, or than acceptable at all.
    Fail,
    /// Neither is shown yet.
    Inconclusive,
}

/// A verdict with its reasons and numbers. Rates are shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The objective.
    pub objective: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The candidate's events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// The candidate's rate is at least this, as far as a fail is concerned.
    pub lower: f64,
    /// The candidate's rate is at most this, as far as a pass is concerned.
    pub upper: f64,
    /// What it was compared with; absent for a first release.
    pub stable: Option<StableNumbers>,
    /// Bounds of the candidate's rate minus stable's; absent for a first release.
    pub excess: Option<Bounds>,
    /// What `upper` has to come down to for a pass; absent where none is asked for. Where `tolerate` is a multiple, the
    /// ratio to stable may pass it earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_at: Option<f64>,
    /// What `lower` has to rise above for a fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_at: Option<f64>,
    /// Bounds of the candidate's rate as a multiple of stable's, where `tolerate` is a multiple and there is a stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Bounds>,
    /// By probes that Slipway sent itself, and not by users' requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
    /// By the requests of a cohort that went first, which is watched after its own step too: it can fail the candidate,
    /// and vouches for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// The candidate is shown to be bad, and only users or stable's word are missing for a fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspected: bool,
    /// For people: what was seen, against what bound, and what is waited for.
    pub sentence: String,
    /// The candidate would have failed, but stable may be in the same trouble and has had no time to show it. The
    /// planner keeps the time of the first such look in [`Evidence::waiting_since`].
    pub waiting_for_stable: bool,
    /// Candidate requests still needed to pass, if things stay as they are. Absent where none would do or none are.
    pub more_requests: Option<u64>,
}

impl Judgement {
    /// The objective, and by whom it was judged where that is not everybody: `errors (synthetic)`.
    pub fn name(&self) -> String {
        match (self.synthetic, &self.cohort) {
            (true, _) => format!("{} (synthetic)", self.objective),
            (false, Some(cohort)) => Judgement::name_in(&self.objective, cohort),
            (false, None) => self.objective.clone(),
        }
    }

    /// What an objective is called where it is judged by a cohort's requests.
    pub fn name_in(objective: &str, cohort: &str) -> String {
        format!("{objective} (cohort {cohort})")
    }
}

/// Stable's numbers in a judgement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StableNumbers {
    /// Events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Its rate is at least this, as far as a pass is concerned.
    pub lower: f64,
    /// Its rate is at most this, as far as a fail is concerned.
    pub upper: f64,
    /// Whether this is from before the switch or the first batch, and not from the same time.
    pub before: bool,
}

/// A lower and an upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// At least.
    pub lower: f64,
    /// At most.
    pub upper: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_attempts_of_a_step_together_spend_no_more_than_the_step_may() {
        let (alpha, beta) = (0.01, 0.05);
        let one = Budget::divided(alpha, beta, 1, 1);
        let most = 2 * MAX_RESTARTS;
        let spent = |of: fn(&Budget) -> f64| (0..=most).map(|times| of(&one.afresh(times))).sum::<f64>();
        assert!(spent(|budget| budget.alpha) <= alpha * 1.000_001);
        assert!(spent(|budget| budget.beta) <= beta * 1.000_001);
        assert_eq!(one.afresh(1), one);
    }
}
