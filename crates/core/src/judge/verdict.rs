//! The rules of fail, pass and wait, for one objective at one look. Numbers only; the words are made in `sentence`.
//!
//! One lower and one upper bound of each side serve all the rules, so that each level is spent once. Beta is halved: for the
//! candidate's upper bound and for stable's lower one. So is alpha: half for the candidate's lower bound, which `at_most`
//! is held against, and half for its excess over stable. Where stable serves at the same time that is one test of both
//! (`beside`), otherwise the candidate's lower bound against stable's upper one. As long as these hold, every verdict is right.
//!
//! **Whose fault is it?** The comparison with stable *at the same time* answers that by itself. The other two grounds
//! for a fail do not: the absolute one (`at_most`), and the comparison with stable's minutes before a switch. A shared
//! outage reaches the candidate's counts at the same moment as stable's, and while the candidate has as much traffic
//! as stable or more, its counts show it first as often as not. So on these two grounds nothing fails
//! - while stable's own share of bad events is above `at_most`, in the last ten seconds or in the same epoch. That need
//!   not be shown: a doubt only delays, and the comparison at the same time goes on meanwhile. (A candidate that is
//!   worse than both stable before and stable now is failed all the same.)
//! - until stable has had its say: its counts of the same epoch show the candidate to be worse than it ("heard"). Where it
//!   is stable at the same time this has the whole of alpha to itself: a candidate that is no worse than stable is failed on
//!   no ground unless this errs, and one that is worse and within `at_most` only if one of the two halves does;
//!   or three seconds ([`STABLE_WAIT`]) have passed since the suspicion arose and the candidate is grossly bad, shown
//!   above five times `at_most` ([`GROSS`]), and a stable at the same time says the same at least faintly ([`FAINT`]), or has had
//!   eight ([`LONG_WAIT`]); or stable gets no traffic and will never say anything.
//!
//! At small weights stable speaks at once, since it has most of the traffic. Where it gets under 5% it can hardly ever
//! speak in a short time, and what follows depends on what waiting costs. A gross failure is taken back after the three
//! seconds, where a handful of stable's requests went well meanwhile; after eight where not even so much is known, since two
//! seconds of trouble for a fifth of everybody leave a stable with three requests a second untouched in one case of four
//! (simulated: that took back 10 of 1,000 healthy candidates with 1% errors after three seconds, and none so). A slight one is not: with so little from stable it cannot be told from a rate that drifts up for everyone
//! (simulated: a drift from 0.1% to 1.9% within three minutes undid a quarter of the healthy candidates in verification
//! before this rule), and a candidate that is slightly worse than stable by itself was due to be found in the steps
//! before.

use super::beside::{Beside, one_each};
use super::multiple::{Multiple, largest_ratio};
use super::outage;
use super::requests_needed::{more_requests, more_requests_by_multiple};
use super::sentence::{self, Waiting};
use super::sequence::Sequence;
use super::{Bounds, Budget, Comparison, Counts, Evidence, Judgement, Rule, StableNumbers, Verdict};
use crate::spec::{Objective, Tolerate};
use crate::units::{Millis, Timestamp, Weight};

/// How long a fail that stable's evidence could still explain waits for it.
pub const STABLE_WAIT: Millis = Millis::from_secs(3);
/// The same where stable, at the same time, does not even faintly say so too.
const LONG_WAIT: Millis = Millis::from_secs(8);
/// The chance at which stable's word would be wrong that is taken for a faint one.
const FAINT: f64 = 0.2;
/// A candidate that is shown above so many times `at_most`, or above half of its requests, is grossly bad.
const GROSS: f64 = 5.0;
/// Keys with bad events that a fail needs, where keys are known.
pub const FAIL_KEYS: u64 = 3;

