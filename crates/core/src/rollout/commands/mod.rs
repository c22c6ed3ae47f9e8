//! What people ask of a lane: one command, one file. Each changes the lane of a turn or says why it will not; the rest
//! of the turn then follows as always.

mod abort;
mod drill;
mod pause;
mod promote;
mod release;
mod resume;
mod rollback;

pub use abort::abort;
pub use drill::drill;
pub use pause::pause;
pub use promote::promote;
pub use release::release;
pub use resume::resume;
pub use rollback::{Back, rollback, way_back};

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
