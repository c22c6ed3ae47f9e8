//! What people ask of a lane: one command, one file. Each changes the lane of a turn or says why it will not; the rest
//! of the turn then follows as always.

mod abort;
mod approve;
mod contract;
mod drill;
mod fault;
mod maintenance;
mod pause;
mod promote;
mod release;
mod restart;
mod resume;
mod rollback;
mod scale;

pub use abort::{abort, force, withdraw};
pub use approve::approve;
pub use contract::contract;
pub use drill::drill;
pub use fault::{NewFault, begin_fault, end_faults};
pub use maintenance::{begin_maintenance, end_maintenance};
pub use pause::pause;
pub use promote::promote;
pub use release::release;
pub use restart::restart;
pub use resume::resume;
pub use rollback::{Back, no_way_back, refuse_two_at_once, rollback, way_back};
pub use scale::scale;

use super::begin::open as opened;
use super::model::{Outcome, State};
use super::{Asked, Today, Turn, plan};
use crate::journal::Fact;
use crate::units::Timestamp;

/// Why a command was refused: what is, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// A short code, stable: `nothing_open`.
    pub code: &'static str,
    /// A sentence.
    pub reason: String,
}

pub(crate) fn refuse<T>(code: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, reason: reason.into() })
}

/// The open rollout, or that there is none.
fn open(lane: &super::Lane) -> Result<&super::Rollout, Refusal> {
    match &lane.open {
        Some(open) if open.ended().is_none() => Ok(open),
        _ => refuse("nothing_open", format!("no rollout of {} is open", lane.id)),
    }
}

/// Ends those that wait and that `which` names.
fn end_queued(
    turn: &mut Turn,
    outcome: Outcome,
    cause: &str,
    actor: &str,
    now: Timestamp,
    which: impl Fn(&Asked) -> bool,
) {
    for asked in turn.lane.queue.extract_if(.., |asked| which(asked)).collect::<Vec<_>>() {
        let plan = plan(&turn.lane, asked.kind, &asked.release, &asked.strategy, &Today::default());
        let mut rollout = opened(&turn.lane, asked, plan, now);
        rollout.state = State::Ended { outcome, cause: cause.to_string() };
        rollout.ended_at = Some(now);
        turn.facts.push(Fact {
            kind: format!("rollout.{}", outcome.as_str()),
            lane: Some(turn.lane.id.clone()),
            rollout: Some(rollout.id.clone()),
            actor: actor.to_string(),
            cause: cause.to_string(),
            evidence: serde_json::Value::Null,
        });
        turn.ended.push(rollout);
    }
}
