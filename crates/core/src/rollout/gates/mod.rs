//! Gates: what must hold before the first act of a release, each with its evidence and with how to get it.
//!
//! Pure: looked at when a plan is shown, when somebody asks, and at the moment at which a rollout would begin. Rollbacks
//! and drills pass no gate: nothing may stand in the way back.

mod after;
mod approvals;
mod drill;
mod freeze;
mod readiness;
mod watchers;

use serde::{Deserialize, Serialize};

use super::lane::{Asked, Lane, Release};
use super::model::RolloutKind;
use super::observed::Observed;
use super::schema;
use crate::units::{Millis, Timestamp};

pub use approvals::{Approval, Word, counting, may_approve, seal, word};
pub use watchers::watchers;

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

    fn waiting(name: &str, sentence: String, remedy: String) -> Gate {
        Gate { standing: Standing::Waiting, ..Gate::blocking(name, sentence, remedy) }
    }

    fn blocking(name: &str, sentence: String, remedy: String) -> Gate {
        Gate { name: name.to_string(), standing: Standing::Blocking, sentence, remedy: Some(remedy) }
    }
}

/// Every gate of what is asked for at `now`. Nothing may stand in the way back: only releases and contracts have gates.
pub fn of(lane: &Lane, asked: &Asked, seen: &Observed, now: Timestamp) -> Vec<Gate> {
    let mut gates = match asked.kind {
        RolloutKind::Release => of_release(lane, &asked.release, seen, now),
        RolloutKind::Contract => of_contract(lane, asked, now),
        RolloutKind::Rollback | RolloutKind::Drill { .. } => Vec::new(),
    };
    gates.extend(word(lane, asked).map(|word| approvals::enough(lane, asked, &word, now)));
    gates
}

/// A contract brings nothing to anybody: only the time has to be right for it, and what serves has to bear it.
fn of_contract(lane: &Lane, asked: &Asked, now: Timestamp) -> Vec<Gate> {
    let freezes = lane.policy(&asked.release).map(|policy| policy.gates.freeze);
    let mut gates: Vec<Gate> =
        freezes.filter(|freezes| !freezes.is_empty()).map(|freezes| freeze::off(&freezes, now)).into_iter().collect();
    gates.push(match schema::bears_contract(lane, &asked.release) {
        Ok(sentence) => Gate::met("schema", sentence),
        Err(why) => {
            Gate::blocking("schema", why, "it waits until that is over; slipway abort withdraws it".to_string())
        }
    });
    gates
}

/// Whether a contract has to wait although its word is given. Its word is kept meanwhile.
pub(super) fn holds_contract(lane: &Lane, asked: &Asked, now: Timestamp) -> bool {
    asked.kind == RolloutKind::Contract && blocked(&of_contract(lane, asked, now)).is_some()
}

/// The gates that hold or not whoever asks: all but the approvals.
pub fn of_release(lane: &Lane, release: &Release, seen: &Observed, now: Timestamp) -> Vec<Gate> {
    let Some(policy) = lane.policy(release) else { return Vec::new() };
    let declared = &policy.gates;
    let mut gates = Vec::new();
    gates.extend(declared.readiness.iter().map(|what| readiness::has(lane, release, *what, seen)));
    gates.extend(policy.require_drill.map(|age| drill::young(lane, age, seen, now)));
    gates.extend(declared.after.iter().map(|after| after::serves(lane, after, seen)));
    if !declared.freeze.is_empty() {
        gates.push(freeze::off(&declared.freeze, now));
    }
    gates
}

/// Whether what is asked for has to wait for somebody's word.
pub(super) fn waits(lane: &Lane, asked: &Asked, now: Timestamp) -> bool {
    word(lane, asked).is_some_and(|word| counting(lane, asked, &word, now).len() < word.policy.count as usize)
}

/// How long it may wait for it.
pub(super) fn patience(lane: &Lane, asked: &Asked) -> Option<Millis> {
    word(lane, asked).map(|word| word.patience)
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
