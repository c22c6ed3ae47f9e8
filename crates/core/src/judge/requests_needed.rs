//! Planning arithmetic: how many requests a verdict will take, before or while they come. Expected numbers go through
//! the same bounds as real ones do; nothing here decides anything.

use super::beside::Beside;
use super::multiple::{Multiple, Side, largest_ratio};
use super::sequence::Sequence;
use super::{Budget, Counts};
use crate::spec::{Objective, Tolerate};
use crate::units::Weight;

/// More requests than this are as good as never.
const NEVER: u64 = 1 << 40;
/// Bad events, from as many users, that a fail needs.
const FAIL_EVENTS: u64 = 3;

/// What a step is expected to see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// The candidate's share of the requests, above 0. At 100% stable is taken as known to the last digit.
    pub weight: Weight,
    /// Its share after a pass.
    pub next_weight: Weight,
    /// Stable's share of bad events, from its recent past.
    pub stable_rate: f64,
    /// The candidate's share of bad events.
    pub candidate_rate: f64,
    /// Requests that the candidate must have had before it can pass.
    pub min_requests: u64,
}

/// Candidate requests until it passes a step, if all goes as forecast. `None` where it never would.
pub fn requests_needed(objective: &Objective, budget: &Budget, forecast: &Forecast) -> Option<u64> {
    let share = match objective.tolerate {
        Tolerate::Share(share) => share,
        Tolerate::Times(times) => return needed_by_multiple(objective, times, budget, forecast),
    };
    let sequence = Sequence::new(objective.at_most);
    let level = budget.beta / 2.0;
    let margin = share / forecast.next_weight.share();
    let enough = |n: f64| {
        let stable = match alongside(n, forecast.weight) {
            Some(of) => sequence.lower_expected(of, of * forecast.stable_rate, level),
            None => forecast.stable_rate,
        };
        sequence.shown_within_expected(n, n * forecast.candidate_rate, stable + margin, level)
    };
    first(enough).map(|n| n.max(forecast.min_requests))
}

/// The same where a multiple of stable's rate is tolerated: by the ratio, or by being within half of `at_most`.
fn needed_by_multiple(objective: &Objective, times: f64, budget: &Budget, forecast: &Forecast) -> Option<u64> {
    let sequence = Sequence::new(objective.at_most);
    let next = forecast.next_weight.share();
    let (largest, least) = (largest_ratio(times, next), objective.at_most / 2.0 / next);
    let by_rate = first(|n| sequence.shown_within_expected(n, n * forecast.candidate_rate, least, budget.beta / 4.0));
    let multiple = Multiple::new(forecast.weight);
    let by_ratio = first(|n| {
        let candidate = Side { n, bad: n * forecast.candidate_rate };
        match alongside(n, forecast.weight) {
            Some(of) => {
                let stable = Side { n: of, bad: of * forecast.stable_rate };
                multiple.concurrent(candidate, stable, budget.alpha / 2.0, budget.beta / 2.0).upper <= largest
            }
            None => sequence.upper_expected(n, candidate.bad, budget.beta / 2.0) <= largest * forecast.stable_rate,
        }
    });
    by_rate.into_iter().chain(by_ratio).min().map(|n| n.max(forecast.min_requests))
}

/// Candidate requests until it fails, if it is as bad as forecast. `None` where it never would.
pub fn requests_to_catch(objective: &Objective, budget: &Budget, forecast: &Forecast) -> Option<u64> {
    let sequence = Sequence::new(objective.at_most);
    let multiple = Multiple::new(forecast.weight);
    let beside = Beside::new(objective.at_most, forecast.weight.share());
    let level = budget.alpha / 2.0;
    let caught = |n: f64| {
        let bad = n * forecast.candidate_rate;
        if let Some(of) = alongside(n, forecast.weight) {
            let (candidate, stable) = (Side { n, bad }, Side { n: of, bad: of * forecast.stable_rate });
            return match objective.tolerate {
                Tolerate::Share(share) => beside.lower(candidate, stable, level) > share,
                Tolerate::Times(times) => multiple.concurrent(candidate, stable, level, level).lower > times,
            };
        }
        let candidate = sequence.lower_expected(n, bad, level);
        match objective.tolerate {
            Tolerate::Share(share) => candidate - forecast.stable_rate > share,
            Tolerate::Times(times) => candidate > times * forecast.stable_rate,
        }
    };
    let events = (FAIL_EVENTS as f64 / forecast.candidate_rate).ceil() as u64;
    first(caught).map(|n| n.max(events))
}

