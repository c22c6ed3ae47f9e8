//! Seeded numbers, and requests one by one: who asks, when, and on which version the request lands.

use std::f64::consts::TAU;

use crate::units::{Millis, Timestamp, Weight};

/// A generator that gives the same numbers for the same seed on every machine: SplitMix64, by Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator from a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }
}

/// A number that has nothing to do with this one, and is always the same for it.
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How many requests come in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Always as many.
    Steady(f64),
    /// So many at the height of the day, and a tenth of that twelve hours later. The salt says at what hour a
    /// rollout begins.
    Daily(f64),
}

impl Pace {
    /// Requests per second at this moment of a rollout with this salt.
    pub fn at(self, at: Timestamp, salt: u64) -> f64 {
        match self {
            Pace::Steady(rps) => rps,
            Pace::Daily(peak) => peak * (0.1 + 0.9 * daylight(at, salt)),
        }
    }
}

/// From 0 in the deep of the night to 1 at the height of the day.
pub fn daylight(at: Timestamp, salt: u64) -> f64 {
    const DAY: Millis = Millis::from_secs(86_400);
    let begins = mix(salt) % DAY.0;
    (1.0 - ((at.0 + begins) as f64 / DAY.0 as f64 * TAU).cos()) / 2.0
}

/// Whether a user with this key, and everything that is theirs, is on the candidate at this weight. One who is stays
/// there when the weight grows.
pub fn assigned(key: u64, salt: u64, weight: Weight) -> bool {
    mix(key ^ salt) % 10_000 < u64::from(weight.bp())
}

/// One request as the error model sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// When it came.
    pub at: Timestamp,
    /// Who asks.
    pub user: u64,
    /// Whether the candidate answers it.
    pub to_candidate: bool,
    /// Which objective is asked about.
    pub objective: usize,
    /// Differs from rollout to rollout, and is the same for all of one.
    pub salt: u64,
}
