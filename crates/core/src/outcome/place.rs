//! Which version a user had, and when: the splits of a lane as they followed each other.

use std::collections::{BTreeSet, VecDeque};

use super::{OLDEST, Outcome, Refused};
use crate::names::VersionName;
use crate::rollout::Lane;
use crate::traffic::{Epoch, Split, assign};
use crate::units::{Millis, Timestamp};

/// For so long after a split began, gateways and requests under way may still go by the one before.
const MOVING: Millis = Millis::from_secs(2);
/// Splits that are remembered.
const MOST: usize = 64;

/// A stretch of time under one split.
#[derive(Debug)]
struct Stretch {
    epoch: Epoch,
    since: Timestamp,
    split: Split,
    salt: String,
    /// Versions beside those of the split that somebody had meanwhile: a worker's take jobs from their start to their end,
    /// whatever share is asked for, and a cohort has a version of its own.
    also: BTreeSet<VersionName>,
}

/// The splits of a lane, oldest first.
#[derive(Debug, Default)]
pub(super) struct Places {
    stretches: VecDeque<Stretch>,
    known: BTreeSet<VersionName>,
    /// Jobs are taken by whoever is free, so no key says by whom.
    unkeyed: bool,
}

impl Places {
    /// Takes note of the split that a lane asks for. Whether it is a new one.
    pub fn follow(&mut self, lane: &Lane, now: Timestamp) -> bool {
        let releases = [lane.stable.as_ref(), lane.predecessor.as_ref(), lane.open.as_ref().map(|r| &r.release)];
        self.known = releases.into_iter().flatten().map(|r| r.version.clone()).collect();
        let Some(routing) = &lane.routing else { return false };
        self.known.extend(routing.split.shares().iter().map(|s| s.version.clone()));
        self.unkeyed = lane.is_worker();
        let running = lane.slots.iter().filter(|_| self.unkeyed).map(|slot| slot.version.clone());
        self.known.extend(running.clone());
        if let Some(last) = self.stretches.back_mut().filter(|s| s.epoch == routing.epoch) {
            last.also.extend(running);
            return false;
        }
        let cohorts = routing.cohorts.iter().map(|cohort| cohort.to.clone());
        let also = running.chain(cohorts).collect();
        let (epoch, split, salt) = (routing.epoch, routing.split.clone(), routing.salt.clone());
        self.stretches.push_back(Stretch { epoch, since: now, split, salt, also });
        // The second one is needed for as long as an outcome may be older than it.
        while self.stretches.len() > MOST || self.stretches.get(1).is_some_and(|s| now.since(s.since) > OLDEST) {
            self.stretches.pop_front();
        }
        true
    }

    /// The epochs that are still looked at.
    pub fn has(&self, epoch: Epoch) -> bool {
        self.stretches.iter().any(|s| s.epoch == epoch)
    }

    /// The epoch and the versions that have users now.
    pub fn now(&self) -> Option<(Epoch, Vec<VersionName>)> {
        let last = self.stretches.back()?;
        let versions: BTreeSet<_> =
            last.split.shares().iter().map(|s| s.version.clone()).chain(last.also.iter().cloned()).collect();
        Some((last.epoch, versions.into_iter().collect()))
    }

    /// Whose an outcome is.
    pub fn of(&self, outcome: &Outcome) -> Result<(Epoch, VersionName), Refused> {
        let at = outcome.at;
        let index = self.stretches.iter().rposition(|s| s.since <= at);
        if let Some(version) = &outcome.version {
            if !self.known.contains(version) && !self.stretches.iter().any(|s| has(s, version)) {
                return Err(Refused::UnknownVersion { lane: outcome.lane.clone(), version: version.clone() });
            }
            let stretch = &self.stretches[index.ok_or(Refused::TooOld)?];
            return match has(stretch, version) {
                true => Ok((stretch.epoch, version.clone())),
                false => Err(Refused::NotServing(version.clone())),
            };
        }
        if self.unkeyed {
            return Err(Refused::NoVersion);
        }
        let key = outcome.key.as_deref().ok_or(Refused::Nobody)?;
        let index = index.ok_or(Refused::TooOld)?;
        let stretch = &self.stretches[index];
        let (version, _) = assign(&stretch.split, &stretch.salt, key);
        if at.since(stretch.since) < MOVING
            && let Some(before) = index.checked_sub(1).map(|i| &self.stretches[i])
            && assign(&before.split, &before.salt, key).0 != version
        {
            return Err(Refused::Between);
        }
        Ok((stretch.epoch, version.clone()))
    }
}

fn has(stretch: &Stretch, version: &VersionName) -> bool {
    stretch.also.contains(version) || stretch.split.shares().iter().any(|s| s.version == *version)
}
