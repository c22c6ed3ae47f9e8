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
    /// one takes the place of the release's own of the same name or for the same users. Done twice it changes nothing more.
    pub fn binding(&self, lane: &LaneId, mut release: Release) -> Release {
        if let Some(instances) = self.instances {
            release.set_instances(lane, instances);
        }
        for environment in release.spec.environments.iter_mut().filter(|e| e.name == lane.environment) {
            let own = std::mem::take(&mut environment.cohorts);
            let same = |own: &Cohort, cohort: &Cohort| cohort.name == own.name || cohort.rule == own.rule;
            let own = own.into_iter().filter(|own| !self.cohorts.iter().any(|cohort| same(own, cohort)));
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

    /// `release` with as many instances as somebody scaled to, where that is more than it declares: what serves at a peak
    /// is not followed by what was declared for a quiet day. The environment's own file has the last word, and what must run alone
    /// does.
    pub fn as_scaled(&self, mut release: Release) -> Release {
        let bound = self.bound.as_ref().is_some_and(|bound| bound.instances.is_some());
        let fixed = bound || release.spec.is_exclusive();
        if let Some(scaled) = self.scaled.filter(|scaled| !fixed && *scaled > release.instances(&self.id)) {
            release.set_instances(&self.id, scaled);
        }
        release
    }

    /// When the way back of what serves is practised by itself.
    pub fn drill_policy(&self) -> Option<&DrillPolicy> {
        let own = self.stable.as_ref()?.environment(&self.id)?.drill.as_ref();
        own.or_else(|| self.bound.as_ref().and_then(|bound| bound.drill.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Digest;
    use crate::spec;

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: /healthz }
environments:
  production:
    drill: { every: 9d }
    cohorts: [{ name: internal, header: \"X-Internal: 1\" }, { name: beta, cookie: beta=1 }, { name: own, cookie: own=1 }]
  staging: { cohorts: [{ name: internal, header: \"X-Internal: 1\" }] }
";

    fn lane(environment: &str) -> Lane {
        let spec = spec::parse(FILE).expect("a file").spec;
        let (artifact, config) = (Digest::of(b"a"), Digest::of(b"c"));
        let stable = Release { version: "1".parse().expect("a version"), artifact, config, spec };
        let id = LaneId { service: "shop".parse().expect("a name"), environment: environment.parse().expect("a name") };
        Lane { stable: Some(stable), ..Lane::new(id) }
    }

    fn bound(text: &str) -> Bound {
        let file = spec::environment_file::parse(&format!("environment: production\n{text}")).expect("a file").file;
        crate::environment::bound(&file, &"shop".parse().expect("a name"))
    }

    #[test]
    fn cohorts_of_the_environment_go_first_and_nobody_is_in_two_of_them() {
        let lane = lane("production");
        let bound = bound("cohorts: [{ name: testers, cookie: beta=1 }, { name: internal, cookie: staff=1 }]\n");
        let once = bound.binding(&lane.id, lane.stable.clone().expect("a release"));
        let names = |release: &Release, environment: &str| {
            let id = LaneId { environment: environment.parse().expect("a name"), ..lane.id.clone() };
            let cohorts = &release.environment(&id).expect("declared").cohorts;
            cohorts.iter().map(|cohort| cohort.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&once, "production"), ["testers", "internal", "own"]);
        assert_eq!(names(&once, "staging"), ["internal"], "another environment's are left alone");
        assert_eq!(bound.binding(&lane.id, once.clone()), once);
    }

    #[test]
    fn what_was_scaled_up_stays_so_unless_a_release_declares_more_or_the_environment_says() {
        let mut lane = lane("production");
        let instances = |lane: &Lane| lane.as_scaled(lane.stable.clone().expect("a release")).instances(&lane.id);
        let declared = instances(&lane);
        lane.scaled = Some(declared + 4);
        assert_eq!(instances(&lane), declared + 4);
        lane.scaled = Some(declared.saturating_sub(1));
        assert_eq!(instances(&lane), declared, "what was scaled down comes back whole");
        lane.scaled = Some(declared + 4);
        lane.bound = Some(Bound { instances: Some(declared), ..Bound::default() });
        assert_eq!(instances(&lane), declared);
    }

    #[test]
    fn a_service_says_itself_when_it_is_drilled_and_its_environment_where_it_does_not() {
        let every = |lane: &Lane| lane.drill_policy().map(|policy| policy.every);
        let (mut production, mut staging) = (lane("production"), lane("staging"));
        assert_eq!(every(&staging), None);
        for lane in [&mut production, &mut staging] {
            lane.bound = Some(bound("drill: { every: 7d }\n"));
        }
        let day = Millis::from_secs(24 * 3600);
        assert_eq!((every(&production), every(&staging)), (Some(Millis(9 * day.0)), Some(Millis(7 * day.0))));
    }
}
