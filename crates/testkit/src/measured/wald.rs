//! How many requests the judge takes to find a bad candidate, beside the fewest that any test can do with.
//!
//! Wald, "Sequential analysis" (1947): a test that calls a rate of `a` bad with a chance of at most alpha, and one of `q`
//! good with a chance of at most beta, needs, on average, at least about
//! `((1-beta) ln((1-beta)/alpha) + beta ln(beta/(1-alpha))) / KL(q || a)` observations where the rate is `q`. Alpha and beta
//! are what the judge may spend on one objective in one attempt of one step, and `a` is the objective's `at_most`. Where both
//! versions have much traffic another question is harder: whether both have one rate, as in an outage of what both depend on.
//! There it is the bound of that.

use slipway_core::judge::simulation::{Comparable, End, Pace, Random, Request, Step, World, errors, latency, percent};
use slipway_core::judge::{Budget, Rule};
use slipway_core::units::{Millis, Weight};

use super::{ALPHA, BETA};

/// Judged steps of the default canary, verification included.
const STEPS: usize = 5;
const OBJECTIVES: usize = 2;
const AT_MOST: f64 = 0.01;

/// Where a bad candidate is to be found.
#[derive(Debug, Clone, Copy)]
pub struct Hunt {
    /// What it is called.
    pub name: &'static str,
    /// The candidate's share in percent.
    pub weight: u16,
    /// What it is compared with.
    pub compared: Comparable,
    /// Its share of bad requests.
    pub bad: f64,
    /// Stable's.
    pub stable: f64,
    /// Whether the bar is on it.
    pub counts: bool,
}

impl Hunt {
    /// What it is, in a few words.
    pub fn title(&self) -> String {
        let Hunt { name, weight, .. } = self;
        let [bad, stable] = [self.bad, self.stable].map(|share| format!("{:.2}", share * 100.0));
        let [bad, stable] = [bad, stable].map(|share| share.trim_end_matches('0').trim_end_matches('.').to_string());
        format!("{name} at {weight}%: {bad}% bad, stable {stable}%")
    }
}

/// What was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The candidate's requests until it failed.
    pub median: f64,
    /// On average.
    pub mean: f64,
    /// The least that is possible.
    pub least: f64,
    /// The least for a test that a shared outage may fool: the rate alone is asked for.
    pub alone: f64,
    /// Rollouts in which it was not found.
    pub missed: u64,
}

impl Found {
    /// The median as a multiple of the least.
    pub fn ratio(&self) -> f64 {
        self.median / self.least
    }

    /// The median as a multiple of the least for the rate alone.
    pub fn ratio_alone(&self) -> f64 {
        self.median / self.alone
    }
}

/// So many hunts, one for each seed from this one on.
pub fn measure(hunt: &Hunt, runs: u64, seed: u64) -> Found {
    let user = |random: &mut Random| random.bits();
    let bad = |random: &mut Random, request: &Request| {
        request.objective == 0 && random.chance(if request.to_candidate { hunt.bad } else { hunt.stable })
    };
    let weight = percent(hunt.weight);
    let rule = if hunt.weight < 99 { Rule::PassOrFail } else { Rule::FailOnly };
    let world = World {
        pace: Pace::Steady(300.0),
        objectives: vec![errors(), latency()],
        steps: vec![Step { weight, next: Weight::ALL, rule, length: Millis::from_secs(1_500) }],
        // One step here is to get what one of five gets.
        alpha: ALPHA / STEPS as f64,
        user: &user,
        sticky: false,
        bad: &bad,
        advance: false,
        compared: hunt.compared,
        warm_up: Millis::from_secs(60),
        look: Millis::from_secs(1),
        gap: Millis(0),
    };
    let mut taken: Vec<u64> = (seed..seed + runs)
        .filter_map(|seed| match world.rollout(seed) {
            End::Failed { candidate_requests, .. } => Some(candidate_requests),
            _ => None,
        })
        .collect();
    taken.sort_unstable();
    let mean = taken.iter().sum::<u64>() as f64 / taken.len().max(1) as f64;
    let median = taken.get(taken.len() / 2).map_or(f64::NAN, |n| *n as f64);
    let [least, alone] = [least(hunt), alone(hunt)];
    Found { median, mean, least, alone, missed: runs - taken.len() as u64 }
}

/// The least for the question that is asked: a candidate that is within `at_most`, and one that shares whatever trouble
/// stable is in, must both not be failed. The harder of the two to tell from what is so decides.
fn least(hunt: &Hunt) -> f64 {
    let shared = match hunt.compared {
        Comparable::Concurrent => shared(hunt.bad, hunt.stable, f64::from(100 - hunt.weight) / f64::from(hunt.weight)),
        Comparable::Before | Comparable::Nobody => f64::INFINITY,
    };
    alone(hunt).max(told() / shared)
}

/// The least for whether the rate is within `at_most`.
fn alone(hunt: &Hunt) -> f64 {
    told() / divergence(hunt.bad, AT_MOST)
}

/// What a test has to be told at least, in nats.
fn told() -> f64 {
    let Budget { alpha, beta } = Budget::divided(ALPHA, BETA, STEPS, OBJECTIVES);
    (1.0 - beta) * ((1.0 - beta) / alpha).ln() + beta * (beta / (1.0 - alpha)).ln()
}

/// What one request of the candidate's, and `beside` of stable's, tell against one rate for both, whichever it is.
fn shared(candidate: f64, stable: f64, beside: f64) -> f64 {
    // The nearest common rate is that of both together.
    let common = (candidate + beside * stable) / (1.0 + beside);
    divergence(candidate, common) + beside * divergence(stable, common)
}

/// Kullback and Leibler's divergence of two shares, in nats.
fn divergence(q: f64, a: f64) -> f64 {
    let part = |q: f64, a: f64| if q > 0.0 { q * (q / a).ln() } else { 0.0 };
    part(q, a) + part(1.0 - q, 1.0 - a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_that_of_the_formula() {
        // 0.1 ln 10 + 0.9 ln(0.9/0.99), and by it what alpha of 1/3000 and beta of 1/60 ask for.
        assert!((divergence(0.1, 0.01) - 0.144_479).abs() < 1e-5, "{}", divergence(0.1, 0.01));
        let hunt = |weight, compared, bad, stable| Hunt { name: "", weight, compared, bad, stable, counts: true };
        let alone = |bad| least(&hunt(100, Comparable::Nobody, bad, 0.005));
        assert!((told() - 7.7883).abs() < 0.001, "{}", told());
        assert!((alone(0.1) - 53.906).abs() < 0.01, "{}", alone(0.1));
        assert!((alone(1.0) - 1.6912).abs() < 0.001, "{}", alone(1.0));
        // With 19 of stable's requests to one of the candidate's a shared rate is soon ruled out, with one it is not:
        // 0.1 and 0.005 are 0.0525 together, and 0.018 and 0.037 away from that.
        assert_eq!(least(&hunt(5, Comparable::Concurrent, 0.1, 0.005)), alone(0.1));
        let even = shared(0.1, 0.005, 1.0);
        assert!((even - 0.0551).abs() < 0.0005, "{even}");
        assert!((least(&hunt(50, Comparable::Concurrent, 0.1, 0.005)) - told() / even).abs() < 0.01);
    }
}
