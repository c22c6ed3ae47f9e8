//! A target in memory, for tests of whatever drives one. Starts nothing: what happens to its instances is said by the
//! test, and what was asked of it can be looked up.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::address::Address;
use slipway_core::instance::{
    Exit, Health, InstanceSpec, InstanceState, InstanceStatus, Pending, Stopped, Target, TargetError,
};
use slipway_core::job::{Job, JobEnd};
use slipway_core::names::{InstanceId, VersionName};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::spec::SmokeTest;
use slipway_core::units::{Millis, Timestamp};

use crate::folder::local;

/// When an incarnation of a fake instance becomes healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Becoming {
    /// As soon as it runs.
    #[default]
    AtOnce,
    /// When [`FakeTarget::set_health`] says so.
    WhenTold,
}

/// Instances that exist only here.
#[derive(Default)]
pub struct FakeTarget {
    inner: Mutex<Inner>,
    nudges: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct Inner {
    instances: BTreeMap<InstanceId, Fake>,
    becoming: Becoming,
    now: Timestamp,
    next_port: u16,
    starts: BTreeMap<InstanceId, u32>,
    stops: BTreeMap<InstanceId, u32>,
    refusals: VecDeque<TargetError>,
    smoke_failures: BTreeMap<VersionName, String>,
    smokes: BTreeMap<InstanceId, u32>,
    jobs: Vec<Job>,
    job_ends: BTreeMap<String, JobEnd>,
}

struct Fake {
    spec: InstanceSpec,
    status: InstanceStatus,
}

impl FakeTarget {
    /// A target without instances, whose starts become healthy at once and whose smoke tests pass.
    pub fn new() -> FakeTarget {
        FakeTarget::default()
    }

    /// When incarnations that start from now on become healthy.
    pub fn set_becoming(&self, becoming: Becoming) {
        self.inner().becoming = becoming;
    }

    /// The time that is put on exits and reports.
    pub fn set_now(&self, now: Timestamp) {
        self.inner().now = now;
    }

    /// The next start of an unknown instance fails with this; several are used up in order.
    pub fn refuse_next_start(&self, error: TargetError) {
        self.inner().refusals.push_back(error);
    }

    /// How many refusals are not used up yet.
    pub fn refusals_left(&self) -> usize {
        self.inner().refusals.len()
    }

    /// What smoke tests of a version come to from now on: a failure of the first test, or `None` for a pass.
    pub fn set_smoke(&self, version: &VersionName, failure: Option<&str>) {
        let mut inner = self.inner();
        match failure {
            Some(why) => drop(inner.smoke_failures.insert(version.clone(), why.to_string())),
            None => drop(inner.smoke_failures.remove(version)),
        }
    }

    /// What becomes of a job from now on, by its id; any other is done.
    pub fn set_job_end(&self, id: &str, end: JobEnd) {
        self.inner().job_ends.insert(id.to_string(), end);
    }

    /// Every job that was asked for, in order.
    pub fn jobs(&self) -> Vec<Job> {
        self.inner().jobs.clone()
    }

    /// Changes an instance's health.
    pub fn set_health(&self, id: &InstanceId, health: Health) {
        self.change(id, |status| status.health = health);
    }

    /// The program exits unasked and waits for its next start, which is [`FakeTarget::restart`].
    pub fn crash(&self, id: &InstanceId) {
        let at = self.inner().now;
        self.change(id, |status| {
            let tail = "crashed by the test".to_string();
            status.health = Health::Unhealthy { why: tail.clone() };
            status.last_exit = Some(Exit { incarnation: status.incarnation, code: Some(1), signal: None, at, tail });
            status.state = InstanceState::BackingOff;
            status.pid = None;
        });
    }

    /// The next incarnation of a crashed instance starts, on another port.
    pub fn restart(&self, id: &InstanceId) {
        let (address, health) = self.inner().next_start();
        self.change(id, |status| {
            status.incarnation += 1;
            run(status, address, health);
        });
    }

    /// Puts an instance into a state, for what has no method of its own: an orphan, an end.
    pub fn set_state(&self, id: &InstanceId, state: InstanceState) {
        self.change(id, |status| status.state = state);
    }

