//! What the control plane should know at once, on its way there.

use std::collections::VecDeque;
use std::sync::Mutex;

use slipway_core::traffic::link::Event;
use tokio::sync::Notify;

use crate::gateway::lock;

/// Events that wait for the control plane, at most; the oldest go first.
const EVENTS_KEPT: usize = 4096;

/// Events on their way to the control plane.
#[derive(Debug, Default)]
pub(crate) struct Events {
    waiting: Mutex<VecDeque<Event>>,
    more: Notify,
}

impl Events {
    /// Adds one.
    pub(crate) fn push(&self, event: Event) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= EVENTS_KEPT {
            waiting.pop_front();
        }
        waiting.push_back(event);
        self.more.notify_one();
    }

    /// All that wait.
    pub(crate) fn take(&self) -> Vec<Event> {
        lock(&self.waiting).drain(..).collect()
    }

    /// Resolves when there may be more.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }
}
