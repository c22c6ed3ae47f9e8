//! The way back, as people ask for it: because something is wrong, or to know that it works.

use slipway_core::names::{LaneId, RolloutId, VersionName};
use slipway_core::rollout::{self, Asked, Lane, Refusal, Release, RolloutKind, commands};

use super::Control;
use crate::admission;
use crate::by::By;
use crate::error::Error;

/// What a rollback was decided on is not so any more.
const OVERTAKEN: &str = "overtaken";

/// What a rollback would do in a lane as it is.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    back: commands::Back,
    open: Option<RolloutId>,
}

impl Way {
    fn of(lane: &Lane, to: Option<&VersionName>) -> Result<Way, Refusal> {
        Ok(Way { back: commands::way_back(lane, to)?, open: lane.open.as_ref().map(|open| open.id.clone()) })
    }
}

impl Control {
    /// Takes the open rollout back, or brings an earlier version back.
    pub async fn rollback(&self, lane: &LaneId, to: Option<VersionName>, by: &By) -> Result<RolloutId, Error> {
        loop {
            match self.try_rollback(lane, to.as_ref(), by).await {
                // A rollout has begun or ended in between: what was meant is decided anew.
                Err(Error::Refused(refusal)) if refusal.code == OVERTAKEN => {}
                came_of => return came_of,
            }
        }
    }

    async fn try_rollback(&self, lane: &LaneId, to: Option<&VersionName>, by: &By) -> Result<RolloutId, Error> {
        let kept = self.existing(lane).await?;
        if let Some(before) = by.before(&self.engine, lane).await? {
            return Ok(before);
        }
        let way = Way::of(&kept, to)?;
        if to.is_none() {
            commands::refuse_two_at_once(&kept, &way.back, self.now())?;
        }
        let asked = match &way.back {
            commands::Back::TakeBack => None,
            commands::Back::To(version) => {
                let release = match kept.release(version) {
                    Some(release) => release.clone(),
                    None => admission::served_before(&self.engine, lane, version).await?,
                };
                // What stands by needs nothing but the traffic.
                let here = self.engine.look_for_artifact(&release.artifact).await;
                if !here && kept.ready(version) < release.instances(lane) {
                    return Err(Error::UnknownArtifact(release.artifact));
                }
                let id = self.engine.store.next_rollout_id().await;
                Some(self.back_to(&kept, id, release, by)?)
            }
        };
        let id = asked.as_ref().map(|asked| asked.id.clone()).or_else(|| way.open.clone());
        let (by, to) = (by.clone(), to.cloned());
        self.wish(lane, move |turn, now| {
            if Way::of(&turn.lane, to.as_ref())? != way {
                let reason = "a rollout has begun or ended in between".to_string();
                return Err(Refusal { code: OVERTAKEN, reason });
            }
            commands::rollback(turn, asked.clone(), &by.actor, now)?;
            if asked.is_none() {
                by.leave_key(turn);
            }
            Ok(())
        })
        .await?;
        id.ok_or_else(|| Error::NotFound(format!("no rollout of {lane} is open")))
    }

    /// Records that an incident calls for a way back which there is not, so that somebody hears of it.
    pub(crate) async fn tell_no_way_back(&self, lane: &LaneId, why: &str) -> Result<(), Error> {
        let why = why.to_string();
        self.wish(lane, move |turn, _| {
            commands::no_way_back(turn, &why);
            Ok(())
        })
        .await
    }

    /// Takes the way back on purpose, and the way forth again.
    pub async fn drill(&self, lane: &LaneId, cold: bool, by: &By) -> Result<RolloutId, Error> {
        let kept = self.existing(lane).await?;
        if let Some(before) = by.before(&self.engine, lane).await? {
            return Ok(before);
        }
        if let Some(predecessor) = &kept.predecessor {
            self.engine.look_for_artifact(&predecessor.artifact).await;
        }
        let release = rollout::drillable(&kept, &self.observed(&kept))?;
        let policy = kept.stable.as_ref().unwrap_or(&release);
        let strategy = policy.environment(lane).map(|e| e.strategy.clone()).unwrap_or_default();
        let id = self.engine.store.next_rollout_id().await;
        let asked = Asked {
            id: id.clone(),
            kind: RolloutKind::Drill { cold },
            release,
            strategy,
            actor: by.actor.clone(),
            key: by.key.clone(),
            at: self.now(),
            overriding: None,
            approvals: Vec::new(),
        };
        let engine = self.engine.clone();
        self.wish(lane, move |turn, now| {
            let (seen, _) = engine.observe(&turn.lane, now);
            commands::drill(turn, asked.clone(), &seen)
        })
        .await?;
        Ok(id)
    }

    fn back_to(&self, lane: &Lane, id: RolloutId, release: Release, by: &By) -> Result<Asked, Error> {
        let environment = release.environment(&lane.id).ok_or_else(|| Error::UnknownEnvironment {
            environment: lane.id.environment.clone(),
            declared: admission::declared(&release.spec),
        })?;
        Ok(Asked {
            id,
            kind: RolloutKind::Rollback,
            strategy: environment.strategy.clone(),
            release,
            actor: by.actor.clone(),
            key: by.key.clone(),
            at: self.now(),
            overriding: None,
            approvals: Vec::new(),
        })
    }
}
