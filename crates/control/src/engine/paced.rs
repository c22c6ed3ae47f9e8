//! Drivers that are woken a handful at a time. A second's counts may concern a thousand lanes: were all of their drivers woken at
//! once, whoever asks for something meanwhile would wait for a thousand turns.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_core::names::LaneId;
use tokio::sync::Notify;

use super::Engine;

/// So many are woken, then whatever else is ready has its turn.
const AT_ONCE: usize = 16;
/// So many of them are of those in which no rollout is open, if so many wait.
const OTHERS: usize = 4;

/// Lanes whose drivers are to be woken: those in which a rollout is open first, but never those alone; each kind in the order
/// in which that was asked for.
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
    rolling: VecDeque<LaneId>,
    others: VecDeque<LaneId>,
}

impl Queue {
    /// The next of one kind.
    fn next(&mut self, of: impl Fn(&mut Queue) -> &mut VecDeque<LaneId>) -> Option<LaneId> {
        loop {
            let lane = of(self).pop_front()?;
            if self.waiting.remove(&lane) {
                return Some(lane);
            }
        }
    }
}

impl Paced {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, lanes: impl IntoIterator<Item = LaneId>, is_rolling: impl Fn(&LaneId) -> bool) {
        let queue = &mut *self.queue();
        for lane in lanes {
            if queue.waiting.insert(lane.clone()) {
                match is_rolling(&lane) {
                    true => queue.rolling.push_back(lane),
                    false => queue.others.push_back(lane),
                }
            }
        }
        self.more.notify_one();
    }

    /// Those that are woken next; empty where nobody waits.
    fn next(&self) -> Vec<LaneId> {
        let queue = &mut *self.queue();
        let mut others: Vec<LaneId> = (0..OTHERS).map_while(|_| queue.next(|queue| &mut queue.others)).collect();
        let mut lanes: Vec<LaneId> =
            (others.len()..AT_ONCE).map_while(|_| queue.next(|queue| &mut queue.rolling)).collect();
        lanes.append(&mut others);
        lanes.extend((lanes.len()..AT_ONCE).map_while(|_| queue.next(|queue| &mut queue.others)));
        lanes
    }

    /// A turn of the lane's driver begins, which looks at all that it would have been woken for.
    pub(super) fn begun(&self, lane: &LaneId) {
        self.queue().waiting.remove(lane);
    }
}

impl Engine {
    /// Wakes the drivers of lanes soon.
    pub(super) fn nudge_soon(&self, lanes: impl IntoIterator<Item = LaneId>) {
        let seen = self.seen();
        self.paced.add(lanes, |lane| seen.is_rolling(lane));
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
    use std::sync::Arc;

    use futures_util::FutureExt;
    use slipway_core::traffic::Epoch;
    use slipway_core::traffic::link::{CountRow, Event};
    use slipway_store::Store;

    use super::*;
    use crate::fakes::{self, FakeRouter};

    fn lane(n: usize) -> LaneId {
        LaneId {
            service: format!("service-{n:03}").parse().expect("a service"),
            environment: "production".parse().expect("an environment"),
        }
    }

    fn lanes(numbers: impl IntoIterator<Item = usize>) -> Vec<LaneId> {
        numbers.into_iter().map(lane).collect()
    }

    #[test]
    fn each_is_woken_once_in_the_order_of_asking_unless_its_turn_has_begun() {
        let paced = Paced::default();
        paced.add(lanes((0..40).rev()), |_| false);
        assert_eq!(paced.next(), lanes((24..40).rev()));
        // Those that are asked for again before it is their turn keep their place, the others come last.
        paced.add(lanes([39, 3]), |_| false);
        paced.begun(&lane(20));
        assert_eq!(paced.next(), lanes((8..24).filter(|n| *n != 20).rev().chain([7])));
        paced.begun(&lane(0));
        paced.add([lane(0)], |_| false);
        assert_eq!(paced.next(), lanes((0..7).rev().chain([39])));
        assert!(paced.next().is_empty());
    }

    #[test]
    fn where_a_rollout_is_open_it_goes_first_and_never_alone() {
        let paced = Paced::default();
        paced.add(lanes(0..100), |lane| *lane >= self::lane(70));
        assert_eq!(paced.next(), lanes((70..82).chain(0..4)));
        assert_eq!(paced.next(), lanes((82..94).chain(4..8)));
        assert_eq!(paced.next(), lanes((94..100).chain(8..18)));
        assert_eq!(paced.next(), lanes(18..34));
    }

    #[tokio::test]
    async fn counts_wake_everybody_whom_they_concern_and_a_lost_candidate_waits_for_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let router = Arc::new(FakeRouter::default());
        let engine = fakes::engine_at(Store::open(folder.path()).await.expect("a store"), router.clone());
        let cells: Vec<_> = (0..50).map(|n| engine.cell(&lane(n)).0).collect();
        let woken = || cells.iter().map(|cell| cell.wake.notified().now_or_never().is_some()).collect::<Vec<_>>();
        engine.look_at_gateways();
        woken();
        router.count((0..50).map(|n| CountRow {
            service: lane(n).service,
            environment: lane(n).environment,
            epoch: Epoch(1),
            version: "1".parse().expect("a version"),
            cohort: None,
            assigned: 1,
            users: 1,
            attempts: 1,
            failed: 0,
            failed_by_slipway: 0,
            injected: 0,
            mirrored: false,
            objectives: Vec::new(),
            latency_us: Vec::new(),
        }));
        let version = "2".parse().expect("a version");
        router.tell(Event::CandidateLost { lane: lane(49), version, epoch: Epoch(1), why: "it is gone".into() });
        engine.look_at_gateways();
        assert_eq!(woken(), (0..50).map(|n| n == 49).collect::<Vec<_>>(), "the others have not been woken yet");
        let engine = Arc::new(engine);
        let waking = tokio::spawn({
            let engine = engine.clone();
            async move { engine.wake_paced().await }
        });
        for cell in &cells[..49] {
            let woken = tokio::time::timeout(std::time::Duration::from_secs(30), cell.wake.notified());
            woken.await.expect("each is woken");
        }
        waking.abort();
    }
}
