//! Gates: what must hold before the first act of a release, each with its evidence and with how to get it.
//!
//! Pure: looked at when a plan is shown, when somebody asks, and at the moment at which a rollout would begin. Rollbacks
//! and drills pass no gate: nothing may stand in the way back.

mod drill;

use serde::{Deserialize, Serialize};

use super::lane::{Lane, Release};
use super::observed::Observed;
use crate::units::Timestamp;

/// One gate as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Which: `drill`, `approvals`, `freeze`, `after payments`, `readiness: owner`.
    pub name: String,
    /// Whether it holds.
    pub standing: Standing,
    /// What was found, as a sentence.
    pub sentence: String,
    /// How to get it to hold.
    pub remedy: Option<String>,
}

/// How a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It holds.
    Met,
    /// It is not asked for this time, and the sentence says why.
    Waived,
    /// A release waits for it.
    Waiting,
    /// No release begins.
    Blocking,
}

impl Gate {
    fn met(name: &str, sentence: String) -> Gate {
        Gate { name: name.to_string(), standing: Standing::Met, sentence, remedy: None }
    }

    fn waived(name: &str, sentence: String) -> Gate {
        Gate { name: name.to_string(), standing: Standing::Waived, sentence, remedy: None }
    }

    fn blocking(name: &str, sentence: String, remedy: String) -> Gate {
        Gate { name: name.to_string(), standing: Standing::Blocking, sentence, remedy: Some(remedy) }
    }
}

/// Every gate of `release` into `lane` at `now`, in the order in which they are declared.
pub fn gates(lane: &Lane, release: &Release, seen: &Observed, now: Timestamp) -> Vec<Gate> {
    let Some(environment) = release.environment(&lane.id) else { return Vec::new() };
    let mut gates = Vec::new();
    gates.extend(environment.require_drill.map(|age| drill::young(lane, age, seen, now)));
    gates
}

/// What blocks, as a sentence with the remedy of each.
pub fn blocked(gates: &[Gate]) -> Option<String> {
    let sentences: Vec<String> = gates
        .iter()
        .filter(|gate| gate.standing == Standing::Blocking)
        .map(|gate| match &gate.remedy {
            Some(remedy) => format!("{}: {}; {remedy}", gate.name, gate.sentence),
            None => format!("{}: {}", gate.name, gate.sentence),
        })
        .collect();
    (!sentences.is_empty()).then(|| sentences.join(" | "))
}

/// All of them in one sentence.
pub(super) fn sentence(gates: &[Gate]) -> String {
    gates.iter().map(|gate| format!("{}: {}", gate.name, gate.sentence)).collect::<Vec<_>>().join("; ")
}
