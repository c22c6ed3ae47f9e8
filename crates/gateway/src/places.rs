//! How many connections to instances there may be. A request of HTTP/2 brings no connection of its own along, so without
//! a bound a few clients could take all files that the process may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// More than any machine has room for.
const MOST: usize = 1 << 20;

/// A place for one connection, free again when this is let go.
#[derive(Debug)]
pub(crate) struct Place {
    waiting: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Whether somebody waits for a place, so that an idle connection should give up its own.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}

/// The places for connections to instances.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    wanted: Notify,
}

impl Places {
    /// So many.
    pub(crate) fn new(many: usize) -> Places {
        Places { free: Arc::new(Semaphore::new(many.clamp(1, MOST))), waiting: Arc::default(), wanted: Notify::new() }
    }

    /// Whether one more is free at present.
    pub(crate) fn has_room(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// A place for one more connection, at once or when one becomes free within `patience`.
    pub(crate) async fn take(&self, patience: Duration) -> Option<Place> {
        let place = |permit| Place { waiting: self.waiting.clone(), _permit: permit };
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(place(permit));
        }
        let _waiter = Waiter::new(&self.waiting);
        self.wanted.notify_one();
        tokio::time::timeout(patience, self.free.clone().acquire_owned()).await.ok()?.ok().map(place)
    }

    /// Resolves when somebody waits for a place, and idle connections should make room.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

/// Somebody who waits, until this is let go.
struct Waiter<'a>(&'a AtomicUsize);

impl Waiter<'_> {
    fn new(waiting: &AtomicUsize) -> Waiter<'_> {
        waiting.fetch_add(1, Relaxed);
        Waiter(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
