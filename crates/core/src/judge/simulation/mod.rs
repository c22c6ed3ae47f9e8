//! Simulated traffic and rollouts around the real judge: requests one by one, users, a split, windows, and a planner
//! that is no more than the judge's own rules. Seeded, so every run is the same. Not the planner, and not its tests.
//!
//! For the judge's own tests, and with the feature `simulation` for the test kit, which measures the judge beside its
//! peers. The product is built without it.

mod run;
mod screen;
mod tally;
mod traffic;
mod world;

#[cfg(test)]
mod beside;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod healthy;
#[cfg(test)]
mod multiple;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod shared_outage;
#[cfg(test)]
mod table;

pub use traffic::{Pace, Random, Request, assigned, daylight, mix};
pub use world::{Comparable, End, Step, Story, World, canary, percent};

#[cfg(test)]
use super::{Budget, Comparison, Counts, Evidence, Rule, Verdict, judge};
use crate::spec::{Bad, Objective, Tolerate};
use crate::units::Millis;
#[cfg(test)]
use crate::units::{Timestamp, Weight};

/// At most 1% failed, 0.5% more than stable tolerated.
pub fn errors() -> Objective {
    Objective { name: "errors".to_string(), bad: Bad::Failed, at_most: 0.01, tolerate: Tolerate::Share(0.005) }
}

/// At most 5% slower than 300ms, 2.5% more than stable tolerated.
pub fn latency() -> Objective {
    let bad = Bad::SlowerThan(Millis(300));
    Objective { name: "latency".to_string(), bad, at_most: 0.05, tolerate: Tolerate::Share(0.025) }
}

/// Milliseconds at which a simulation begins.
pub const BEGIN: u64 = 1_000_000_000;
/// No simulated step takes longer, pauses included.
const LONGEST_STEP: Millis = Millis::from_secs(1800);
/// In the judge's own tests the first step begins after a minute of traffic on stable alone.
#[cfg(test)]
const WARM_UP: Millis = Millis::from_secs(60);
/// Milliseconds at which the first step begins, there.
#[cfg(test)]
const STEP_BEGINS: u64 = BEGIN + WARM_UP.0;
