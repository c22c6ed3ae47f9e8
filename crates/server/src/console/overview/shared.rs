//! One overview for everybody: it says the same to everyone who looks, so it is made once for all of them, and of it only
//! what may have changed.
//!
//! Whoever asks gets what was looked at after they asked: a page that heard of a change finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use slipway_core::names::LaneId;
use tokio::sync::{Mutex, broadcast};
use tokio::time::Instant;

use super::{Rows, Told, rows};
use crate::console::frame::Part;
use crate::problem::Problem;
use crate::state::App;
use crate::wire::{lane_status, open_rollout};

/// Looks begin at least so far apart while services change.
const SPACING: Duration = Duration::from_millis(40);
/// How old may be what depends on the time alone, such as "drilled 3 days ago".
const AGE: Duration = Duration::from_secs(1);

/// The overview as it was made last.
pub(in crate::console) struct Shared {
    state: Mutex<State>,
}

struct State {
    changes: broadcast::Receiver<LaneId>,
    /// Lanes that changed since they were looked at.
    changed: BTreeSet<LaneId>,
    lanes: BTreeMap<LaneId, (Instant, Arc<Told>)>,
    last: Option<Made>,
}

/// The overview, as everybody sees it.
#[derive(Clone)]
pub(super) struct Made {
    /// When the look at it began.
    began: Instant,
    /// What it is made from, as the API tells it.
    told: Vec<Arc<Told>>,
    /// What it shows.
    pub rows: Arc<Rows>,
    /// Its living part.
    pub part: Part,
}

impl Shared {
    /// One that nobody has asked for yet.
    pub fn new(app: &App) -> Shared {
        let changes = app.control.changes();
        let state = State { changes, changed: BTreeSet::new(), lanes: BTreeMap::new(), last: None };
        Shared { state: Mutex::new(state) }
    }

    /// Every service in every environment at this moment or later, as the API tells it.
    pub async fn told(&self, app: &App) -> Result<Vec<Arc<Told>>, Problem> {
        Ok(self.now(app).await?.told)
    }

    /// The overview at this moment or later.
    pub(super) async fn now(&self, app: &App) -> Result<Made, Problem> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(last) = state.last.as_ref().filter(|last| last.began >= asked) {
            return Ok(last.clone());
        }
        state.listen();
        if let Some(last) = &state.last {
            if state.changed.is_empty() && last.began.elapsed() < AGE {
                return Ok(last.clone());
            }
            tokio::time::sleep_until(last.began + SPACING).await;
        }
        let began = Instant::now();
        state.look(app, began).await?;
        let told: Vec<Arc<Told>> = state.lanes.values().map(|(_, told)| told.clone()).collect();
        let rows = Arc::new(rows(told.iter().map(|told| &**told)));
        let part = Part::new(super::living(&rows)?);
        let made = Made { began, told, rows, part };
        state.last = Some(made.clone());
        Ok(made)
    }
}

impl State {
    /// Takes in what changed since the last time.
    fn listen(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(lane) => drop(self.changed.insert(lane)),
                // Some were missed: any may have changed.
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.changed.extend(self.lanes.keys().cloned()),
                Err(_) => return,
            }
        }
    }

    /// Looks at every lane that changed, is new, or was looked at too long ago.
    async fn look(&mut self, app: &App, now: Instant) -> Result<(), Problem> {
        self.listen();
        let known: BTreeSet<LaneId> = app.control.known().into_iter().collect();
        self.lanes.retain(|lane, _| known.contains(lane));
        for lane in known {
            let looked = self.lanes.get(&lane).map(|(at, _)| *at);
            if looked.is_some_and(|at| now.duration_since(at) < AGE) && !self.changed.contains(&lane) {
                continue;
            }
            match app.control.lane(&lane).await? {
                Some(seen) => {
                    drop(self.lanes.insert(lane.clone(), (now, Arc::new((lane_status(&seen), open_rollout(&seen))))))
                }
                None => drop(self.lanes.remove(&lane)),
            }
            self.changed.remove(&lane);
        }
        Ok(())
    }
}
