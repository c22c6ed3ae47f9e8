//! What can be seen of the control plane: lanes, rollouts, history, logs.

use std::sync::Arc;

use slipway_core::names::{EnvironmentName, LaneId, RolloutId, ServiceName, VersionName};
use slipway_core::rollout::{self, Lane, Rollout};
use slipway_store::Filter;

use super::Control;
use crate::error::Error;
use crate::views::{LaneNow, LoggedInstance, RolloutNow};

/// Instances of a service that are looked up for their logs, newest first.
const LOGGED: u32 = 200;

impl Control {
    /// Every lane at this moment.
    pub async fn lanes(&self) -> Result<Vec<LaneNow>, Error> {
        let mut all = Vec::new();
        for id in self.engine.lanes() {
            all.extend(self.lane(&id).await?);
        }
        Ok(all)
    }

    /// Every lane that there is, without a look at any of them.
    pub fn known(&self) -> Vec<LaneId> {
        self.engine.lanes()
    }

    /// The lanes of a service at this moment.
    pub async fn lanes_of_service(&self, service: &ServiceName) -> Result<Vec<LaneNow>, Error> {
        let mut all = Vec::new();
        for id in self.engine.lanes().into_iter().filter(|id| id.service == *service) {
            all.extend(self.lane(&id).await?);
        }
        Ok(all)
    }

    /// A lane at this moment.
    pub async fn lane(&self, id: &LaneId) -> Result<Option<LaneNow>, Error> {
        if !self.engine.knows(id) {
            return Ok(None);
        }
        Ok(self.engine.lane(id).await?.map(|lane| self.at_this_moment(lane)))
    }

    fn at_this_moment(&self, lane: Arc<Lane>) -> LaneNow {
        let now = self.now();
        let (seen, _) = self.engine.observe(&lane, now);
        LaneNow {
            split: rollout::trail::measured_split(&lane, &seen.evidence),
            drift: self.drift_of(&lane),
            report: rollout::report(&lane, &seen, now),
            instances: seen.instances.into_values().collect(),
            rate: seen.evidence.rate,
            unrecorded: self.engine.unrecorded(&lane.id),
            lane,
            at: now,
        }
    }

    /// A rollout, wherever it stands.
    pub async fn rollout(&self, id: &RolloutId) -> Result<Option<RolloutNow>, Error> {
        // One that only waits has no record yet; and the way back needs no store that can be read.
        let lanes = match self.engine.store.rollout(id).await {
            Ok(Some(record)) => vec![record.lane],
            Ok(None) | Err(_) => self.engine.lanes(),
        };
        for lane in lanes {
            // One look, not two: between them it could end.
            let Ok((Some(kept), ended)) = self.engine.stands(&lane).await else { continue };
            if let Some(ended) = ended.into_iter().find(|ended| ended.id == *id) {
                return Ok(Some(RolloutNow::Ended(lane, Box::new(ended))));
            }
            if kept.open.as_ref().is_some_and(|open| open.id == *id) {
                return Ok(Some(RolloutNow::Open(Box::new(self.at_this_moment(kept)))));
            }
            if let Some(place) = kept.queue.iter().position(|asked| asked.id == *id) {
                return Ok(Some(self.queued(&kept, place)));
            }
        }
        // Read after the lane was looked at: it may have ended since the record was read before.
        match self.engine.store.rollout(id).await? {
            Some(record) => Ok(Some(RolloutNow::Ended(record.lane, Box::new(serde_json::from_str(&record.doc)?)))),
            None => Ok(None),
        }
    }

    /// The rollout at `place` of those that wait.
    fn queued(&self, lane: &Lane, place: usize) -> RolloutNow {
        let asked = Box::new(lane.queue[place].clone());
        let before = place.checked_sub(1).map(|i| lane.queue[i].id.clone());
        let behind = before.or(lane.open.as_ref().map(|open| open.id.clone()));
        let now = self.now();
        let gates = rollout::gates::of(lane, &asked, &self.observed(lane), now);
        RolloutNow::Queued { lane: lane.id.clone(), asked, behind, gates }
    }

    /// The rollouts of a service, newest first.
    pub async fn history(
        &self,
        service: &ServiceName,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<(LaneId, Rollout)>, Error> {
        let records = self.engine.store.history(service, environment, limit).await?;
        records.into_iter().map(|r| Ok((r.lane, serde_json::from_str(&r.doc)?))).collect()
    }

    /// The instances of a service whose logs can be read, running ones and those that ended lately.
    pub async fn logs(
        &self,
        service: &ServiceName,
        version: Option<&VersionName>,
    ) -> Result<Vec<LoggedInstance>, Error> {
        let filter = Filter {
            service: Some(service.clone()),
            kind: Some("instance.starting".to_string()),
            limit: Some(LOGGED),
            ..Filter::default()
        };
        if let Some(version) = version
            && self.engine.store.release(service, version).await?.is_none()
        {
            let why =
                format!("no version {version} of {service} is known; slipway history {service} shows those that are");
            return Err(Error::NotFound(why));
        }
        let started = self.engine.store.entries(&filter).await?;
        let mut instances = Vec::new();
        for entry in started.into_iter().rev() {
            let named = |key: &str| entry.fact.evidence.get(key).and_then(|v| v.as_str()).unwrap_or_default();
            let (Ok(id), Ok(its)) = (named("instance").parse(), named("version").parse()) else { continue };
            let files = self.engine.target.log_files(&id);
            if version.is_none_or(|v| *v == its) && !files.is_empty() {
                instances.push(LoggedInstance { id, version: its, files });
            }
        }
        Ok(instances)
    }
}