/// Requests that a candidate still needs until its upper bound is within `max_upper`, if its share of bad events stays
/// what it is. `None` where no number would do.
pub(super) fn more_requests(sequence: &Sequence, counts: Counts, max_upper: f64, level: f64) -> Option<u64> {
    let rate = counts.rate();
    let (n, bad) = (counts.n as f64, counts.bad.min(counts.n) as f64);
    first(|more| sequence.shown_within_expected(n + more, bad + more * rate, max_upper, level))
}

/// Requests that a candidate still needs until it is shown within `largest` times stable's rate, if both go on as they
/// are.
pub(super) fn more_requests_by_multiple(
    weight: Weight,
    (candidate, stable): (Side, Side),
    largest: f64,
    beta: f64,
) -> Option<u64> {
    if candidate.n <= 0.0 {
        return None;
    }
    let multiple = Multiple::new(weight);
    first(|more| {
        let grown = 1.0 + more / candidate.n;
        let [candidate, stable] = [candidate, stable].map(|s| Side { n: s.n * grown, bad: s.bad * grown });
        multiple.concurrent(candidate, stable, beta, beta).upper <= largest
    })
}

/// Stable's requests beside `n` of the candidate; none at 100%.
fn alongside(n: f64, weight: Weight) -> Option<f64> {
    let share = weight.share();
    (share > 0.0 && share < 1.0).then(|| n * (1.0 - share) / share)
}

/// The smallest number at which `enough` holds; it must go on holding from there.
fn first(enough: impl Fn(f64) -> bool) -> Option<u64> {
    let mut high = 1;
    while !enough(high as f64) {
        high *= 2;
        if high > NEVER {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle as f64) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::super::simulation::errors;
    use super::*;

    fn forecast(weight: u16, next: u16, rate: f64) -> Forecast {
        let of = |percent| Weight::from_bp(percent * 100).unwrap();
        Forecast {
            weight: of(weight),
            next_weight: of(next),
            stable_rate: rate,
            candidate_rate: rate,
            min_requests: 50,
        }
    }

    /// A candidate that never errs, `tolerate` 0.5%, beta 5% undivided.
    #[test]
    fn a_pass_takes_as_many_requests_as_computed_beforehand() {
        let budget = Budget { alpha: 0.001, beta: 0.05 };
        let needed = |w, next, rate| requests_needed(&errors(), &budget, &forecast(w, next, rate)).unwrap();
        let steps = [(1, 5), (5, 25), (25, 50), (50, 100)];
        // With tilts that suit each bound it would be 206 instead of 207.
        assert_eq!(steps.map(|(w, next)| needed(w, next, 0.0)), [50, 207, 415, 831]);
        let with_errors = needed(50, 100, 0.005);
        assert!((9_500..11_000).contains(&with_errors), "at 0.5% errors it takes longer: {with_errors}");
    }

    #[test]
    fn a_candidate_that_fails_always_is_caught_in_a_handful_and_one_like_stable_never() {
        let budget = Budget::divided(0.01, 0.05, 5, 2);
        let bad = |weight, rate| {
            let forecast = Forecast { candidate_rate: rate, ..forecast(weight, 100, 0.002) };
            requests_to_catch(&errors(), &budget, &forecast)
        };
        assert!(bad(1, 1.0).is_some_and(|n| n <= 6), "{:?}", bad(1, 1.0));
        assert!(bad(100, 1.0).is_some_and(|n| n <= 6), "{:?}", bad(100, 1.0));
        assert!(bad(50, 1.0).is_some_and(|n| n <= 20), "{:?}", bad(50, 1.0));
        assert_eq!(bad(50, 0.002), None);
    }

    #[test]
    fn a_candidate_worse_than_tolerated_never_passes() {
        let worse = Forecast { candidate_rate: 0.02, ..forecast(50, 100, 0.001) };
        assert_eq!(requests_needed(&errors(), &Budget { alpha: 0.001, beta: 0.05 }, &worse), None);
    }
}
