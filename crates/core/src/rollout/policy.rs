//! What the file of its environment asks of a lane, beside what each release declares for itself.
//!
//! Kept with the lane, so that gates are looked at without asking anybody; the control plane brings it up to date at
//! the beginning of every turn.

use serde::{Deserialize, Serialize};

use super::lane::{Lane, Release};
use crate::names::LaneId;
use crate::spec::{Cohort, DrillPolicy, Gates, Hook};
use crate::units::Millis;

/// What an environment's file asks of one lane.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bound {
    /// How many instances, whatever a release says.
    #[serde(default)]
    pub instances: Option<u32>,
    /// Gates of every release.
    #[serde(default)]
    pub gates: Gates,
    /// How old the last drill may be.
    #[serde(default)]
    pub require_drill: Option<Millis>,
    /// Who meets a canary first, before the cohorts that a release brings.
    #[serde(default)]
    pub cohorts: Vec<Cohort>,
    /// When the way back is practised by itself, where the version that serves says nothing of it.
    #[serde(default)]
    pub drill: Option<DrillPolicy>,
    /// Who is told of the lane, and asked before users move. No release replaces or removes them.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

impl Bound {
    /// `release` with what is declared here in its place: the number of instances, and the cohorts that go first, of which
    /// one takes the place of the release's own of the same name. Done twice it changes nothing more.
    pub fn binding(&self, lane: &LaneId, mut release: Release) -> Release {
        if let Some(instances) = self.instances {
            release.set_instances(lane, instances);
        }
        for environment in release.spec.environments.iter_mut().filter(|e| e.name == lane.environment) {
            let own = std::mem::take(&mut environment.cohorts);
            let own = own.into_iter().filter(|own| self.cohorts.iter().all(|cohort| cohort.name != own.name));
            environment.cohorts = self.cohorts.iter().cloned().chain(own).collect();
        }
        release
    }
}

/// What a release has to meet: the stricter of its own policy and its environment's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Gates.
    pub gates: Gates,
    /// How old the last drill may be.
    pub require_drill: Option<Millis>,
}

impl Lane {
    /// What `release` has to meet here; `None` where it declares nothing for this environment.
    pub fn policy(&self, release: &Release) -> Option<Policy> {
        let own = release.environment(&self.id)?;
        let Some(bound) = &self.bound else {
            return Some(Policy { gates: own.gates.clone(), require_drill: own.require_drill });
        };
        let ages = [own.require_drill, bound.require_drill];
        Some(Policy { gates: own.gates.together(&bound.gates), require_drill: ages.into_iter().flatten().min() })
    }

    /// `release` with what the environment's file declares in its place.
    pub fn as_bound(&self, release: Release) -> Release {
        match &self.bound {
            Some(bound) => bound.binding(&self.id, release),
            None => release,
        }
    }

    /// When the way back of what serves is practised by itself.
    pub fn drill_policy(&self) -> Option<&DrillPolicy> {
        let own = self.stable.as_ref()?.environment(&self.id)?.drill.as_ref();
        own.or_else(|| self.bound.as_ref().and_then(|bound| bound.drill.as_ref()))
    }
}
