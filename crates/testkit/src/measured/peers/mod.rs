//! Other tools' rules for taking a candidate back, restated from what they document, and the traffic that they see.
//!
//! They look at sums over an interval, so requests are drawn by the interval here and not one by one: the number that
//! comes is Poisson's, the bad ones among them are binomial, anew for every two seconds, within which no rate changes.
//! Each rule is given what its documentation asks for: measurements that arrive at once and are exact.

mod argo;
mod draws;
mod flagger;
mod kayenta;

pub use argo::Argo;
pub use flagger::Flagger;
pub use kayenta::Kayenta;

use slipway_core::judge::simulation::{BEGIN, Random, Request};
use slipway_core::units::{Millis, Timestamp};

use self::draws::{binomial, poisson};
use super::scenario::{BURST, HEAVY, HEAVY_SHARE, Scenario};
use super::{End, Told};

/// Shares of the traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exposure {
    /// Answered by the candidate.
    pub candidate: f64,
    /// Answered by instances of the old version that are started to compare with.
    pub baseline: f64,
}

/// Requests of one side in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// All of them.
    pub n: u64,
    /// Bad ones, for errors and for latency.
    pub bad: [u64; OBJECTIVES],
}

/// Errors and latency.
pub const OBJECTIVES: usize = 2;

impl Sum {
    /// The share of bad ones for one objective; none where there was no request.
    pub fn rate(&self, objective: usize) -> Option<f64> {
        (self.n > 0).then(|| self.bad[objective] as f64 / self.n as f64)
    }
}

/// What one interval brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The candidate's requests.
    pub candidate: Sum,
    /// The baseline's.
    pub baseline: Sum,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    GoOn,
    /// The candidate is taken back.
    RolledBack,
    /// The candidate gets everything.
    Finished,
}

/// One rollout by a tool's rules.
pub trait Course {
    /// The shares of the interval that begins.
    fn exposure(&self) -> Exposure;
    /// From one look to the next.
    fn interval(&self) -> Millis;
    /// What follows from the interval that is over.
    fn look(&mut self, seen: &Seen) -> Next;
}

/// The most that may be acceptable of each objective, by Slipway's own objectives: what a tool's thresholds are set to.
pub const AT_MOST: [f64; OBJECTIVES] = [0.01, 0.05];

/// A whole rollout.
pub fn rollout(scenario: &Scenario, course: &mut dyn Course, seed: u64) -> Told {
    let mut random = Random::new(seed);
    let salt = random.bits();
    let mut traffic = Traffic { scenario, random, salt, now: Timestamp(BEGIN) };
    let mut harmed = 0;
    loop {
        let (seen, hurt) = traffic.interval(course.exposure(), course.interval());
        harmed += hurt;
        let end = match course.look(&seen) {
            Next::GoOn => continue,
            Next::RolledBack => End::RolledBack,
            Next::Finished => End::Finished,
        };
        return Told { end, harmed, took: traffic.now.since(Timestamp(BEGIN)) };
    }
}

struct Traffic<'a> {
    scenario: &'a Scenario,
    random: Random,
    salt: u64,
    now: Timestamp,
}

impl Traffic<'_> {
    /// What an interval brings, and how many requests the candidate's users lost in it.
    fn interval(&mut self, exposure: Exposure, length: Millis) -> (Seen, u64) {
        let (mut seen, mut harmed) = (Seen::default(), 0);
        let end = self.now.plus(length);
        while self.now < end {
            let block = end.since(self.now).min(BURST);
            harmed += self.block(exposure, block, &mut seen);
            self.now = self.now.plus(block);
        }
        (seen, harmed)
    }

    fn block(&mut self, exposure: Exposure, length: Millis, seen: &mut Seen) -> u64 {
        let expected = self.scenario.pace.at(self.now, self.salt) * length.0 as f64 / 1_000.0;
        let heavy = if self.scenario.heavy.is_some() { HEAVY_SHARE } else { 0.0 };
        let others = expected * (1.0 - heavy);
        let mut harmed = self.draw(others * exposure.candidate, HEAVY + 1, true, &mut seen.candidate);
        self.draw(others * exposure.baseline, HEAVY + 1, false, &mut seen.baseline);
        // Where the heavy user stands among all users, from 0 to 1: the first of them are the candidate's.
        let place = Random::new(self.salt).unit();
        if place < exposure.candidate {
            harmed += self.draw(expected * heavy, HEAVY, true, &mut seen.candidate);
        } else if place < exposure.candidate + exposure.baseline {
            self.draw(expected * heavy, HEAVY, false, &mut seen.baseline);
        }
        harmed
    }

    fn draw(&mut self, expected: f64, user: u64, to_candidate: bool, sum: &mut Sum) -> u64 {
        let n = poisson(&mut self.random, expected);
        let request = |objective| Request { at: self.now, user, to_candidate, objective, salt: self.salt };
        let [fails, slow] = [0, 1].map(|objective| self.scenario.chance(&request(objective)));
        let failed = binomial(&mut self.random, n, fails);
        // Slow ones are drawn among the failed and the others apart, so that nobody is harmed twice.
        let slow_only = binomial(&mut self.random, n - failed, slow);
        let both = binomial(&mut self.random, failed, slow);
        sum.n += n;
        sum.bad[0] += failed;
        sum.bad[1] += slow_only + both;
        failed + slow_only
    }
}
