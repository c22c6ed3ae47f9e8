//! The front door: what can be asked of the control plane, and what it tells.

mod choosing;
mod environments;
mod gateways;
mod gating;
mod hooks;
mod journal;
mod looking;
mod migrations;
mod operating;
mod outcomes;
mod returning;

pub use self::gateways::{Gateway, OWN_GATEWAY};

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::instance::Target;
use slipway_core::names::{Digest, EnvironmentName, LaneId, RolloutId, ServiceName, VersionName};
use slipway_core::rollout::{self, Asked, Gate, Lane, Observed, Plan, Release, RolloutKind, Today, commands};
use slipway_core::units::{Millis, Timestamp};
use slipway_store::Store;

use crate::admission::{self, Admitted};
use crate::by::By;
use crate::clock::Clock;
use crate::driver;
use crate::effects;
use crate::engine::{Engine, Wish};
use crate::error::Error;
use crate::groups::Driven;
use crate::hooks as telling;
use crate::keeper;
use crate::ports::{Artifacts, Prober, Receivers, Router};
use crate::schedule;

/// What a control plane is made of.
pub struct Parts {
    /// Where state is kept.
    pub store: Store,
    /// What runs instances. It has already taken over those that it finds.
    pub target: Arc<dyn Target>,
    /// What splits traffic.
    pub router: Arc<dyn Router>,
    /// What sends probes.
    pub prober: Arc<dyn Prober>,
    /// Where artifacts are.
    pub artifacts: Arc<dyn Artifacts>,
    /// Who is told of what happens.
    pub receivers: Arc<dyn Receivers>,
    /// The time.
    pub clock: Clock,
}

/// A release that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// The declared file as text; absent for a version that is known, which then brings its own.
    pub file: Option<String>,
    /// Which service, where no file says so.
    pub service: Option<ServiceName>,
    /// What people call it; derived where absent, which only a new configuration may be.
    pub version: Option<VersionName>,
    /// Its artifact, uploaded before; absent for a version that is known.
    pub artifact: Option<Digest>,
    /// The artifact is that of the version that serves the environment.
    pub config_only: bool,
    /// Where to.
    pub environment: EnvironmentName,
    /// Another strategy than the declared one.
    pub strategy: Option<String>,
    /// Everything before it gives way.
    pub supersede: bool,
    /// Why gates that block are to be passed all the same.
    pub overriding: Option<String>,
}

/// What people ask of an open rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing advances until resumed.
    Pause,
    /// Goes on.
    Resume,
    /// A person answers for the step at hand.
    Promote {
        /// The step that they have looked at: no other is meant. Any where absent.
        step: Option<String>,
    },
    /// Takes it back.
    Abort,
    /// Takes it back, also where stable has nobody to go to.
    Force {
        /// Why, for the journal.
        reason: String,
    },
}

/// The control plane.
#[derive(Clone)]
pub struct Control {
    engine: Arc<Engine>,
    tasks: Arc<tokio_util::task::TaskTracker>,
    driven: Arc<Driven>,
    stop: tokio_util::sync::CancellationToken,
}

