//! A latency bound that is stable's own: a quantile of its latency, taken once before a rollout and then fixed.
//!
//! Taken from what stable did over the up to ten minutes before, so the candidate has no part in it, and a bound that
//! followed stable's latency of the moment would be evidence and yardstick at once. What stable did by that bound comes
//! with it ([`LatencyBound::before`]). Where stable answered too few requests there is no bound: nothing is guessed.
//! Called by the planner; the gateway counts by what it says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Counts;

/// Requests beyond a quantile that it takes to tell where it is.
const BEYOND: u64 = 10;
/// No quantile is taken from fewer requests than this.
const LEAST: u64 = 100;

/// A quantile from p50 to p99.9, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantile(u16);

impl Quantile {
    /// The share of requests that are slower, by definition.
    pub fn beyond(self) -> f64 {
        f64::from(1000 - self.0) / 1000.0
    }

    /// Requests that it takes to tell it.
    pub fn needs(self) -> u64 {
        (BEYOND * 1000).div_ceil(u64::from(1000 - self.0)).max(LEAST)
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "p{whole}"),
            (whole, tenth) => write!(f, "p{whole}.{tenth}"),
        }
    }
}

impl FromStr for Quantile {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantile, String> {
        let wrong = || format!("{text:?} is not a quantile from p50 to p99.9");
        let number = text.strip_prefix('p').ok_or_else(wrong)?;
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let digits =
            |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 2) || !digits(tenth, 1) {
            return Err(wrong());
        }
        let thousandths =
            whole.parse::<u16>().map_err(|_| wrong())? * 10 + tenth.parse::<u16>().map_err(|_| wrong())?;
        if (500..=999).contains(&thousandths) { Ok(Quantile(thousandths)) } else { Err(wrong()) }
    }
}

/// What was taken of stable's latency for one objective, before a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyBound {
    /// The objective.
    pub objective: String,
    /// Which quantile.
    pub quantile: Quantile,
    /// Slower than this is bad, in microseconds; absent where stable answered too few requests to tell.
    pub bound_us: Option<u64>,
    /// Requests that stable answered.
    pub n: u64,
    /// Those of them that were slower.
    pub slower: u64,
}

impl LatencyBound {
    /// The bound by a histogram of stable's latency: pairs of upper bound in microseconds and count, in order.
    pub fn take<'a>(
        objective: &str,
        quantile: Quantile,
        latency: impl Iterator<Item = (&'a u64, &'a u64)> + Clone,
    ) -> Self {
        let n: u64 = latency.clone().map(|(_, count)| count).sum();
        let mut bound = LatencyBound { objective: objective.to_string(), quantile, bound_us: None, n, slower: 0 };
        if n < quantile.needs() {
            return bound;
        }
        let within = (u128::from(n) * u128::from(quantile.0)).div_ceil(1000) as u64;
        let mut seen = 0;
        for (upper, count) in latency {
            seen += count;
            if seen >= within {
                bound.bound_us = Some(*upper);
                bound.slower = n - seen;
                break;
            }
        }
        bound
    }

    /// What stable did by this bound in the minutes before; nothing where there is none.
    pub fn before(&self) -> Counts {
        match self.bound_us {
            // Users were not told apart then; nothing that rests on stable asks for them.
            Some(_) => Counts { n: self.n, bad: self.slower, bad_keys: 0 },
            None => Counts::default(),
        }
    }

    /// What was taken, as a sentence about an objective.
    pub fn sentence(&self) -> String {
        let (name, quantile, n) = (&self.objective, self.quantile, self.n);
        let requests = if n == 1 { "1 request".to_string() } else { format!("{n} requests") };
        match self.bound_us {
            Some(bound) => format!(
                "{name}: slow is slower than {}, stable's {quantile} over {requests} of the up to ten minutes before",
                Micros(bound)
            ),
            None => format!(
                "{name}: {}, so this objective is inconclusive, and a step that needs its pass will ask a person",
                self.why_none()
            ),
        }
    }

    /// Why there is no bound.
    pub fn why_none(&self) -> String {
        let (n, plural) = (self.n, if self.n == 1 { "" } else { "s" });
        format!(
            "stable answered {n} request{plural} in the up to ten minutes before, and its {} takes {}",
            self.quantile,
            self.quantile.needs()
        )
    }
}

/// Microseconds as people write them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Micros(pub u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us < 1_000 => write!(f, "{us}µs"),
            us if us < 100_000 => write!(f, "{:.1}ms", us as f64 / 1e3),
            us if us < 10_000_000 => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{:.1}s", us as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn take(quantile: &str, latency: &[(u64, u64)]) -> LatencyBound {
        let latency: BTreeMap<u64, u64> = latency.iter().copied().collect();
        LatencyBound::take("latency", quantile.parse().expect("a quantile"), latency.iter())
    }

    #[test]
    fn quantiles_are_read_and_shown_as_people_write_them() {
        for text in ["p50", "p90", "p95", "p99", "p99.9", "p97.5"] {
            assert_eq!(text.parse::<Quantile>().expect("a quantile").to_string(), text);
        }
        for text in ["95", "p", "p49.9", "p100", "p9.95", "p99.99", "p+9", "p095", "p95.", "P95"] {
            assert!(text.parse::<Quantile>().is_err(), "{text}");
        }
        let p95: Quantile = "p95".parse().expect("a quantile");
        assert_eq!((p95.needs(), p95.beyond()), (200, 0.05));
        assert_eq!("p99.9".parse::<Quantile>().expect("a quantile").needs(), 10_000);
        assert_eq!("p50".parse::<Quantile>().expect("a quantile").needs(), 100);
    }

    #[test]
    fn the_bound_is_the_first_bucket_that_holds_the_quantile_and_counts_what_is_beyond() {
        let bound = take("p95", &[(1_000, 900), (2_000, 50), (5_000, 30), (9_000, 20)]);
        assert_eq!((bound.bound_us, bound.n, bound.slower), (Some(2_000), 1_000, 50));
        assert_eq!(bound.before(), Counts { n: 1_000, bad: 50, bad_keys: 0 });
        assert!(
            bound.sentence().contains("slower than 2.0ms, stable's p95 over 1000 requests"),
            "{}",
            bound.sentence()
        );
        let lumpy = take("p95", &[(1_000, 940), (2_000, 60)]);
        assert_eq!((lumpy.bound_us, lumpy.slower), (Some(2_000), 0));
    }

    #[test]
    fn too_few_requests_give_no_bound_and_say_so() {
        let bound = take("p95", &[(1_000, 199)]);
        assert_eq!((bound.bound_us, bound.before()), (None, Counts::default()));
        assert!(bound.sentence().contains("stable answered 199 requests"), "{}", bound.sentence());
        assert!(
            bound.sentence().contains("its p95 takes 200, so this objective is inconclusive"),
            "{}",
            bound.sentence()
        );
        assert_eq!(take("p99", &[]).bound_us, None);
    }

    #[test]
    fn lengths_are_told_with_three_digits_or_so() {
        let text = [1, 999, 1_000, 12_345, 123_456, 4_500_000, 12_340_000].map(|us| Micros(us).to_string());
        assert_eq!(text, ["1µs", "999µs", "1.0ms", "12.3ms", "123ms", "4500ms", "12.3s"]);
    }
}
