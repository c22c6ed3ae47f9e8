//! Which hooks a lane has, kept beside it whenever they change.

use slipway_core::hook;
use slipway_core::rollout::{Lane, Rollout, RolloutKind};
use slipway_core::spec::Hook;
use slipway_store::Hooks;

use super::Engine;
use crate::error::Error;

impl Engine {
    /// Keeps the hooks of a lane as they are now, and those that a rollout brought which ended within the turn.
    pub async fn note_hooks(&self, lane: &Lane, ended: &[Rollout]) {
        if let Err(error) = self.keep_hooks(lane, ended).await {
            // Looked at again after the next turn that changes something.
            tracing::warn!(lane = %lane.id, %error, "the hooks of a lane could not be kept");
        }
    }

    async fn keep_hooks(&self, lane: &Lane, ended: &[Rollout]) -> Result<(), Error> {
        let hooks = hook::of(lane);
        let known = self.seen().hooks.get(&lane.id).cloned();
        let known = match known {
            Some(known) => Some(known),
            None if hooks.is_empty() && !self.has_hooks(lane).await? => Some(Vec::new()),
            None => None,
        };
        if known.as_ref() != Some(&hooks) {
            let rollout = lane.open.as_ref().map(|open| &open.id);
            self.store.declare_hooks(&lane.id, rows(&hooks)?, rollout).await?;
            self.hooks_changed.notify_one();
        }
        self.seen().hooks.insert(lane.id.clone(), hooks.clone());
        for rollout in ended.iter().filter(|rollout| rollout.kind == RolloutKind::Release) {
            let mut brought = hook::of_release(lane, &rollout.release);
            let others = || known.iter().flatten().chain(&hooks);
            brought.retain(|hook| others().all(|other| other.name != hook.name));
            if !brought.is_empty() {
                self.store.pass_hooks(&lane.id, rows(&brought)?, &rollout.id).await?;
                self.hooks_changed.notify_one();
            }
        }
        Ok(())
    }

    /// Whether hooks of a lane are declared in the store.
    async fn has_hooks(&self, lane: &Lane) -> Result<bool, Error> {
        let rows = self.store.hooks().await?;
        Ok(rows.iter().any(|row| row.id.whose.lane() == Some(&lane.id) && row.withdrawn_at.is_none()))
    }
}

/// Hooks as they are kept.
pub(super) fn rows(hooks: &[Hook]) -> Result<Hooks, Error> {
    hooks.iter().map(|hook| Ok((hook.name.clone(), serde_json::to_value(hook)?))).collect()
}
