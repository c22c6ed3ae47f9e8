//! Environments as files: applying one, what differs from it, and writing down what is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use slipway_core::environment::{self, Difference, Environment};
use slipway_core::journal::Fact;
use slipway_core::names::{EnvironmentName, LaneId, ServiceName};
use slipway_core::rollout::Lane;
use slipway_core::spec::environment_file::{self, EnvironmentFile};

use super::Control;
use crate::by::By;
use crate::error::Error;
use crate::foreign;
use crate::views::{EnvironmentNow, ServiceNow};

impl Control {
    /// Takes a file as what an environment is to be: all of it or, where anything in it cannot be, nothing.
    pub async fn apply_environment(&self, text: &str, by: &By) -> Result<EnvironmentNow, Error> {
        let declared = environment_file::parse(text).map_err(Error::Mistakes)?;
        let _alone = self.engine.writing_environments().await;
        let mistakes = foreign::mistakes(&self.engine, &declared).await?;
        if !mistakes.is_empty() {
            return Err(Error::Mistakes(mistakes));
        }
        let name = declared.file.environment.clone();
        let before = self.engine.environment(&name);
        let found = self.differences(&declared.file).await?;
        let kept = Environment::applied(declared.file, before.as_deref(), &by.actor, self.now());
        let sentence = match found.len() {
            0 => format!("{} applied the file of {name}, which is as the file says", by.actor),
            1 => format!("{} applied the file of {name}: 1 thing differs", by.actor),
            n => format!("{} applied the file of {name}: {n} things differ", by.actor),
        };
        let differences: Vec<_> = found.iter().map(|d| json!([d.place, d.found, d.declared])).collect();
        let evidence = json!({
            "environment": name, "generation": kept.generation, "file": kept.file.to_yaml(), "differences": differences,
        });
        let fact = Fact {
            kind: "environment.applied".to_string(),
            lane: None,
            rollout: None,
            actor: by.actor.clone(),
            cause: sentence,
            evidence,
        };
        self.engine.keep_applied(kept, vec![fact]).await?;
        self.engine.nudge_all();
        self.environment(&name).await
    }

    /// What differs between a file and what is there, without doing anything. A file from elsewhere is refused.
    pub async fn compare_environment(&self, text: &str) -> Result<(EnvironmentName, Vec<Difference>), Error> {
        let declared = environment_file::parse(text).map_err(Error::Mistakes)?;
        let mistakes = foreign::mistakes(&self.engine, &declared).await?;
        match mistakes.is_empty() {
            true => Ok((declared.file.environment.clone(), self.differences(&declared.file).await?)),
            false => Err(Error::Mistakes(mistakes)),
        }
    }

    /// The file of an environment as it is now. Applied, it changes nothing.
    pub async fn export_environment(&self, name: &EnvironmentName) -> Result<EnvironmentFile, Error> {
        let kept = self.engine.environment(name);
        let lanes = self.lanes_of(name).await?;
        if kept.is_none() && lanes.is_empty() {
            return Err(Error::NotFound(format!("nothing was ever released to {name}, and it has no file")));
        }
        Ok(environment::as_it_is(name, kept.as_deref(), lanes.values(), self.engine.store.cluster()))
    }

    /// Every environment that has a file, and how it stands.
    pub async fn environments(&self) -> Result<Vec<EnvironmentNow>, Error> {
        let mut all = Vec::new();
        for kept in self.engine.environments() {
            all.push(self.environment(&kept.file.environment).await?);
        }
        Ok(all)
    }

    /// How an environment stands that has a file.
    pub async fn environment(&self, name: &EnvironmentName) -> Result<EnvironmentNow, Error> {
        let kept = self.engine.environment(name);
        let none = || Error::NotFound(format!("no file was applied to {name}; write one with slipway env export"));
        let kept = kept.ok_or_else(none)?;
        let lanes = self.lanes_of(name).await?;
        let mut services = Vec::new();
        for (service, entry) in &kept.file.services {
            let lane = lanes.get(&kept.lane(service));
            services.push(ServiceNow {
                service: service.clone(),
                drift: environment::drift(service, entry, lane),
                next: self.next_of(&kept, service, lane).await?,
                coming: kept.coming.contains(service),
                tried: kept.tried.get(service).cloned(),
            });
        }
        let differences = environment::differences(&kept.file, Some(&kept), &lanes);
        Ok(EnvironmentNow { kept, services, differences })
    }

    async fn differences(&self, file: &EnvironmentFile) -> Result<Vec<Difference>, Error> {
        let kept = self.engine.environment(&file.environment);
        let lanes = self.lanes_of(&file.environment).await?;
        Ok(environment::differences(file, kept.as_deref(), &lanes))
    }

    /// What differs in a lane from its environment's file.
    pub(super) fn drift_of(&self, lane: &Lane) -> Vec<Difference> {
        let Some(kept) = self.engine.environment(&lane.id.environment) else { return Vec::new() };
        let entry = kept.file.services.get(&lane.id.service);
        entry.map(|entry| environment::drift(&lane.id.service, entry, Some(lane))).unwrap_or_default()
    }

    /// Lanes of an environment to which something was released.
    pub(crate) async fn lanes_of(&self, name: &EnvironmentName) -> Result<BTreeMap<LaneId, Lane>, Error> {
        let mut lanes = BTreeMap::new();
        for id in self.engine.lanes().into_iter().filter(|id| id.environment == *name) {
            if let Some(lane) = self.engine.lane(&id).await? {
                lanes.insert(id, Arc::unwrap_or_clone(lane));
            }
        }
        Ok(lanes)
    }

    /// Environments that something may have to be done in.
    pub(crate) fn kept_environments(&self) -> Vec<Arc<Environment>> {
        let mut all = self.engine.environments();
        all.retain(|kept| kept.file.heal || !kept.coming.is_empty());
        all
    }

    /// What others must serve before a service: by the file, and by the version that is to come.
    pub(crate) async fn next_of(
        &self,
        kept: &Environment,
        service: &ServiceName,
        lane: Option<&Lane>,
    ) -> Result<environment::Next, Error> {
        let last = match kept.tried.get(service).and_then(|tried| tried.rollout.as_ref()) {
            Some(rollout) => self.ended(rollout).await?,
            None => None,
        };
        let after = foreign::after(&self.engine, kept, service).await?;
        let next = environment::next(kept, service, lane, &after, last.as_ref());
        if let environment::Next::Release { .. } | environment::Next::Scale { .. } = &next
            && let Some(group) = self.group_at(&kept.lane(service)).await?
        {
            return Ok(environment::Next::Wait(format!("{} is open", group.id)));
        }
        Ok(next)
    }

    async fn ended(&self, rollout: &slipway_core::names::RolloutId) -> Result<Option<environment::Last>, Error> {
        let Some(record) = self.engine.store.rollout(rollout).await? else { return Ok(None) };
        let rollout: slipway_core::rollout::Rollout = serde_json::from_str(&record.doc)?;
        let ended = rollout.ended();
        Ok(ended.map(|(outcome, cause)| environment::Last { outcome, cause: cause.to_string() }))
    }
}