impl Control {
    /// Takes every lane up where it is and begins to drive.
    pub async fn start(parts: Parts) -> Result<Control, Error> {
        let engine = Arc::new(Engine::new(parts));
        let control = Control {
            engine: engine.clone(),
            tasks: Arc::default(),
            driven: Arc::default(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        match control.take_up().await {
            Ok(()) => Ok(control),
            Err(error) => {
                control.stop().await;
                Err(error)
            }
        }
    }

    async fn take_up(&self) -> Result<(), Error> {
        let (control, engine) = (self, &self.engine);
        engine.look_at_target();
        engine.load_environments().await?;
        for id in engine.store.lanes().await? {
            if let Some(lane) = engine.lane(&id).await? {
                control.note_artifacts(&lane).await;
                engine.note_serving(&lane);
                engine.note_hooks(&lane, &[]).await;
                engine.tables.put(&id, rollout::route_now(&lane, &engine.instances()));
                engine.settle_note(&id).await;
            }
        }
        let left_over = engine.left_over().await?;
        if left_over.is_empty() {
            engine.tables.open();
        } else {
            let engine = engine.clone();
            control.spawn(async move { engine.take_over(left_over).await });
        }
        driver::watch(engine);
        for id in engine.lanes() {
            control.drive(&id);
        }
        control.take_groups_up().await?;
        control.spawn(effects::work(control.clone()));
        control.spawn(driver::renew(engine.clone()));
        control.spawn(telling::tell(engine.clone()));
        control.spawn(schedule::keep(control.clone()));
        control.spawn(schedule::watch(control.clone()));
        control.spawn(keeper::keep(control.clone()));
        let (waking, reported) = (engine.clone(), engine.clone());
        control.spawn(async move { waking.wake_paced().await });
        control.spawn(async move { reported.show_reported().await });
        Ok(())
    }

    /// A task that ends with this control plane, at whatever it waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        })
    }

    fn drive(&self, lane: &LaneId) {
        self.spawn(driver::drive(self.engine.clone(), lane.clone()));
    }

    async fn note_artifacts(&self, lane: &Lane) {
        let releases = [lane.stable.as_ref(), lane.predecessor.as_ref(), lane.open.as_ref().map(|r| &r.release)];
        let queued = lane.queue.iter().map(|a| &a.release);
        let owed = lane.schema.owed.iter().map(|owed| &owed.release);
        for release in releases.into_iter().flatten().chain(queued).chain(owed) {
            self.engine.look_for_artifact(&release.artifact).await;
        }
    }

    /// Stops driving. Gateways and instances go on.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        // Whatever is being committed may finish; nothing may hold the end up.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
    }

    /// Where state is kept.
    pub fn store(&self) -> &Store {
        &self.engine.store
    }

    /// Lanes as they change, from now on. Whoever is too far behind is told so and looks at everything.
    pub fn changes(&self) -> tokio::sync::broadcast::Receiver<LaneId> {
        self.engine.changes.subscribe()
    }

    /// The control plane's time.
    pub fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// Asks for a release.
    pub async fn release(&self, request: ReleaseRequest, by: &By) -> Result<RolloutId, Error> {
        let admitted = Box::pin(admission::admit(&self.engine, &request, Some(&by.actor))).await?;
        let Admitted { lane, release, strategy, claim } = admitted;
        if let Some(before) = by.before(&self.engine, &lane).await? {
            return Ok(before);
        }
        if let Some(stable) = self.stable(&lane).await? {
            self.engine.look_for_artifact(&stable.artifact).await;
        }
        self.reach_hooks(&self.kept_or_new(&lane).await?, &release, Millis(0)).await;
        let id = self.engine.store.next_rollout_id().await;
        let asked = Asked {
            id: id.clone(),
            kind: RolloutKind::Release,
            release,
            strategy,
            actor: by.actor.clone(),
            key: by.key.clone(),
            at: self.now(),
            overriding: request.overriding.clone(),
            approvals: Vec::new(),
        };
        let supersede = request.supersede;
        let wish = move |turn: &mut rollout::Turn, now| commands::release(turn, asked.clone(), supersede, now);
        self.wish_holding(&lane, wish, claim).await?;
        Ok(id)
    }

    /// What a release would do and which gates it would meet, without doing anything.
    pub async fn plan(&self, request: ReleaseRequest, by: &By) -> Result<(Plan, Vec<Gate>), Error> {
        let Admitted { lane, release, strategy, .. } = admission::admit(&self.engine, &request, None).await?;
        let kept = self.kept_or_new(&lane).await?;
        let (seen, _) = self.engine.observe(&kept, self.now());
        let plan = rollout::plan(&kept, RolloutKind::Release, &release, &strategy, &Today::of(&kept, &seen.evidence));
        let asked = Asked { strategy, actor: by.actor.clone(), ..self.hypothetical(&kept, release) };
        Ok((plan, rollout::gates::of(&kept, &asked, &seen, self.now())))
    }

    /// A lane as a release would find it, whether anything was released there or not.
    pub(crate) async fn kept_or_new(&self, lane: &LaneId) -> Result<Lane, Error> {
        // Only a release makes a lane known: one that is known is being driven.
        let known = self.engine.knows(lane);
        let kept = if known { self.engine.lane(lane).await? } else { None };
        let kept = kept.map_or_else(|| Lane::new(lane.clone()), Arc::unwrap_or_clone);
        Ok(Lane { bound: self.engine.bound(lane), ..kept })
    }

    /// Passes a person's word to the open rollout.
    pub async fn command(&self, lane: &LaneId, command: Command, by: &By) -> Result<RolloutId, Error> {
        self.command_on(lane, None, command, by).await
    }

