//! What a target is asked to run and what it says of it. Knows nothing of traffic or rollouts.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::job::{Job, JobEnd};
use crate::names::{Digest, EnvironmentName, InstanceId, ServiceName, VersionName};
use crate::smoke::SmokeReport;
use crate::spec::{HealthCheck, SmokeTest, StopSignal};
use crate::units::{Millis, Timestamp};

/// Everything that a target needs to run one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Unique for ever; starting the same id twice is one start.
    pub id: InstanceId,
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The version.
    pub version: VersionName,
    /// The artifact that is unpacked into the working folder.
    pub artifact: Digest,
    /// Program and arguments; `{port}` or `{socket}`, `{version}` and `{instance}` are filled in by the target.
    pub command: Vec<String>,
    /// Added to PATH, HOME, LANG, TZ, PORT or SOCKET, VERSION and INSTANCE; nothing else is passed. `{socket}` is filled in.
    pub env: BTreeMap<String, String>,
    /// Text files written into the working folder after the artifact, by their path in it.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// A file of more variables on the target's machine; those above win.
    #[serde(default)]
    pub env_file: Option<String>,
    /// How its health is asked for.
    pub health: HealthCheck,
    /// How long it may take to end after the stop signal before its whole process group is killed.
    pub stop_grace: Millis,
    /// What asks it to end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// The signal goes to the program alone: what it started may finish, and goes when the program has gone.
    #[serde(default)]
    pub stop_alone: bool,
}

impl InstanceSpec {
    /// Whether `other` is the same instance: its id, and what it runs and for whom. Whatever else may differ follows from that.
    pub fn is_same(&self, other: &InstanceSpec) -> bool {
        let of = |spec: &InstanceSpec| {
            (
                spec.id.clone(),
                spec.service.clone(),
                spec.environment.clone(),
                spec.version.clone(),
                spec.artifact.clone(),
            )
        };
        of(self) == of(other)
    }

    /// Whether it is to listen on a socket of its own: where its command or a variable uses `{socket}`. On a port otherwise.
    pub fn wants_socket(&self) -> bool {
        self.command.iter().chain(self.env.values()).any(|text| text.contains("{socket}"))
    }
}

/// What a target sees of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// The instance.
    pub id: InstanceId,
    /// Which start of the program: 1 for the first, one more after each restart. 0 before the first.
    pub incarnation: u32,
    /// What it is doing.
    pub state: InstanceState,
    /// Where this incarnation listens, once that is known.
    pub address: Option<Address>,
    /// The program's process id while it runs.
    pub pid: Option<u32>,
    /// Of this incarnation.
    pub health: Health,
    /// How the previous incarnation ended, or this one if it has.
    pub last_exit: Option<Exit>,
}

/// What an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Being unpacked or about to start.
    Starting,
    /// The program runs.
    Running,
    /// It ended unasked and waits for its next start.
    BackingOff,
    /// It was asked to stop and has not ended yet.
    Stopping,
    /// It is over and will not start again.
    Ended,
    /// Its supervisor died: the program may still run and answer, but nobody restarts it. To be replaced, then stopped.
    Orphaned,
}

/// Whether an incarnation is fit to serve, by its declared health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", rename_all = "snake_case")]
pub enum Health {
    /// Not enough answers yet.
    Unknown {
        /// What the last attempt said, for people.
        why: Option<String>,
    },
    /// `healthy_after` answers in a row were good.
    Healthy,
    /// It was healthy, or should be by now, and its answers are bad.
    Unhealthy {
        /// What the last attempt said, for people.
        why: String,
    },
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The incarnation that ended.
    pub incarnation: u32,
    /// Its exit code, where it had one.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// When.
    pub at: Timestamp,
    /// The last lines it wrote, at most 2 KiB; or why it could not be started at all.
    pub tail: String,
}

/// Why an instance could not be started or stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TargetError {
    /// It can never work: a command that does not exist, an artifact that cannot be unpacked.
    #[error("{0}")]
    Hopeless(String),
    /// It may work later: no disk space, too many processes.
    #[error("{0}")]
    Transient(String),
}

/// How an instance was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stopped {
    /// It did not end within its grace and was killed with whatever it was doing.
    pub killed: bool,
}

/// A boxed future, so that the trait can be used as an object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What runs instances. Implementations are idempotent: each call may be repeated after a crash.
pub trait Target: Send + Sync {
    /// Starts an instance from its packed artifact; returns when it is supervised, not when it is healthy. An id that was
    /// stopped does not start again: a late repetition must not bring it back. One that runs something else is not taken
    /// for it ([`InstanceSpec::is_same`]).
    fn start<'a>(&'a self, spec: &'a InstanceSpec, artifact: PathBuf) -> Pending<'a, Result<(), TargetError>>;

    /// Stops an instance and everything it started, and forgets it; returns when nothing of it runs any more.
    /// An unknown instance is already stopped.
    fn stop<'a>(&'a self, id: &'a InstanceId) -> Pending<'a, Result<Stopped, TargetError>>;

    /// Runs smoke tests, in order and up to the first failure, against one incarnation of an instance. An instance that
    /// is not there, or not that incarnation, before or after the tests, is a failure in the report.
    fn smoke<'a>(&'a self, id: &'a InstanceId, incarnation: u32, tests: &'a [SmokeTest]) -> Pending<'a, SmokeReport>;

    /// Runs a command once, in a folder of its own with the packed artifact in it; returns when it has ended. One that was
    /// begun before is never begun again: its end is waited for, or it is said that nobody knows it.
    /// Without an artifact only what was begun before can have an end.
    fn run<'a>(&'a self, job: &'a Job, artifact: Option<PathBuf>) -> Pending<'a, JobEnd>;

    /// Every instance that the target has, as last seen. An instance that is absent is gone.
    fn instances(&self) -> Vec<InstanceStatus>;

    /// One of them.
    fn instance(&self, id: &InstanceId) -> Option<InstanceStatus>;

    /// The log files of an instance, oldest first; those of instances that ended are kept for a while.
    fn log_files(&self, id: &InstanceId) -> Vec<PathBuf>;

    /// Calls `nudge` whenever [`Target::instances`] may have changed.
    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>);
}
