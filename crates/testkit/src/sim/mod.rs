//! A random world over the real planner, from one seed: what the control plane kept, what is on its way, and what the
//! gateways and the target really do stand apart, so that each may be behind the others or lost. After every tick the
//! invariants that can be seen here are checked by name. No real process, database or judge's false alarms: see
//! `docs/explanation/simulation.md`.

mod acts;
mod faults;
mod gateways;
mod nature;
mod people;
mod plane;
mod service;
mod world;

use std::collections::BTreeMap;

use slipway_core::names::VersionName;

pub use crate::checks::Broken;
pub use faults::Sabotage;
pub(crate) use faults::decide;
use world::World;

/// Ticks in which things go wrong; what is open then has to end in as many again.
const STORY: u64 = 400;
/// Ticks after the last fault within which everything has to come to an end, or to a person.
const CALM: u64 = 600;

/// What became of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The seed that it is told from.
    pub seed: u64,
    /// Rollouts that ended, by how.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Ticks that went by.
    pub ticks: u64,
    /// The first invariant that did not hold; the story ends there, at that tick.
    pub broken: Option<Broken>,
}

impl Story {
    /// Rollouts that ended, however.
    pub fn rollouts(&self) -> u64 {
        self.outcomes.values().sum()
    }
}

/// Plays the story of a seed.
pub fn simulate(seed: u64) -> Story {
    sabotaged(seed, None)
}

/// The same, with an invariant broken on purpose.
pub fn sabotaged(seed: u64, sabotage: Option<Sabotage>) -> Story {
    let mut world = World::new(seed, sabotage);
    let mut broken = None;
    let mut ticks = 0;
    while ticks < STORY + CALM && broken.is_none() {
        world.calm = ticks >= STORY;
        if world.calm && world.settled() {
            break;
        }
        ticks += 1;
        broken = world.tick().err();
    }
    if broken.is_none() && !world.settled() {
        let sentence = format!("{CALM} ticks after the last fault: {}", world.standing());
        broken = Some(Broken { invariant: "everything_ends", sentence });
    }
    Story { seed, outcomes: world.outcomes, ticks, broken }
}

fn version(number: u64) -> VersionName {
    format!("{number}.0.0").parse().expect("a valid version")
}
