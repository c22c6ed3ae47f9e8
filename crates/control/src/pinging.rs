//! Finding out whether hooks that are only asked can be reached, where a gate wants to know. They are sent an event that
//! asks for nothing. Called when a release is asked for, when a word is given for one, and when gates are looked at.

use std::time::Duration;

use slipway_core::hook;
use slipway_core::rollout::{Lane, Release};
use slipway_core::units::Millis;
use tokio::task::JoinSet;

use crate::control::Control;

/// How long a receiver has to take the event in: nothing is asked of it that takes time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one look is good for whoever only looks.
pub(crate) const LATELY: Millis = Millis::from_secs(10);

impl Control {
    /// Pings the hooks that `release` would have asked and nobody tells of anything, unless that was done within `age`.
    /// What came of it is what the gate sees. Nothing where no gate wants to know.
    pub(crate) async fn reach_hooks(&self, lane: &Lane, release: &Release, age: Millis) {
        let mut pings = JoinSet::new();
        for hook in hook::to_ping(lane, release) {
            let now = self.now();
            if !self.engine().begin_ping(&lane.id, &hook, age, now) {
                continue;
            }
            let message = hook::ping(&hook, &lane.id, now);
            let engine = self.engine().clone();
            pings.spawn(async move {
                let limit = PATIENCE.min(hook.timeout.as_duration());
                let came_of = tokio::time::timeout(limit, engine.receivers.deliver(&hook, &message)).await;
                let came_of = came_of.unwrap_or_else(|_| Err("it did not take in a ping in time".to_string()));
                (hook, came_of.map(drop))
            });
        }
        while let Some(pinged) = pings.join_next().await {
            let Ok((hook, came_of)) = pinged else { continue };
            self.engine().note_hook(&lane.id, &hook.name, came_of.as_ref().copied().map_err(String::as_str));
        }
    }
}
