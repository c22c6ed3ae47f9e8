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

use serde_json::json;

use crate::names::{Digest, LaneId};
use crate::rollout::{Lane, Release};
use crate::spec::{Hook, Readiness};
use crate::units::Timestamp;

/// The hooks of a lane: those of the version that is coming, while one is, and beside them those of the version that
/// serves; before the first, those of the version that waits. A release brings its hooks with it, as it brings its gates;
/// whoever it no longer names is told until it has ended, so that nothing is lost where it is taken back.
pub fn of(lane: &Lane) -> Vec<Hook> {
    let coming = lane.open.as_ref().map(|open| &open.release);
    let waiting = lane.queue.first().map(|asked| &asked.release);
    together(lane, coming.or(lane.stable.as_ref()).or(waiting))
}

/// The hooks of `release` in a lane, and beside them those of what serves.
pub(crate) fn together(lane: &Lane, release: Option<&Release>) -> Vec<Hook> {
    let mut hooks: Vec<Hook> = Vec::new();
    for hook in release.into_iter().chain(&lane.stable).flat_map(|release| of_release(lane, release)) {
        if hooks.iter().all(|other| other.name != hook.name) {
            hooks.push(hook);
        }
    }
    hooks
}

/// The hooks that bind a release in a lane: those of its environment's file, and its own beside them. Of two that are
/// called the same the environment's holds, so that no release can put another in its place.
pub fn of_release(lane: &Lane, release: &Release) -> Vec<Hook> {
    let mut hooks = lane.bound.as_ref().map(|bound| bound.hooks.clone()).unwrap_or_default();
    let own = release.spec.hooks(&lane.id.environment);
    let own = own.into_iter().filter(|own| hooks.iter().all(|bound| bound.name != own.name));
    let own: Vec<Hook> = own.collect();
    hooks.extend(own);
    hooks
}

/// The hooks of a release that are asked and told of nothing, where a gate wants to know whether they can be reached.
/// Whether one that is told of things can be, is known from telling it.
pub fn to_ping(lane: &Lane, release: &Release) -> Vec<Hook> {
    let wanted = lane.policy(release).is_some_and(|policy| policy.gates.readiness.contains(&Readiness::Hooks));
    if !wanted || release.spec.is_worker() {
        return Vec::new();
    }
    of_release(lane, release).into_iter().filter(only_asked).collect()
}

/// Whether it is asked, and told of nothing.
pub(crate) fn only_asked(hook: &Hook) -> bool {
    hook.before.is_some() && hook.on.is_empty()
}

/// The event that asks for nothing and tells of nothing: whoever takes it in can be reached.
pub fn ping(hook: &Hook, lane: &LaneId, now: Timestamp) -> Message {
    let id = Digest::of(format!("{lane} ping {} {now}", hook.name).as_bytes());
    let data = json!({ "service": lane.service, "environment": lane.environment, "hook": hook.name });
    message(id.as_str().trim_start_matches("sha256:"), "hook.ping", Some(lane), None, now, data)
}
