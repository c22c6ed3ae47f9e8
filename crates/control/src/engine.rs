//! The lanes and what drives them. One turn at a time in each lane; every turn is load, plan, commit, act.

mod cell;
mod environments;
pub(crate) mod gateways;
mod hooks;
mod lanes;
mod notes;
mod outcomes;
mod paced;
mod put_back;
mod seen;
mod unrecorded;
mod upgrades;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_core::instance::Target;
use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::trail::{self, Sample};
use slipway_core::rollout::{self, Counters, Effect, Lane, Observed, Refusal, Rollout, Turn};
use slipway_core::units::Timestamp;
use slipway_store::{Commit, EffectId, NewEffect, SampleRecord, Store};
use tokio::sync::{Notify, broadcast};

use crate::claims::Claims;
use crate::clock::Clock;
use crate::control::Parts;
use crate::error::Error;
use crate::ports::{Artifacts, Prober, Receivers, Router};
use crate::records;
use crate::tables::{START_BITS, Tables};
use crate::views::Unrecorded;
use cell::{CellState, Granted, Unkept, join};
use seen::Seen;

pub(crate) use cell::Cell;

/// Changes of lanes that a listener may be behind before it is told that it has missed some.
const CHANGES: usize = 4_096;

/// How long it may take to look whether what failed was kept after all.
const DOUBT: Duration = Duration::from_millis(300);

/// How long a commit is waited for, since a way back may wait behind it: longer than a database takes that says so itself.
/// Whether it was kept all the same is looked at afterwards.
const KEEP: Duration = Duration::from_secs(7);

/// Everything that the drivers, the effect workers and the front door share.
pub(crate) struct Engine {
    pub store: Store,
    pub target: Arc<dyn Target>,
    pub router: Arc<dyn Router>,
    pub prober: Arc<dyn Prober>,
    pub artifacts: Arc<dyn Artifacts>,
    pub receivers: Arc<dyn Receivers>,
    pub clock: Clock,
    pub tables: Tables,
    pub effects: Notify,
    /// Says that hooks were declared or withdrawn.
    pub hooks_changed: Notify,
    /// Says that outcomes were reported.
    pub reported: Notify,
    /// Says which lanes are not what they were.
    pub changes: broadcast::Sender<LaneId>,
    /// Hosts and paths that releases are about to claim.
    pub claims: Claims,
    /// One group release is let in at a time.
    pub groups: tokio::sync::Mutex<()>,
    unrecorded: unrecorded::Lanes,
    paced: paced::Paced,
    upgraded: upgrades::Upgraded,
    outcomes: Mutex<slipway_core::outcome::Ledger>,
    seen: Mutex<Seen>,
    environments: environments::Environments,
    cells: Mutex<BTreeMap<LaneId, Arc<Cell>>>,
    /// Attempts to keep a lane since this start.
    attempts: AtomicU64,
}

/// What a command does to a turn before the rest of the turn follows.
pub(crate) type Wish = Arc<dyn Fn(&mut Turn, Timestamp) -> Result<(), Refusal> + Send + Sync>;