/// The verdict on one objective, by the evidence at `now`.
pub fn judge(objective: &Objective, budget: &Budget, evidence: &Evidence, now: Timestamp) -> Judgement {
    let look = Look::new(objective, budget, evidence);
    let (verdict, waiting) = match look.ground() {
        Some(_) if look.too_few_keys() => (Verdict::Inconclusive, Waiting::Keys),
        Some(ground) => match look.word(ground, now) {
            Word::Heard => (Verdict::Fail, Waiting::Nothing(Some(ground))),
            Word::AlsoAbove => (Verdict::Inconclusive, Waiting::Recovery),
            Word::Awaited => (Verdict::Inconclusive, Waiting::Stable(ground)),
        },
        None => look.pass_or_wait(),
    };
    let more_requests = match waiting {
        Waiting::Requests(more) => more,
        _ => None,
    };
    Judgement {
        objective: objective.name.clone(),
        verdict,
        n: evidence.candidate.n,
        bad: evidence.candidate.bad,
        lower: look.candidate.lower,
        upper: look.candidate.upper,
        stable: look.stable,
        excess: look.excess,
        pass_at: (evidence.rule == Rule::PassOrFail).then(|| look.limit().max_upper.clamp(0.0, 1.0)),
        fail_at: Some(look.fails_above().min(1.0)),
        times: look.times,
        synthetic: false,
        cohort: None,
        suspected: verdict == Verdict::Inconclusive && look.ground().is_some(),
        sentence: sentence::tell(objective, evidence, &look, verdict, &waiting, now),
        waiting_for_stable: matches!(waiting, Waiting::Stable(_)),
        more_requests,
    }
}

/// On what a candidate fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// It is worse than stable by more than is tolerated.
    Excess,
    /// It is above `at_most`, and stable was not.
    Absolute,
}

/// What stable has to say to a suspicion.
enum Word {
    /// Nothing against it.
    Heard,
    /// It is in trouble itself.
    AlsoAbove,
    /// Nothing yet.
    Awaited,
}

/// The bounds at one look.
pub(super) struct Look<'a> {
    objective: &'a Objective,
    budget: Budget,
    evidence: &'a Evidence,
    sequence: Sequence,
    beside: Beside,
    pub(super) candidate: Bounds,
    pub(super) stable: Option<StableNumbers>,
    pub(super) excess: Option<Bounds>,
    pub(super) times: Option<Bounds>,
}