    /// How often an instance's program was started by [`Target::start`]; repeated calls for one that is there do not count.
    pub fn starts(&self, id: &InstanceId) -> u32 {
        self.inner().starts.get(id).copied().unwrap_or(0)
    }

    /// How often a stop that found the instance was asked for.
    pub fn stops(&self, id: &InstanceId) -> u32 {
        self.inner().stops.get(id).copied().unwrap_or(0)
    }

    /// How often an instance was smoke-tested.
    pub fn smokes(&self, id: &InstanceId) -> u32 {
        self.inner().smokes.get(id).copied().unwrap_or(0)
    }

    /// What an instance was started with.
    pub fn spec(&self, id: &InstanceId) -> Option<InstanceSpec> {
        self.inner().instances.get(id).map(|fake| fake.spec.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: &InstanceId, change: impl FnOnce(&mut InstanceStatus)) {
        if let Some(fake) = self.inner().instances.get_mut(id) {
            change(&mut fake.status);
        }
        self.nudge();
    }

    fn nudge(&self) {
        let nudges = self.nudges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nudges.iter().for_each(|nudge| nudge());
    }

    fn start_now(&self, spec: &InstanceSpec) -> Result<(), TargetError> {
        let mut inner = self.inner();
        if let Some(there) = inner.instances.get(&spec.id).map(|fake| &fake.spec) {
            return match there.is_same(spec) {
                true => Ok(()),
                false => Err(TargetError::Hopeless(format!("{} is there already and runs {}", spec.id, there.version))),
            };
        }
        if inner.stops.contains_key(&spec.id) {
            return Err(TargetError::Hopeless(format!("{} was stopped before and does not start again", spec.id)));
        }
        if let Some(error) = inner.refusals.pop_front() {
            return Err(error);
        }
        let (address, health) = inner.next_start();
        let mut status = InstanceStatus {
            id: spec.id.clone(),
            incarnation: 1,
            state: InstanceState::Starting,
            address: None,
            pid: None,
            health: Health::Unknown { why: None },
            last_exit: None,
        };
        run(&mut status, address, health);
        *inner.starts.entry(spec.id.clone()).or_default() += 1;
        inner.instances.insert(spec.id.clone(), Fake { spec: spec.clone(), status });
        Ok(())
    }

    fn smoke_now(&self, id: &InstanceId, incarnation: u32, tests: &[SmokeTest]) -> SmokeReport {
        let mut inner = self.inner();
        *inner.smokes.entry(id.clone()).or_default() += 1;
        let result = |name: &str, failure| SmokeResult { name: name.to_string(), took: Millis(1), failure };
        let fake = inner.instances.get(id).filter(|fake| {
            fake.status.incarnation == incarnation
                && matches!(fake.status.state, InstanceState::Running | InstanceState::Orphaned)
        });
        let results = match fake {
            None => vec![result("instance", Some(format!("start {incarnation} of it does not run")))],
            Some(fake) => match inner.smoke_failures.get(&fake.spec.version) {
                Some(why) => vec![result(tests.first().map_or("smoke", |test| &test.name), Some(why.clone()))],
                None => tests.iter().map(|test| result(&test.name, None)).collect(),
            },
        };
        SmokeReport { instance: id.clone(), incarnation, at: inner.now, tests: results }
    }
}

impl Inner {
    fn next_start(&mut self) -> (Address, Health) {
        self.next_port = self.next_port.checked_add(1).unwrap_or(1);
        let health = match self.becoming {
            Becoming::AtOnce => Health::Healthy,
            Becoming::WhenTold => Health::Unknown { why: None },
        };
        (local(self.next_port), health)
    }
}

fn run(status: &mut InstanceStatus, address: Address, health: Health) {
    status.state = InstanceState::Running;
    status.pid = address.port().map(u32::from);
    status.address = Some(address);
    status.health = health;
}

impl Target for FakeTarget {
    fn start<'a>(&'a self, spec: &'a InstanceSpec, _artifact: PathBuf) -> Pending<'a, Result<(), TargetError>> {
        Box::pin(async move {
            let started = self.start_now(spec);
            self.nudge();
            started
        })
    }