impl Engine {
    pub fn new(parts: Parts) -> Engine {
        let Parts { store, target, router, prober, artifacts, receivers, clock } = parts;
        let tables = Tables::new(router.clone(), store.start_number());
        Engine {
            store,
            target,
            router,
            prober,
            artifacts,
            receivers,
            clock,
            tables,
            effects: Notify::new(),
            hooks_changed: Notify::new(),
            reported: Notify::new(),
            changes: broadcast::Sender::new(CHANGES),
            claims: Claims::default(),
            groups: tokio::sync::Mutex::default(),
            unrecorded: unrecorded::Lanes::default(),
            paced: paced::Paced::default(),
            upgraded: upgrades::Upgraded::default(),
            outcomes: Mutex::default(),
            seen: Mutex::default(),
            environments: environments::Environments::default(),
            cells: Mutex::default(),
            attempts: AtomicU64::new(0),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane as it is kept, if it exists.
    pub async fn lane(&self, lane: &LaneId) -> Result<Option<Arc<Lane>>, Error> {
        self.stands(lane).await.map(|(kept, _)| kept)
    }

    /// The same, and the rollouts of it that ended while the store was away: what is recorded of those is older. Both of one
    /// moment, so that a rollout that ends meanwhile is found in one of them.
    pub async fn stands(&self, lane: &LaneId) -> Result<(Option<Arc<Lane>>, Vec<Rollout>), Error> {
        let (cell, _) = self.cell(lane);
        let mut state = cell.state.lock().await;
        if state.unkept.is_none() {
            self.load(lane, &mut state).await?;
        }
        if let Some(unkept) = &state.unkept {
            return Ok((Some(Arc::new(unkept.lane.clone())), unkept.ended.clone()));
        }
        Ok((state.kept.as_ref().map(|(_, lane)| lane.clone()), Vec::new()))
    }

    /// Since when something of the lane is not recorded, and why.
    pub fn unrecorded(&self, lane: &LaneId) -> Option<Unrecorded> {
        self.unrecorded.of(lane)
    }

    async fn load(&self, lane: &LaneId, state: &mut CellState) -> Result<(), Error> {
        match state.kept.is_some() && !state.doubted {
            true => Ok(()),
            // Rare and large: on the heap it does not make every look at a lane as large.
            false => Box::pin(self.load_anew(lane, state)).await,
        }
    }

    async fn load_anew(&self, lane: &LaneId, state: &mut CellState) -> Result<(), Error> {
        let loading = self.store.load_lane::<Lane>(lane);
        let found = if state.kept.is_none() {
            loading.await?
        } else {
            // A way back needs no store: what was known has to do, and cannot be committed if it is not so any more.
            let Ok(Ok(found)) = tokio::time::timeout(DOUBT, loading).await else { return Ok(()) };
            found
        };
        let mut found = found.map(|v| (v.generation, v.doc));
        if let Some((_, lane)) = &mut found {
            self.leave_numbers_out(lane);
        }
        let generation = found.as_ref().map(|(generation, _)| *generation);
        if state.doubted && generation != state.kept.as_ref().map(|(generation, _)| *generation) {
            // It was kept after all, or what it rests on was: nothing of that is to be recorded again, and its effects are
            // there. What somebody was told since then still has to be done.
            let unkept = state.unkept.take().map(|unkept| unkept.lane.counters).unwrap_or_default();
            if let Some((_, lane)) = &mut found {
                lane.counters = lane.counters.beyond(unkept).beyond(std::mem::take(&mut state.given));
            }
            let kept = found.as_ref().map_or(0, |(_, lane)| lane.attempt);
            state.granted.retain(|granted| granted.attempt > kept);
            self.effects.notify_one();
            if let Some((_, lane)) = &found {
                self.note_serving(lane);
                self.note_hooks(lane, &[]).await;
            }
        }
        // Those that wait have no row, and the counter may not have reached them.
        let waiting = found.iter().flat_map(|(_, lane)| &lane.queue);
        waiting.for_each(|asked| self.store.know_rollout(&asked.id));
        let first = state.kept.is_none();
        state.kept = found.map(|(generation, lane)| (generation, Arc::new(lane)));
        state.doubted = false;
        if first {
            self.take_note_up(lane, state).await;
        }
        if state.unkept.is_none() {
            self.note_claims(lane, state.kept.as_ref().map(|(_, kept)| &**kept));
        }
        Ok(())
    }

    /// One turn of a lane, begun by `wish` if there is one. Returns when to look again.
    pub async fn turn(&self, id: &LaneId, wish: Option<Wish>) -> Result<Option<Timestamp>, Error> {
        let (cell, _) = self.cell(id);
        let mut state = cell.state.lock().await;
        let mut turning = cell.begin_turn(&mut state);
        self.load(id, &mut state).await?;
        self.look_for_way_back(&state).await;
        let mut turned = Err(Error::Unavailable(format!("{id} is being changed by somebody else all the time")));
        // An earlier turn may have been kept although its answer was lost: then this one is taken again.
        for _ in 0..5 {
            match Box::pin(self.try_turn(id, &mut state, wish.as_ref())).await {
                Err(Error::Store(slipway_store::Error::Conflict { .. })) => state.doubted = true,
                other => {
                    turned = other;
                    break;
                }
            }
        }
        turning.comes_to(&turned);
        turned
    }

    /// Looks again for what the next rollout of the queue goes to and back to: since it was asked for, it may be gone.
    async fn look_for_way_back(&self, state: &CellState) {
        let Some((_, lane)) = state.kept.as_ref().filter(|(_, lane)| lane.open.is_none()) else { return };
        let releases = lane.queue.first().map(|asked| &asked.release).into_iter().chain(&lane.stable);
        for release in releases.filter(|_| !lane.queue.is_empty()) {
            self.look_for_artifact(&release.artifact).await;
        }
    }

    async fn try_turn(
        &self,
        id: &LaneId,
        state: &mut CellState,
        wish: Option<&Wish>,
    ) -> Result<Option<Timestamp>, Error> {
        self.load(id, state).await?;
        let generation = state.kept.as_ref().map_or(0, |(g, _)| *g);
        let unkept = state.unkept.take();
        let earlier = unkept.clone();
        let before = match (&unkept, &state.kept) {
            (Some(unkept), _) => Arc::new(unkept.lane.clone()),
            (None, Some((_, lane))) => lane.clone(),
            (None, None) => Arc::new(Lane::new(id.clone())),
        };
        let now = self.clock.now();
        if wish.is_none() {
            self.paced.begun(id);
        }
        let (mut seen, consumed) = self.observe(&before, now);
        seen.unrecorded = unkept.is_some();
        let mut turn = Turn::new(&before);
        turn.lane.counters = turn.lane.counters.beyond(state.given);
        turn.lane.bound = self.bound(id);
        // This start's attempts come after those of every earlier one.
        let attempt = (self.store.start_number() << START_BITS) + self.attempts.fetch_add(1, Relaxed) + 1;
        if unkept.is_none() {
            for granted in &mut state.granted {
                let mut again = turn.clone();
                // Refused is what is done already, or has been overtaken.
                if (granted.wish)(&mut again, now).is_ok() {
                    (turn, granted.attempt) = (again, attempt);
                }
            }
        }
        if let Some(wish) = wish
            && let Err(refusal) = wish(&mut turn, now)
        {
            state.unkept = unkept;
            return Err(Error::Refused(refusal));
        }
        rollout::complete(&mut turn, &seen, now);
        let wake = turn.wake_at;
        if !turn.changed(&before) && unkept.is_none() && consumed.is_empty() {
            // After a start the table holds only what the target showed then; a turn has looked at all of it.
            self.serve(id, &before);
            state.granted.clear();
            self.unrecorded.forget(id);
            return Ok(wake);
        }
        // What people ask for besides a way back needs a store.
        let in_a_hurry = turn.traffic_first || (unkept.is_some() && wish.is_none());
        if in_a_hurry {
            self.serve(id, &turn.lane);
        }
        turn.lane.attempt = attempt;
        let decided = join(unkept, turn);
        let samples = samples(&decided, state.sampled.as_ref(), &seen, now);
        let keeping = self.keep(id, generation, &decided, consumed.clone(), samples.clone(), now);
        let silent = |_| Err(Error::Store(slipway_store::Error::Unavailable(format!("no answer within {KEEP:?}"))));
        let kept = tokio::time::timeout(KEEP, keeping).await.unwrap_or_else(silent);
        // Nobody listens most of the time.
        let _ = self.changes.send(id.clone());
        match kept {
            Ok(generation) => {
                if let Some(last) = samples.into_iter().last() {
                    state.sampled = Some((last.rollout, last.sample));
                }
                self.serve(id, &decided.lane);
                self.note_serving(&decided.lane);
                self.note_hooks(&decided.lane, &decided.ended).await;
                state.kept = Some((generation, Arc::new(decided.lane)));
                state.granted.clear();
                state.given = Counters::default();
                self.unrecorded.forget(id);
                self.forget_note(id, state).await;
                self.forget_results(id, &consumed);
                if !decided.effects.is_empty() {
                    self.effects.notify_one();
                }
                // What was just decided may already be answered.
                Ok(wake)
            }
            Err(error @ Error::Store(slipway_store::Error::Conflict { .. } | slipway_store::Error::Fenced { .. })) => {
                // What it is to be taken again on top of may not be found at once, and must not get the same numbers.
                state.unkept = earlier;
                state.given = state.given.beyond(decided.lane.counters);
                Err(error)
            }
            Err(error) if in_a_hurry => {
                tracing::error!(lane = %id, %error, "going back without the store; it will be recorded when it can");
                self.unrecorded.note(id, &error, now);
                self.doubt_claims(id);
                state.doubted = true;
                state.unkept = Some(decided);
                state.granted.extend(wish.cloned().map(|wish| Granted { wish, attempt }));
                self.note_unkept(id, state).await;
                Ok(Some(now.plus(slipway_core::units::Millis(500))))
            }
            Err(error) => {
                self.unrecorded.note(id, &error, now);
                self.doubt_claims(id);
                state.doubted = true;
                state.unkept = earlier;
                if wish.is_some() {
                    // Whoever asked is told that it failed; if it was kept all the same, its driver must know.
                    self.nudge(id);
                }
                Err(error)
            }
        }
    }

    /// Hands out what follows from a lane: its route, and what is probed of it.
    fn serve(&self, id: &LaneId, lane: &Lane) {
        self.tables.put(id, rollout::route_of(lane));
        self.prober.probe(id, rollout::probing_of(lane));
    }

    async fn keep(
        &self,
        id: &LaneId,
        generation: u64,
        decided: &Unkept,
        consumed: Vec<EffectId>,
        samples: Vec<SampleRecord>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let effects = decided
            .effects
            .iter()
            .map(|effect| {
                Ok(NewEffect { key: effect.key(), kind: kind(effect).to_string(), body: serde_json::to_value(effect)? })
            })
            .collect::<Result<Vec<_>, serde_json::Error>>()?;
        let committed = self
            .store
            .commit(Commit {
                lane: id,
                expected_generation: generation,
                doc: &decided.lane,
                facts: decided.facts.clone(),
                effects,
                consumed,
                rollouts: records::of(&decided.lane, &decided.ended)?,
                samples,
                at: now,
            })
            .await?;
        Ok(committed.generation)
    }
}

/// What the rollouts of a turn look like: those that ended, and the open one where a sample of it is due.
fn samples(decided: &Unkept, last: Option<&(RolloutId, Sample)>, seen: &Observed, now: Timestamp) -> Vec<SampleRecord> {
    let lane = &decided.lane;
    let ended = decided.ended.iter().map(|rollout| SampleRecord {
        rollout: rollout.id.clone(),
        sample: trail::last_sample(lane, rollout, &seen.evidence, now),
    });
    let open = lane.open.as_ref().and_then(|open| {
        let last = last.filter(|(id, _)| *id == open.id).map(|(_, sample)| sample);
        let sample = trail::due(lane, last, now).then(|| trail::sample(lane, seen, now))??;
        Some(SampleRecord { rollout: open.id.clone(), sample })
    });
    ended.chain(open).collect()
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Start { .. } => "start",
        Effect::Stop { .. } => "stop",
        Effect::Smoke { .. } => "smoke",
        Effect::Run { .. } => "run",
        Effect::Ask { .. } => "ask",
    }
}
