//! Environments that have a file, in memory: what each turn and each admission has to know of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::environment::{self, Environment};
use slipway_core::journal::Fact;
use slipway_core::names::{EnvironmentName, LaneId};
use slipway_core::rollout::Bound;
use slipway_store::{Hooks, Whose};

use super::Engine;
use super::hooks::rows;
use crate::error::Error;

/// The environments that have a file.
#[derive(Default)]
pub(super) struct Environments {
    known: Mutex<BTreeMap<EnvironmentName, Arc<Environment>>>,
    /// Held by whoever is about to write one.
    writing: tokio::sync::Mutex<()>,
}

impl Environments {
    fn known(&self) -> MutexGuard<'_, BTreeMap<EnvironmentName, Arc<Environment>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Reads what is kept, before anything turns.
    pub async fn load_environments(&self) -> Result<(), Error> {
        let kept: Vec<Environment> = self.store.environments().await?;
        self.make_up_for_hooks(&kept).await?;
        let named = |e: Environment| (e.file.environment.clone(), Arc::new(e));
        *self.environments.known() = kept.into_iter().map(named).collect();
        Ok(())
    }

    /// Every environment that has a file.
    pub fn environments(&self) -> Vec<Arc<Environment>> {
        self.environments.known().values().cloned().collect()
    }

    /// The environment of that name, where it has a file.
    pub fn environment(&self, name: &EnvironmentName) -> Option<Arc<Environment>> {
        self.environments.known().get(name).cloned()
    }

    /// What a lane's environment asks of it.
    pub fn bound(&self, lane: &LaneId) -> Option<Bound> {
        self.environment(&lane.environment).map(|kept| environment::bound(&kept.file, &lane.service))
    }

    /// The right to change environments, one at a time.
    pub async fn writing_environments(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.environments.writing.lock().await
    }

    /// Keeps an environment, with what is recorded about it.
    pub async fn keep_environment(&self, environment: Environment, facts: Vec<Fact>) -> Result<(), Error> {
        self.write(environment, None, facts).await
    }

    /// Keeps an environment to which a file was applied, with what is recorded about it. Whom the file names is told of
    /// that, and so is whom it names no longer.
    pub async fn keep_applied(&self, environment: Environment, facts: Vec<Fact>) -> Result<(), Error> {
        let hooks = rows(&environment.file.hooks)?;
        self.write(environment, Some(hooks), facts).await?;
        self.hooks_changed.notify_one();
        Ok(())
    }

    async fn write(&self, environment: Environment, hooks: Option<Hooks>, facts: Vec<Fact>) -> Result<(), Error> {
        let name = environment.file.environment.clone();
        self.store.keep_environment(&name, &environment, hooks, facts, self.clock.now()).await?;
        self.environments.known().insert(name, Arc::new(environment));
        Ok(())
    }

    /// Declares the hooks of files that were applied by an earlier Slipway, which told them nothing but what belongs to
    /// services.
    async fn make_up_for_hooks(&self, kept: &[Environment]) -> Result<(), Error> {
        let known = self.store.hooks().await?;
        let of = |name: &EnvironmentName| Whose::Environment(name.clone());
        let told = |name: &EnvironmentName| known.iter().any(|row| row.id.whose == of(name));
        for one in kept.iter().filter(|one| !one.file.hooks.is_empty() && !told(&one.file.environment)) {
            let hooks = Some(rows(&one.file.hooks)?);
            let now = self.clock.now();
            self.store.keep_environment(&one.file.environment, one, hooks, Vec::new(), now).await?;
        }
        Ok(())
    }
}
