//! Driving a group release: one task for each looks at its members, keeps what is about to be done, and does it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_core::group::{Act, Member, MemberProgress, MemberSeen, Standing};
use slipway_core::names::{EnvironmentName, LaneId, RolloutId};
use slipway_core::rollout::{Lane, State, commands};
use slipway_core::units::Millis;

use super::Document;
use crate::by::By;
use crate::control::Control;
use crate::error::Error;
use crate::views::RolloutNow;

/// How long a group goes without a look if nothing happens.
const LOOK: Duration = Duration::from_secs(1);
/// How long until something that could not be done is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The group releases that are driven, each by one task: two would act on what the other does not see yet. True where
/// something was asked of one meanwhile, so that its task looks once more before it ends.
#[derive(Debug, Default)]
pub(crate) struct Driven(Mutex<HashMap<String, bool>>);

impl Driven {
    /// Whether whoever asks is the one who drives it from now on. Otherwise whoever does looks once more.
    fn begin(&self, id: &str) -> bool {
        match self.all().entry(id.to_string()) {
            Entry::Occupied(mut again) => {
                again.insert(true);
                false
            }
            Entry::Vacant(free) => {
                free.insert(false);
                true
            }
        }
    }

    /// Whether nobody drives it any more; not where it is to be looked at once more.
    fn end(&self, id: &str) -> bool {
        let mut driven = self.all();
        let again = driven.remove(id) == Some(true);
        if again {
            driven.insert(id.to_string(), false);
        }
        !again
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Drives a group release until it has ended. Does no harm where that is done already, or where there is none.
    pub(super) fn drive_group(&self, id: &str) {
        if !self.driven().begin(id) {
            return;
        }
        let (control, id) = (self.clone(), id.to_string());
        self.spawn(async move {
            loop {
                match control.move_group(&id).await {
                    Ok(true) => {}
                    Ok(false) if control.driven().end(&id) => return,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(group = id, %error, "a group release is looked at again");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        });
    }

    /// One look at a group release. Returns whether it goes on.
    async fn move_group(&self, id: &str) -> Result<bool, Error> {
        let mut changes = self.store().subscribe();
        changes.mark_unchanged();
        let Some(kept) = self.store().group_run::<Document>(id).await? else { return Ok(false) };
        let mut document = kept.doc;
        if !document.run.is_open() {
            return Ok(false);
        }
        let mut seen = Vec::new();
        for member in &document.run.members {
            seen.push(self.member_seen(&document.run.environment, member).await?);
        }
        let before = document.run.clone();
        let (act, facts) = document.run.advance(&seen, self.now());
        // What is about to be done is kept before it is done.
        let mut generation = kept.generation;
        if document.run != before || !facts.is_empty() {
            if !self.keep_group(&document, generation, facts).await? {
                return Ok(true);
            }
            generation += 1;
        }
        if !document.run.is_open() {
            return Ok(false);
        }
        if act == Act::Wait {
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            return Ok(true);
        }
        if self.act(&mut document, &act).await? {
            self.keep_group(&document, generation, Vec::new()).await?;
        } else {
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
        Ok(true)
    }

    /// Does what is next for a member. Returns whether something is known that was not.
    async fn act(&self, document: &mut Document, act: &Act) -> Result<bool, Error> {
        let environment = document.run.environment.clone();
        let (i, word) = match act {
            Act::Wait => return Ok(false),
            Act::Release(i) => (*i, "release"),
            Act::TakeBack(i) => (*i, "back"),
            Act::Withdraw(i) => (*i, "withdraw"),
            Act::LookUp(i) => (*i, "release"),
        };
        let member = &document.run.members[i];
        let lane = LaneId { service: member.service.clone(), environment };
        let key = format!("group/{}/{}/{word}", document.run.id, member.service);
        let actor = match act {
            Act::Release(_) => document.run.actor.clone(),
            _ => document.back_by.clone().unwrap_or_else(|| format!("slipway:group:{}", document.run.group)),
        };
        let by = By { actor, key: Some(key) };
        let asked = by.before(self.engine(), &lane).await?;
        let done = match (act, asked, &member.progress) {
            (Act::LookUp(_), None, _) => {
                document.run.members[i].progress = MemberProgress::Returned { rollout: None };
                return Ok(true);
            }
            // It was asked for before the control plane died.
            (Act::LookUp(_) | Act::Release(_), Some(rollout), _) => Ok(rollout),
            (Act::Release(_), None, _) => self.release(document.requests[i].clone(), &by).await,
            (Act::Withdraw(_), _, MemberProgress::Releasing { rollout: Some(own) }) => {
                self.withdraw(&lane, own, &by).await
            }
            // Only its own rollout is taken back, and it only goes back to what it served before.
            (_, _, MemberProgress::Releasing { rollout: Some(own) })
                if self.opens(&lane).await?.as_ref() != Some(own) =>
            {
                return Ok(false);
            }
            (_, _, MemberProgress::Releasing { .. }) => self.rollback(&lane, None, &by).await,
            _ => self.rollback(&lane, member.from.clone(), &by).await,
        };
        let progress = &mut document.run.members[i].progress;
        match (done, &progress) {
            (Ok(rollout), MemberProgress::Releasing { rollout: None }) => {
                *progress = MemberProgress::Releasing { rollout: Some(rollout) };
            }
            (Ok(rollout), MemberProgress::Returning { rollout: None }) => {
                *progress = MemberProgress::Returning { rollout: Some(rollout) };
            }
            // It is on its way: how it ends will be seen.
            (Ok(_), _) => return Ok(false),
            (Err(error), _) if passes(&error) => return Err(error),
            (Err(error), MemberProgress::Releasing { rollout: None }) => {
                *progress = MemberProgress::Failed { rollout: None, cause: format!("was refused: {error}") };
            }
            (Err(error), MemberProgress::Returning { .. }) => {
                *progress = MemberProgress::Stuck { cause: error.to_string() };
            }
            (Err(error), _) => {
                tracing::debug!(%lane, %error, "a member of a group is on its way already");
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn member_seen(&self, environment: &EnvironmentName, member: &Member) -> Result<MemberSeen, Error> {
        let lane = LaneId { service: member.service.clone(), environment: environment.clone() };
        let now = self.lane(&lane).await?;
        let stable = now.as_ref().and_then(|now| now.lane.stable_version().cloned());
        let patience = now.as_ref().map_or(Millis(0), |now| at_hand(&now.lane));
        let rollout = match member.progress.rollout() {
            Some(id) => self.standing(id).await?,
            None => None,
        };
        Ok(MemberSeen { rollout, stable, patience })
    }

    /// The open rollout of a lane.
    async fn opens(&self, lane: &LaneId) -> Result<Option<RolloutId>, Error> {
        Ok(self.lane(lane).await?.and_then(|now| now.lane.open.as_ref().map(|open| open.id.clone())))
    }

    /// Withdraws a rollout that waits, and no other.
    async fn withdraw(&self, lane: &LaneId, id: &RolloutId, by: &By) -> Result<RolloutId, Error> {
        let (rollout, actor) = (id.clone(), by.actor.clone());
        self.wish(lane, move |turn, now| commands::withdraw(turn, &rollout, &actor, now)).await?;
        Ok(id.clone())
    }

    async fn standing(&self, id: &RolloutId) -> Result<Option<Standing>, Error> {
        Ok(match self.rollout(id).await? {
            None => None,
            Some(RolloutNow::Open(now)) => Some(match now.lane.open.as_ref().map(|open| &open.state) {
                Some(State::Held { reason, .. }) => Standing::Held(reason.clone()),
                _ => Standing::Open,
            }),
            Some(RolloutNow::Queued { .. }) => Some(Standing::Queued),
            Some(RolloutNow::Ended(_, doc)) => doc.ended().map(|(o, cause)| Standing::Ended(o, cause.to_string())),
        })
    }
}

/// How long those who take jobs may need to finish what they have; nothing where there are requests.
fn at_hand(lane: &Lane) -> Millis {
    let releases = lane.stable.iter().chain(lane.open.as_ref().map(|open| &open.release));
    let workers = releases.filter(|release| release.spec.is_worker());
    workers.map(|release| release.spec.run.stop_grace).max().unwrap_or(Millis(0))
}

/// Whether it may work later.
fn passes(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_) | Error::Store(_))
}
