//! Hooks: what receivers are told and asked, and how their answers are read.
//!
//! Pure: makes messages and reads answers. Who carries them, and when they are carried again, is the control plane's
//! business; what an answer leads to is the rollout's.

mod answer;
mod message;
mod patience;

pub use answer::{Answer, Word, read};
pub(crate) use message::message;
pub use message::{Message, event};
pub use patience::{again_after, given_up};

use crate::rollout::{Lane, Release};
use crate::spec::Hook;

/// The hooks of a lane: those of the version that is coming, while one is; those of the version that serves; before the
/// first, those of the version that waits. A release brings its hooks with it, as it brings its gates.
pub fn of(lane: &Lane) -> Vec<Hook> {
    let coming = lane.open.as_ref().map(|open| &open.release);
    let waiting = lane.queue.first().map(|asked| &asked.release);
    coming.or(lane.stable.as_ref()).or(waiting).map(|release| of_release(lane, release)).unwrap_or_default()
}

/// The hooks that a release brings to a lane.
pub fn of_release(lane: &Lane, release: &Release) -> Vec<Hook> {
    release.spec.hooks(&lane.id.environment)
}