impl<'a> Look<'a> {
    fn new(objective: &'a Objective, budget: &'a Budget, evidence: &'a Evidence) -> Look<'a> {
        let sequence = Sequence::new(objective.at_most);
        let beside = Beside::new(objective.at_most, evidence.candidate_weight.share());
        let budget = grounds(objective, budget, &evidence.stable);
        let compared = compared(&evidence.stable);
        let (alpha, beta) = match compared {
            Some(_) => (budget.alpha / 2.0, budget.beta / 2.0),
            None => (budget.alpha, budget.beta),
        };
        let candidate = Bounds {
            lower: sequence.lower(evidence.candidate, alpha),
            upper: sequence.upper(evidence.candidate, beta),
        };
        let stable = compared.map(|(counts, before)| StableNumbers {
            n: counts.n,
            bad: counts.bad,
            lower: sequence.lower(counts, beta),
            upper: sequence.upper(counts, alpha),
            before,
        });
        let excess = stable.map(|s| Bounds {
            lower: match evidence.stable {
                Comparison::Concurrent(counts) => {
                    let each = one_each(evidence.candidate, counts, evidence.keys_known);
                    beside.lower(each.candidate, each.stable, alpha)
                }
                _ => candidate.lower - s.upper,
            },
            upper: candidate.upper - s.lower,
        });
        let times =
            matches!(objective.tolerate, Tolerate::Times(_)).then_some(()).and(stable).map(|s| match evidence.stable {
                Comparison::Concurrent(counts) => {
                    let each = one_each(evidence.candidate, counts, evidence.keys_known);
                    let multiple = Multiple::new(evidence.candidate_weight);
                    multiple.concurrent(each.candidate, each.stable, budget.alpha, budget.beta)
                }
                _ => Multiple::before(candidate, Bounds { lower: s.lower, upper: s.upper }),
            });
        Look { objective, budget, evidence, sequence, beside, candidate, stable, excess, times }
    }

    /// Why the candidate would fail, if stable has nothing to say to it.
    fn ground(&self) -> Option<Ground> {
        let Some(excess) = self.excess else {
            return (self.candidate.lower > self.objective.at_most).then_some(Ground::Absolute);
        };
        let worse = match (self.objective.tolerate, self.times) {
            (Tolerate::Times(most), Some(times)) => times.lower > most,
            (Tolerate::Times(_), None) => false,
            (Tolerate::Share(share), _) => excess.lower > share,
        };
        if worse {
            return Some(Ground::Excess);
        }
        let above = self.candidate.lower > self.objective.at_most;
        (above && self.stable_was_better()).then_some(Ground::Absolute)
    }

    /// Stable was within `at_most` over its last ten minutes. Where it had too few requests to show that, it will do
    /// that the candidate is shown worse than those ten minutes by more than is tolerated. And where it serves no more
    /// and had too few requests to show anything, but no bad one either (an idle service, a control plane that has
    /// just come back), there is nothing that could excuse the candidate: it is held to `at_most`, as a first release.
    /// So it is where only a cohort is on the candidate and nobody else comes: stable, which could speak, has its three
    /// seconds ([`Look::word`]).
    fn stable_was_better(&self) -> bool {
        let (counts, meanwhile) = match self.evidence.stable {
            Comparison::Before { before, meanwhile } => (before, meanwhile),
            Comparison::Concurrent(_) | Comparison::None => (self.evidence.stable_ten_minutes, Counts::default()),
        };
        let level = self.budget.alpha / 2.0;
        let alone = self.evidence.candidate_weight == Weight::ZERO && meanwhile.bad == 0;
        ((self.mute() || alone) && counts.bad == 0)
            || self.sequence.shown_within(counts, self.objective.at_most, level)
            || self.candidate.lower > beyond(self.objective, self.sequence.upper(counts, level))
    }

    /// Stable gets no traffic and will never say anything.
    fn mute(&self) -> bool {
        self.evidence.candidate_weight == Weight::ALL
    }

    fn too_few_keys(&self) -> bool {
        self.evidence.keys_known && self.evidence.candidate.bad_keys < FAIL_KEYS
    }

    fn word(&self, ground: Ground, now: Timestamp) -> Word {
        let meanwhile = match (self.evidence.stable, ground) {
            (Comparison::None, _) | (Comparison::Concurrent(_), Ground::Excess) => return Word::Heard,
            (Comparison::Concurrent(counts), Ground::Absolute) => counts,
            (Comparison::Before { meanwhile, .. }, _) => meanwhile,
        };
        let (spoken, wait) = match self.evidence.stable {
            Comparison::Concurrent(counts) => {
                let each = one_each(self.evidence.candidate, counts, self.evidence.keys_known);
                let says = |level| self.beside.shown_above(each.candidate, each.stable, 0.0, level);
                (says(self.budget.alpha), if says(FAINT) { STABLE_WAIT } else { LONG_WAIT })
            }
            _ => (self.candidate.lower > self.sequence.upper(meanwhile, self.budget.alpha / 2.0), STABLE_WAIT),
        };
        if spoken && ground == Ground::Excess {
            return Word::Heard;
        }
        if [meanwhile, self.evidence.stable_ten_seconds].iter().any(|stable| stable.rate() > self.objective.at_most) {
            return Word::AlsoAbove;
        }
        let waited = self.evidence.waiting_since.is_some_and(|since| now.since(since) >= wait);
        let gross = self.candidate.lower > (GROSS * self.objective.at_most).min(0.5);
        if spoken || (waited && gross) || self.mute() { Word::Heard } else { Word::Awaited }
    }

    fn pass_or_wait(&self) -> (Verdict, Waiting) {
        let harm = self.limit();
        let shown = self.candidate.upper <= harm.max_upper || self.within_multiple();
        let missing = self.evidence.min_requests.saturating_sub(self.evidence.candidate.n);
        if self.stable_is_above() {
            (Verdict::Inconclusive, Waiting::Recovery)
        } else if shown && missing == 0 {
            (Verdict::Pass, Waiting::Nothing(None))
        } else if self.evidence.rule == Rule::FailOnly {
            (Verdict::Inconclusive, Waiting::Nothing(None))
        } else {
            let counts = self.evidence.candidate;
            let by_rate = more_requests(&self.sequence, counts, harm.max_upper, harm.level);
            let by_multiple = self.ratio_limit().and_then(|(ratio, stable)| {
                let each = one_each(counts, stable, self.evidence.keys_known);
                let sides = (each.candidate, each.stable);
                let more = more_requests_by_multiple(self.evidence.candidate_weight, sides, ratio, self.budget.beta);
                more.map(|more| (more as f64 * each.size).ceil() as u64)
            });
            let more = by_rate.into_iter().chain(by_multiple).min().map(|more| more.max(missing));
            (Verdict::Inconclusive, Waiting::Requests(if shown { Some(missing) } else { more }))
        }
    }

    /// What the candidate's lower bound must not exceed. As far as the ratio to stable is a ground of its own, it may
    /// fail earlier.
    fn fails_above(&self) -> f64 {
        let (Some(stable), Some(excess)) = (self.stable, self.excess) else { return self.objective.at_most };
        let worse = match (self.objective.tolerate, self.evidence.stable) {
            // As much as the excess has to rise by, the lower bound has to.
            (Tolerate::Share(share), Comparison::Concurrent(_)) => self.candidate.lower - excess.lower + share,
            _ => beyond(self.objective, stable.upper),
        };
        if self.stable_was_better() { worse.min(self.objective.at_most) } else { worse }
    }

    /// What the candidate's upper bound must not exceed for a pass.
    fn limit(&self) -> Limit {
        let next = self.evidence.next_weight.share();
        match (self.stable, self.objective.tolerate) {
            (Some(stable), Tolerate::Share(share)) => {
                Limit { max_upper: stable.lower + share / next, level: self.budget.beta / 2.0 }
            }
            (Some(_), Tolerate::Times(_)) => {
                Limit { max_upper: self.objective.at_most / 2.0 / next, level: self.budget.beta / 2.0 }
            }
            (None, _) => Limit { max_upper: self.objective.at_most / next, level: self.budget.beta },
        }
    }

    /// The ratio to stable's rate is shown to be small enough for the next step.
    fn within_multiple(&self) -> bool {
        let next = self.evidence.next_weight.share();
        match (self.objective.tolerate, self.times) {
            (Tolerate::Times(most), Some(times)) => times.upper <= largest_ratio(most, next),
            _ => false,
        }
    }

    /// What the ratio must be within, and stable at the same time, where there is one to compare with.
    fn ratio_limit(&self) -> Option<(f64, Counts)> {
        match (self.objective.tolerate, self.evidence.stable) {
            (Tolerate::Times(most), Comparison::Concurrent(stable)) => {
                Some((largest_ratio(most, self.evidence.next_weight.share()), stable))
            }
            _ => None,
        }
    }

    /// Nobody advances in the middle of an outage.
    fn stable_is_above(&self) -> bool {
        let above = |counts| self.sequence.shown_above(counts, self.objective.at_most, outage::LEVEL);
        let concurrent = match self.evidence.stable {
            Comparison::Concurrent(counts) => above(counts),
            Comparison::Before { before, meanwhile } => above(before) || above(meanwhile),
            Comparison::None => return false,
        };
        concurrent || above(self.evidence.stable_ten_seconds)
    }
}

struct Limit {
    max_upper: f64,
    level: f64,
}

fn compared(stable: &Comparison) -> Option<(Counts, bool)> {
    match *stable {
        Comparison::Concurrent(counts) => Some((counts, false)),
        Comparison::Before { before, .. } => Some((before, true)),
        Comparison::None => None,
    }
}

/// What the bounds of the rates may spend. Where the ratio to a stable at the same time is a ground of its own, it has
/// half, and they have the other.
fn grounds(objective: &Objective, budget: &Budget, stable: &Comparison) -> Budget {
    match (objective.tolerate, stable) {
        (Tolerate::Times(_), Comparison::Concurrent(_)) => {
            Budget { alpha: budget.alpha / 2.0, beta: budget.beta / 2.0 }
        }
        _ => *budget,
    }
}

/// The rate from which on a candidate is worse than tolerated, where stable's is `rate`.
fn beyond(objective: &Objective, rate: f64) -> f64 {
    match objective.tolerate {
        Tolerate::Share(share) => rate + share,
        Tolerate::Times(times) => rate * times,
    }
}