    fn stop<'a>(&'a self, id: &'a InstanceId) -> Pending<'a, Result<Stopped, TargetError>> {
        Box::pin(async move {
            let mut inner = self.inner();
            if inner.instances.remove(id).is_some() {
                *inner.stops.entry(id.clone()).or_default() += 1;
            }
            drop(inner);
            self.nudge();
            Ok(Stopped::default())
        })
    }

    fn smoke<'a>(&'a self, id: &'a InstanceId, incarnation: u32, tests: &'a [SmokeTest]) -> Pending<'a, SmokeReport> {
        Box::pin(async move { self.smoke_now(id, incarnation, tests) })
    }

    fn run<'a>(&'a self, job: &'a Job, _: Option<PathBuf>) -> Pending<'a, JobEnd> {
        let mut inner = self.inner();
        inner.jobs.push(job.clone());
        let end = inner.job_ends.get(&job.id).cloned();
        drop(inner);
        Box::pin(async move { end.unwrap_or(JobEnd::Done { tail: String::new() }) })
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        self.inner().instances.values().map(|fake| fake.status.clone()).collect()
    }

    fn instance(&self, id: &InstanceId) -> Option<InstanceStatus> {
        self.inner().instances.get(id).map(|fake| fake.status.clone())
    }

    fn log_files(&self, _: &InstanceId) -> Vec<PathBuf> {
        Vec::new()
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.nudges.lock().unwrap_or_else(PoisonError::into_inner).push(nudge);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use slipway_core::names::Digest;
    use slipway_core::spec::{HealthCheck, HealthProbe};

    use super::*;

    fn spec() -> InstanceSpec {
        InstanceSpec {
            id: InstanceId::new("shop-1").unwrap(),
            service: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            artifact: Digest::of(b""),
            command: vec!["x".to_string()],
            env: BTreeMap::new(),
            files: Default::default(),
            env_file: None,
            health: HealthCheck {
                probe: HealthProbe::Tcp,
                interval: Millis(1),
                timeout: Millis(1),
                healthy_after: 1,
                unhealthy_after: 1,
                start_limit: Millis(1),
            },
            stop_grace: Millis(1),
            stop_signal: Default::default(),
            stop_alone: false,
        }
    }

    #[tokio::test]
    async fn it_keeps_the_promises_of_the_trait() {
        let (target, spec, nudges) = (FakeTarget::new(), spec(), Arc::new(AtomicU32::new(0)));
        let counted = nudges.clone();
        target.on_change(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        target.refuse_next_start(TargetError::Transient("no room".into()));
        assert!(target.start(&spec, PathBuf::new()).await.is_err());
        target.start(&spec, PathBuf::new()).await.unwrap();
        target.start(&spec, PathBuf::new()).await.unwrap();
        assert_eq!(target.starts(&spec.id), 1);
        let other = InstanceSpec { version: "2.0.0".parse().unwrap(), ..spec.clone() };
        assert!(target.start(&other, PathBuf::new()).await.is_err(), "it runs another version");
        let first = target.instances().remove(0);
        assert_eq!((first.health, first.state), (Health::Healthy, InstanceState::Running));

        target.crash(&spec.id);
        assert!(!target.smoke(&spec.id, 1, &[]).await.passed());
        target.set_becoming(Becoming::WhenTold);
        target.restart(&spec.id);
        let second = target.instances().remove(0);
        assert_eq!((second.incarnation, second.health), (2, Health::Unknown { why: None }));
        assert_ne!(first.address, second.address);
        assert!(target.smoke(&spec.id, 2, &[]).await.passed());
        target.set_smoke(&spec.version, Some("no"));
        assert_eq!(target.smoke(&spec.id, 2, &[]).await.failure().as_deref(), Some("smoke: no"));

        target.stop(&spec.id).await.unwrap();
        assert_eq!(target.instances(), []);
        assert!(target.start(&spec, PathBuf::new()).await.is_err());
        assert!(nudges.load(Ordering::Relaxed) >= 6);
    }
}
