//! What happens to a service during a rollout: how much is asked, by whom, and how often an answer is bad. One
//! description serves Slipway's judge, request by request, and its peers, interval by interval.

use slipway_core::judge::simulation::{BEGIN, Pace, Random, Request, daylight, errors, latency, mix};
use slipway_core::spec::{Objective, Tolerate};
use slipway_core::units::{Millis, Timestamp};

/// The user who is unlike the others.
pub const HEAVY: u64 = 0;
/// The share of all requests that this user makes.
pub const HEAVY_SHARE: f64 = 1.0 / 3.0;
/// The other users; each asks as often as the next.
const USERS: u64 = 10_000;
/// Stable's share of slow requests.
const SLOW: f64 = 0.01;
/// How long a burst lasts. A simulated interval is never longer.
pub const BURST: Millis = Millis(2_000);
/// The share of requests that go wrong in a burst.
const IN_BURST: f64 = 0.2;
/// The share of all bad events that come in bursts.
const BURSTY: f64 = 0.8;
/// How long a drift takes.
const DRIFT: Millis = Millis::from_secs(1_200);

/// How bad events are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Always as likely.
    Steady,
    /// Four in five come in bursts of two seconds in which a fifth of all requests, whoever answers, goes wrong.
    Bursty,
    /// From half of the rate to one and a half within twenty minutes, for both versions.
    Drifting,
    /// From a fifth of the rate at night to nine fifths at the height of the day, with ten times the traffic.
    Daily,
}

/// What the candidate is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Candidate {
    /// Like stable.
    Healthy,
    /// Fails this share of the requests.
    Fails(f64),
    /// Answers this share slowly, and fails as stable does.
    Slow(f64),
}

/// One row of the tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// `busy` or `quiet`.
    pub traffic: &'static str,
    /// Requests per second.
    pub pace: Pace,
    /// How stable's errors are spread.
    pub shape: Shape,
    /// Stable's share of failed requests.
    pub errors: f64,
    /// What the candidate is like.
    pub candidate: Candidate,
    /// One user who makes a third of all requests and always stays on one version, and the share of those that fail
    /// on either.
    pub heavy: Option<f64>,
}

impl Scenario {
    /// What it is, in a few words.
    pub fn name(&self) -> String {
        let percent = |share: f64| format!("{:.1}%", share * 100.0);
        let errors = percent(self.errors);
        let what = match (self.candidate, self.shape) {
            (Candidate::Healthy, Shape::Steady) => format!("{errors}, steady"),
            (Candidate::Healthy, Shape::Bursty) => format!("{errors}, in bursts"),
            (Candidate::Healthy, Shape::Drifting) => format!("{errors}, drifting"),
            (Candidate::Healthy, Shape::Daily) => format!("{errors}, daily cycle"),
            (Candidate::Fails(share), _) if share >= 1.0 => "fails always".to_string(),
            (Candidate::Fails(share), _) => format!("fails {} where stable fails {errors}", percent(share)),
            (Candidate::Slow(share), _) => format!("slow {} where stable is {}", percent(share), percent(SLOW)),
        };
        let user = match self.heavy {
            None => "",
            Some(fails) if fails > 0.0 => ", a third from one user who retries",
            Some(_) => ", a third from one user who sees none of it",
        };
        format!("{}: {what}{user}", self.traffic)
    }

    /// The healthy candidate in the same circumstances.
    pub fn healthy(&self) -> Scenario {
        Scenario { candidate: Candidate::Healthy, ..*self }
    }

    /// Whether the candidate is no worse than the objectives tolerate.
    pub fn is_tolerable(&self) -> bool {
        let [errors, latency] = [errors(), latency()];
        let within = |objective: &Objective, share: f64, stable: f64| {
            let more = match objective.tolerate {
                Tolerate::Share(share) => share,
                Tolerate::Times(times) => (times - 1.0) * stable,
            };
            share <= objective.at_most && share - stable <= more
        };
        match self.candidate {
            Candidate::Healthy => true,
            Candidate::Fails(share) => within(&errors, share, self.errors),
            Candidate::Slow(share) => within(&latency, share, SLOW),
        }
    }

    /// The user behind the next request.
    pub fn user(&self, random: &mut Random) -> u64 {
        match self.heavy {
            Some(_) if random.chance(HEAVY_SHARE) => HEAVY,
            _ => 1 + random.below(USERS),
        }
    }

    /// The chance that a request goes wrong for the objective that it asks about: errors first, then latency.
    pub fn chance(&self, request: &Request) -> f64 {
        let ours = if request.to_candidate { self.candidate } else { Candidate::Healthy };
        match (request.objective, ours, self.heavy) {
            (0, _, Some(fails)) if request.user == HEAVY => fails,
            (0, Candidate::Fails(share), _) => share,
            (0, ..) => self.shape.of(self.errors, request.at, request.salt),
            (_, Candidate::Slow(share), _) => share,
            _ => SLOW,
        }
    }
}

impl Shape {
    fn of(self, rate: f64, at: Timestamp, salt: u64) -> f64 {
        match self {
            Shape::Steady => rate,
            Shape::Bursty => {
                let bursts = rate * BURSTY / IN_BURST;
                let drawn = Random::new(mix(salt) ^ (at.0 / BURST.0)).unit();
                if drawn < bursts { IN_BURST } else { rate * (1.0 - BURSTY) / (1.0 - bursts) }
            }
            Shape::Drifting => {
                let passed = at.since(Timestamp(BEGIN)).0 as f64 / DRIFT.0 as f64;
                rate * (0.5 + passed.min(1.0))
            }
            Shape::Daily => rate * (0.2 + 1.6 * daylight(at, salt)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(shape: Shape) -> f64 {
        let days = 400_000_u64;
        let at = |salt| Timestamp(BEGIN + (mix(salt) % 600) * 1_000);
        (0..days).map(|salt| shape.of(0.005, at(salt), salt)).sum::<f64>() / days as f64
    }

    #[test]
    fn however_they_are_spread_there_are_as_many_bad_events() {
        assert_eq!(mean(Shape::Steady).to_bits(), mean(Shape::Steady).to_bits());
        for shape in [Shape::Steady, Shape::Bursty, Shape::Daily] {
            let found = mean(shape);
            assert!((found - 0.005).abs() < 0.0003, "{shape:?}: {found}");
        }
        // In the first ten of its twenty minutes.
        let drifting = mean(Shape::Drifting);
        assert!((drifting - 0.00375).abs() < 0.0001, "{drifting}");
    }
}
