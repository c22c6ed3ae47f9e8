//! Environments that have a file: what differs from it, and what is done next to bring a service to what it says.
//!
//! Pure, and level-triggered like a lane: the file and what is there in, one act out. Called by the control plane's
//! keeper of environments. What the file looks like is the business of [`crate::spec::environment_file`].

mod difference;
mod next;
mod order;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::{EnvironmentName, LaneId, RolloutId, ServiceName, VersionName};
use crate::rollout::{Bound, Lane};
use crate::spec::environment_file::{EnvironmentFile, ServiceEntry};
use crate::units::Timestamp;

pub use difference::{Difference, differences, drift};
pub use next::{Last, Next, next};
pub use order::{circle, first};

/// An environment that a file was applied to, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// What was declared.
    pub file: EnvironmentFile,
    /// One more each time that a file is applied.
    pub generation: u64,
    /// Who applied it.
    pub applied_by: String,
    /// When.
    pub applied_at: Timestamp,
    /// Services that have not been brought to what the file says since it was applied.
    #[serde(default)]
    pub coming: BTreeSet<ServiceName>,
    /// What was asked for in order to bring a service there.
    #[serde(default)]
    pub tried: BTreeMap<ServiceName, Tried>,
}

/// A version that was asked for because the file says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The how-manieth time since the file was applied. Part of the key under which it is asked for.
    pub times: u32,
    /// What.
    pub version: VersionName,
    /// The rollout; absent until it is known that it was asked for.
    #[serde(default)]
    pub rollout: Option<RolloutId>,
    /// Why it was refused.
    #[serde(default)]
    pub refused: Option<String>,
}

impl Environment {
    /// A file that `by` has just applied; `before` is what was applied until then.
    pub fn applied(file: EnvironmentFile, before: Option<&Environment>, by: &str, now: Timestamp) -> Environment {
        Environment {
            generation: before.map_or(0, |before| before.generation) + 1,
            applied_by: by.to_string(),
            applied_at: now,
            coming: file.services.keys().cloned().collect(),
            tried: BTreeMap::new(),
            file,
        }
    }

    /// The lane of one of its services.
    pub fn lane(&self, service: &ServiceName) -> LaneId {
        LaneId { service: service.clone(), environment: self.file.environment.clone() }
    }

    /// The key under which a service's version is asked for: the same after a crash, another at the next attempt.
    pub fn key(&self, service: &ServiceName, times: u32) -> String {
        format!("environment/{}/{}/{service}/{times}", self.file.environment, self.generation)
    }
}

/// What a file asks of the lane of `service`, named in it or not.
pub fn bound(file: &EnvironmentFile, service: &ServiceName) -> Bound {
    let entry = file.services.get(service);
    let mut gates = file.gates.clone();
    // What everybody waits for does not wait for itself.
    let elsewhere = |named: Option<&EnvironmentName>| named.is_some_and(|named| *named != file.environment);
    gates.after.retain(|after| after.service != *service || elsewhere(after.environment.as_ref()));
    for after in entry.iter().flat_map(|entry| &entry.after) {
        if !gates.after.contains(after) {
            gates.after.push(after.clone());
        }
    }
    Bound {
        instances: entry.and_then(|entry| entry.instances),
        gates,
        require_drill: file.require_drill,
        cohorts: file.cohorts.clone(),
        drill: file.drill.clone(),
        hooks: file.hooks.clone(),
    }
}

/// The file of an environment as it is: what serves, and the policy that was applied last.
pub fn as_it_is<'a>(
    name: &EnvironmentName,
    kept: Option<&Environment>,
    lanes: impl IntoIterator<Item = &'a Lane>,
    cluster: &str,
) -> EnvironmentFile {
    let before = kept.map_or_else(|| EnvironmentFile::empty(name.clone()), |kept| kept.file.clone());
    let entry = |lane: &Lane| {
        let stable = lane.stable.as_ref()?;
        let after = before.services.get(&lane.id.service).map(|entry| entry.after.clone());
        let entry = ServiceEntry {
            version: stable.version.clone(),
            instances: Some(stable.instances(&lane.id)),
            after: after.unwrap_or_default(),
            artifact: Some(stable.artifact.clone()),
            config: Some(stable.config.clone()),
        };
        Some((lane.id.service.clone(), entry))
    };
    let here = lanes.into_iter().filter(|lane| lane.id.environment == *name);
    let services = here.filter_map(entry).collect();
    EnvironmentFile { services, cluster: Some(cluster.to_string()), ..before.clone() }
}
