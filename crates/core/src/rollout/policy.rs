//! What the file of its environment asks of a lane, beside what each release declares for itself.
//!
//! Kept with the lane, so that gates are looked at without asking anybody; the control plane brings it up to date at
//! the beginning of every turn.

use serde::{Deserialize, Serialize};

use super::lane::{Lane, Release};
use crate::spec::{Gates, Hook};
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
    /// Who is told of the lane, and asked before users move. No release replaces or removes them.
    #[serde(default)]
    pub hooks: Vec<Hook>,
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

    /// `release` with the number of instances that the environment's file declares.
    pub fn as_bound(&self, mut release: Release) -> Release {
        if let Some(instances) = self.bound.as_ref().and_then(|bound| bound.instances) {
            release.set_instances(&self.id, instances);
        }
        release
    }
}