    /// The same, and only for this rollout: for whoever has looked at it. One that waits can be withdrawn.
    pub async fn command_on(
        &self,
        lane: &LaneId,
        only: Option<&RolloutId>,
        command: Command,
        by: &By,
    ) -> Result<RolloutId, Error> {
        let kept = self.existing(lane).await?;
        let first = kept.queue.first().map(|asked| asked.id.clone()).filter(|_| command == Command::Abort);
        let meant = only.cloned().or(kept.open.as_ref().map(|r| r.id.clone())).or(first);
        if let Some(before) = by.before(&self.engine, lane).await? {
            return Ok(before);
        }
        let (by, only) = (by.clone(), only.cloned());
        self.wish(lane, move |turn, now| {
            let is_open = |id: &RolloutId| turn.lane.open.as_ref().is_some_and(|open| open.id == *id);
            match (&command, only.as_ref().filter(|only| !is_open(only))) {
                (Command::Abort, Some(waits)) => commands::withdraw(turn, waits, &by.actor, now),
                (_, Some(other)) => Err(rollout::Refusal {
                    code: "nothing_open",
                    reason: format!("{other} is not the open one: nothing was done"),
                }),
                (Command::Pause, None) => commands::pause(turn, &by.actor, now),
                (Command::Resume, None) => commands::resume(turn, &by.actor, now),
                (Command::Promote { step }, None) => commands::promote(turn, step.as_deref(), &by.actor, now),
                (Command::Abort, None) => commands::abort(turn, &by.actor, now),
                (Command::Force { reason }, None) => commands::force(turn, reason, &by.actor, now),
            }?;
            by.leave_key(turn);
            Ok(())
        })
        .await?;
        meant.ok_or_else(|| Error::NotFound(format!("no rollout of {lane} is open")))
    }

    /// What drives the lanes.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The groups that are driven.
    pub(crate) fn driven(&self) -> &Driven {
        &self.driven
    }

    /// Lanes in which an incident is open.
    pub(crate) fn incidents(&self) -> Vec<LaneId> {
        self.engine.incidents()
    }

    /// Lanes whose drills come by themselves.
    pub(crate) fn drilled(&self) -> Vec<LaneId> {
        self.engine.drilled()
    }

    /// What came of probes, cumulative since this control plane's start. Synthetic.
    pub fn probes(&self) -> Vec<slipway_core::traffic::link::CountRow> {
        self.engine.prober.counts()
    }

    /// What is seen of a lane now.
    pub(crate) fn observed(&self, lane: &Lane) -> Observed {
        self.engine.observe(lane, self.now()).0
    }

    pub(crate) async fn wish(
        &self,
        lane: &LaneId,
        wish: impl Fn(&mut rollout::Turn, Timestamp) -> Result<(), rollout::Refusal> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        self.wish_holding(lane, wish, ()).await
    }

    /// The same; `held` is dropped when the turn is over.
    async fn wish_holding(
        &self,
        lane: &LaneId,
        wish: impl Fn(&mut rollout::Turn, Timestamp) -> Result<(), rollout::Refusal> + Send + Sync + 'static,
        held: impl Send + 'static,
    ) -> Result<(), Error> {
        let (_, new) = self.engine.cell(lane);
        let wish: Wish = Arc::new(wish);
        // A client that goes away meanwhile must not cut a turn in two, since its table may be out already, nor leave a lane
        // without a driver.
        let (control, id) = (self.clone(), lane.clone());
        let done = tokio::spawn(async move {
            let turned = control.engine.turn(&id, Some(wish)).await;
            if new {
                control.drive(&id);
            }
            control.engine.nudge(&id);
            drop(held);
            turned
        });
        let done = done.await.unwrap_or_else(|error| Err(Error::Unavailable(format!("the turn was cut off: {error}"))));
        done.map(|_| ())
    }

    async fn stable(&self, lane: &LaneId) -> Result<Option<Release>, Error> {
        let known = self.engine.knows(lane);
        let kept = if known { self.engine.lane(lane).await? } else { None };
        Ok(kept.and_then(|lane| lane.stable.clone()))
    }

    async fn existing(&self, lane: &LaneId) -> Result<Arc<Lane>, Error> {
        let known = self.engine.knows(lane);
        let kept = if known { self.engine.lane(lane).await? } else { None };
        kept.ok_or_else(|| Error::NotFound(format!("nothing was ever released to {lane}")))
    }
}
