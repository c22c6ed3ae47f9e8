//! What is simulated: a service with its users and errors, the steps of a rollout, and how it ended.

use super::run::Run;
use super::traffic::{Pace, Random, Request};
use crate::judge::{Budget, Rule};
use crate::spec::Objective;
use crate::units::{Millis, Timestamp, Weight};

/// One step: a share of the traffic for a while.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The candidate's share.
    pub weight: Weight,
    /// Its share after a pass.
    pub next: Weight,
    /// Which verdicts are asked for.
    pub rule: Rule,
    /// How long it takes, or with [`World::advance`] how long it may.
    pub length: Millis,
}

/// So many percent.
///
/// # Panics
/// Above 100.
pub fn percent(p: u16) -> Weight {
    Weight::from_bp(p * 100).expect("at most 100 percent")
}

/// Canary steps, each as long as given, and a minute of verification.
pub fn canary(weights: &[u16], length: Millis) -> Vec<Step> {
    let nexts = weights.iter().skip(1).chain([&100]);
    let mut steps: Vec<Step> = weights
        .iter()
        .zip(nexts)
        .map(|(w, next)| Step { weight: percent(*w), next: percent(*next), rule: Rule::PassOrFail, length })
        .collect();
    steps.push(Step { weight: percent(99), next: Weight::ALL, rule: Rule::FailOnly, length: Millis::from_secs(60) });
    steps
}

/// What a candidate is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparable {
    /// Stable at the same time, as in a canary.
    Concurrent,
    /// Stable before the rollout, as in blue-green and rolling.
    Before,
    /// Nobody, as in a first release.
    Nobody,
}

/// A service, its users, and a rollout.
pub struct World<'a> {
    /// Requests per second.
    pub pace: Pace,
    /// What is judged.
    pub objectives: Vec<Objective>,
    /// The rollout's steps.
    pub steps: Vec<Step>,
    /// The chance of rolling back a healthy candidate that is allowed for.
    pub alpha: f64,
    /// The user behind the next request.
    pub user: &'a dyn Fn(&mut Random) -> u64,
    /// Whether a user stays on a version.
    pub sticky: bool,
    /// Whether the request goes wrong.
    pub bad: &'a dyn Fn(&mut Random, &Request) -> bool,
    /// Steps end at the first pass of all objectives, not at their length.
    pub advance: bool,
    /// What the candidate is compared with.
    pub compared: Comparable,
    /// Traffic on stable alone before the first step.
    pub warm_up: Millis,
    /// From one look to the next; a bad event of the candidate brings the next look forward.
    pub look: Millis,
    /// Looks are at least this far apart.
    pub gap: Millis,
}

impl World<'_> {
    /// What one objective may spend in one attempt of one step.
    pub(super) fn budget(&self) -> Budget {
        Budget::divided(self.alpha, 0.05, self.steps.len(), self.objectives.len())
    }

    /// The rollout with this seed.
    pub fn story(&self, seed: u64) -> Story {
        Run::new(self, seed).tell()
    }

    /// How the rollout with this seed ends.
    pub fn rollout(&self, seed: u64) -> End {
        self.story(seed).end
    }
}

/// A simulated rollout that is over.
#[derive(Debug)]
pub struct Story {
    /// How it ended.
    pub end: End,
    /// Requests that the candidate answered.
    pub candidate_requests: u64,
    /// Those of them that went wrong, for whichever objective, capped or not.
    pub harmed: u64,
    /// From the first step's beginning to the end.
    pub took: Millis,
}

/// How a simulated rollout ended.
#[derive(Debug)]
pub enum End {
    /// The candidate was failed.
    Failed {
        /// In which step.
        step: usize,
        /// Requests that the candidate had answered.
        candidate_requests: u64,
        /// When.
        at: Timestamp,
        /// The judge's words.
        sentence: String,
    },
    /// A step did not pass within its length, and a person is asked.
    Held {
        /// In which step.
        step: usize,
        /// The judge's words.
        sentence: String,
    },
    /// All steps are over.
    Succeeded,
}

impl End {
    /// Whether the candidate was failed.
    pub fn is_failed(&self) -> bool {
        matches!(self, End::Failed { .. })
    }
}
