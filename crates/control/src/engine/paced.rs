//! Drivers that are woken a handful at a time. A second's counts may concern a thousand lanes: were all of their drivers woken at
//! once, whoever asks for something meanwhile would wait for a thousand turns.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_core::names::LaneId;
use tokio::sync::Notify;

use super::Engine;

/// So many are woken, then whatever else is ready has its turn.
const AT_ONCE: usize = 16;

/// Lanes whose drivers are to be woken, in the order in which they were asked for.
#[derive(Default)]
pub(super) struct Paced {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    /// Those that still are to be woken.
    waiting: HashSet<LaneId>,
    /// Also some that were woken otherwise.
    order: VecDeque<LaneId>,
}

impl Paced {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, lanes: impl IntoIterator<Item = LaneId>) {
        let mut queue = self.queue();
        for lane in lanes {
            if queue.waiting.insert(lane.clone()) {
                queue.order.push_back(lane);
            }
        }
        drop(queue);
        self.more.notify_one();
    }

    /// The next that are to be woken; none once nobody is.
    fn next(&self) -> Vec<LaneId> {
        let queue = &mut *self.queue();
        let mut lanes = Vec::new();
        while lanes.len() < AT_ONCE
            && let Some(lane) = queue.order.pop_front()
        {
            if queue.waiting.remove(&lane) {
                lanes.push(lane);
            }
        }
        lanes
    }

    /// A turn of the lane begins, which looks at all that it would have been woken for.
    pub(super) fn begun(&self, lane: &LaneId) {
        self.queue().waiting.remove(lane);
    }
}

impl Engine {
    /// Wakes the drivers of lanes soon.
    pub(super) fn nudge_soon(&self, lanes: impl IntoIterator<Item = LaneId>) {
        self.paced.add(lanes);
    }

    /// Wakes the drivers of lanes for which that was asked, for ever.
    pub async fn wake_paced(&self) {
        loop {
            self.paced.more.notified().await;
            loop {
                let lanes = self.paced.next();
                if lanes.is_empty() {
                    break;
                }
                lanes.iter().for_each(|lane| self.nudge(lane));
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(n: usize) -> LaneId {
        LaneId {
            service: format!("service-{n:03}").parse().expect("a service"),
            environment: "production".parse().expect("an environment"),
        }
    }

    #[test]
    fn each_is_woken_once_in_the_order_of_asking_unless_its_turn_has_begun() {
        let paced = Paced::default();
        paced.add((0..40).rev().map(lane));
        assert_eq!(paced.next(), (24..40).rev().map(lane).collect::<Vec<_>>());
        // Those that are asked for again before it is their turn keep their place, the others come last.
        paced.add([lane(39), lane(3)]);
        paced.begun(&lane(20));
        let expected: Vec<_> = (8..24).filter(|n| *n != 20).rev().map(lane).chain([lane(7)]).collect();
        assert_eq!(paced.next(), expected);
        paced.begun(&lane(0));
        paced.add([lane(0)]);
        let expected: Vec<_> = (0..7).rev().map(lane).chain([lane(39)]).collect();
        assert_eq!(paced.next(), expected);
        assert!(paced.next().is_empty());
    }
}
