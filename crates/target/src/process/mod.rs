//! The process target: local processes, each under a shim of its own that outlives this one.
//!
//! It keeps a connection to every shim and so learns of exits and restarts at once; it asks for health itself. Nothing
//! is kept in memory that the instances' folders do not say: a new target over the same folder finds everything again.
//! Called by the control plane through [`Target`]; it decides nothing about what should run.
//!
//! Layout: `root/ID/` per instance (see `folder.rs`), `root/../jobs/ID/` per command that was run once, `root/../logs/ID/` for the logs of those that ended.

mod follow;
mod jobs;
mod owner;
mod probe;
mod start;
mod stop;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::address::Address;
use slipway_core::instance::{
    Exit, Health, InstanceSpec, InstanceState, InstanceStatus, Pending, Stopped, Target, TargetError,
};
use slipway_core::job::{Job, JobEnd};
use slipway_core::names::InstanceId;
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::spec::SmokeTest;
use slipway_core::units::{Millis, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::folder::{Folder, Launch, Phase, State, local};
use crate::procfs::{self, ProcessId};
use crate::{logs, smoke};

pub use start::base_env;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
type Nudge = Arc<dyn Fn() + Send + Sync>;

/// Runs instances as local processes.
pub struct ProcessTarget {
    shared: Arc<Shared>,
}

/// What the target's tasks have in common.
struct Shared {
    root: PathBuf,
    shim_program: PathBuf,
    shim_args: Vec<OsString>,
    now: Clock,
    boot_id: String,
    entries: Mutex<BTreeMap<InstanceId, Entry>>,
    /// One start or stop of an instance at a time.
    gates: Mutex<BTreeMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>,
    nudges: Mutex<Vec<Nudge>>,
    /// Ends every task when the target goes; the instances stay.
    over: CancellationToken,
}

/// One instance as it is known here.
struct Entry {
    launch: Arc<Launch>,
    status: InstanceStatus,
    /// What the health loop needs to know; changes wake it.
    subject: watch::Sender<Subject>,
    /// Ends the instance's tasks.
    watched: CancellationToken,
}

/// The incarnation whose health is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    incarnation: u32,
    address: Address,
    program: ProcessId,
    /// The shim's process id, which numbers the session of everything that the program starts.
    session: u32,
}

impl ProcessTarget {
    /// A target over the instances in `root`; those that run are adopted at once. Shims are started as
    /// `shim_program shim_args… DIR` and must end up in [`crate::shim::main`]. To be called within a tokio runtime.
    pub fn new(
        root: PathBuf,
        shim_program: PathBuf,
        shim_args: Vec<OsString>,
        now: Clock,
    ) -> io::Result<ProcessTarget> {
        fs::create_dir_all(&root)?;
        let shared = Arc::new(Shared {
            root: root.canonicalize()?,
            shim_program,
            shim_args,
            now,
            boot_id: procfs::boot_id(),
            entries: Mutex::default(),
            gates: Mutex::default(),
            nudges: Mutex::default(),
            over: CancellationToken::new(),
        });
        start::adopt_all(&shared)?;
        Ok(ProcessTarget { shared })
    }

    /// The working folder of an instance; it may be gone already.
    pub fn work_dir(&self, id: &InstanceId) -> PathBuf {
        self.shared.folder(id).work()
    }

    /// Stops everything, all at once, for `slipway down`. Every instance is tried; the first error is returned.
    pub async fn stop_all(&self) -> Result<(), TargetError> {
        let ids: Vec<InstanceId> = self.shared.entries().keys().cloned().collect();
        let stops: Vec<_> = ids.into_iter().map(|id| tokio::spawn(stop::stop(self.shared.clone(), id))).collect();
        let mut result = Ok(());
        for stop in stops {
            result = result.and(joined(stop.await).map(drop));
        }
        result
    }
}

impl Drop for ProcessTarget {
    fn drop(&mut self) {
        self.shared.over.cancel();
    }
}

impl Target for ProcessTarget {
    // In tasks of their own, so that a caller who goes away leaves nothing half done.
    fn start<'a>(&'a self, spec: &'a InstanceSpec, artifact: PathBuf) -> Pending<'a, Result<(), TargetError>> {
        let start = tokio::spawn(start::start(self.shared.clone(), spec.clone(), artifact));
        Box::pin(async move { joined(start.await) })
    }

    fn stop<'a>(&'a self, id: &'a InstanceId) -> Pending<'a, Result<Stopped, TargetError>> {
        let stop = tokio::spawn(stop::stop(self.shared.clone(), id.clone()));
        Box::pin(async move { joined(stop.await) })
    }

    fn smoke<'a>(&'a self, id: &'a InstanceId, incarnation: u32, tests: &'a [SmokeTest]) -> Pending<'a, SmokeReport> {
        Box::pin(self.shared.smoke(id, incarnation, tests))
    }

    fn run<'a>(&'a self, job: &'a Job, artifact: Option<PathBuf>) -> Pending<'a, JobEnd> {
        let run = tokio::spawn(jobs::run(self.shared.clone(), job.clone(), artifact));
        Box::pin(async move { run.await.unwrap_or_else(|e| JobEnd::Unclear { why: format!("interrupted: {e}") }) })
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        self.shared.entries().values().map(|entry| entry.status.clone()).collect()
    }

    fn instance(&self, id: &InstanceId) -> Option<InstanceStatus> {
        self.shared.entries().get(id).map(|entry| entry.status.clone())
    }

    /// The last one is still being written to, and renamed to `out.log.1` when it is full.
    fn log_files(&self, id: &InstanceId) -> Vec<PathBuf> {
        let running = logs::files(&self.shared.folder(id).logs());
        if running.is_empty() { logs::files(&self.shared.ended_logs(id)) } else { running }
    }

    fn on_change(&self, nudge: Nudge) {
        self.shared.nudges.lock().unwrap_or_else(PoisonError::into_inner).push(nudge);
    }
}

fn joined<T>(result: Result<Result<T, TargetError>, tokio::task::JoinError>) -> Result<T, TargetError> {
    result.unwrap_or_else(|e| Err(TargetError::Transient(format!("interrupted: {e}"))))
}

impl Shared {
    fn folder(&self, id: &InstanceId) -> Folder {
        Folder::new(self.root.join(id.as_str()))
    }

    /// Where the logs of all ended instances are.
    fn all_ended_logs(&self) -> PathBuf {
        self.root.with_file_name("logs")
    }

    fn ended_logs(&self, id: &InstanceId) -> PathBuf {
        self.all_ended_logs().join(id.as_str())
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self, id: &InstanceId) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody stands at are not needed any more.
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        gates.entry(id.clone()).or_default().clone()
    }

    fn nudge(&self) {
        let nudges = self.nudges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nudges.iter().for_each(|nudge| nudge());
    }

    /// Puts an instance on the list, as starting.
    fn insert(&self, launch: Launch) {
        let status = InstanceStatus {
            id: launch.spec.id.clone(),
            incarnation: 0,
            state: InstanceState::Starting,
            address: None,
            pid: None,
            health: Health::Unknown { why: None },
            last_exit: None,
        };
        let nobody = Subject { incarnation: 0, address: local(0), program: ProcessId { pid: 0, start: 0 }, session: 0 };
        let entry = Entry {
            launch: Arc::new(launch),
            status,
            subject: watch::Sender::new(nobody),
            watched: self.over.child_token(),
        };
        self.entries().insert(entry.status.id.clone(), entry);
        self.nudge();
    }

    /// Takes an instance off the list and ends its tasks.
    fn remove(&self, id: &InstanceId) {
        if let Some(entry) = self.entries().remove(id) {
            entry.watched.cancel();
        }
        self.nudge();
    }

    /// Changes an instance's status, and nudges where that made a difference.
    fn update(&self, id: &InstanceId, change: impl FnOnce(&mut InstanceStatus)) {
        let changed = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(id) else { return };
            let before = entry.status.clone();
            change(&mut entry.status);
            entry.status != before
        };
        if changed {
            self.nudge();
        }
    }

    /// Takes over what a shim said.
    fn apply(&self, id: &InstanceId, said: &State) {
        let state = match said.phase {
            Phase::Starting => InstanceState::Starting,
            Phase::Running => InstanceState::Running,
            Phase::BackingOff => InstanceState::BackingOff,
            Phase::Stopping => InstanceState::Stopping,
            Phase::Ended => InstanceState::Ended,
        };
        self.observe(id, said, state, said.last_exit.clone());
    }

    /// Takes over a state, read as `state`.
    fn observe(&self, id: &InstanceId, said: &State, state: InstanceState, last_exit: Option<Exit>) {
        if let (Some(program), Some(address)) = (said.program, said.address())
            && let Some(entry) = self.entries().get(id)
        {
            let subject = Subject { incarnation: said.incarnation, address, program, session: said.shim.pid };
            entry.subject.send_if_modified(|before| {
                let changed = *before != subject;
                *before = subject;
                changed
            });
        }
        self.update(id, |status| {
            if status.incarnation != said.incarnation {
                status.health = Health::Unknown { why: None };
            }
            if matches!(state, InstanceState::BackingOff | InstanceState::Ended)
                && let Some(exit) = last_exit.as_ref().filter(|exit| exit.incarnation == said.incarnation)
            {
                status.health = Health::Unhealthy { why: ended_how(exit) };
            }
            status.incarnation = said.incarnation;
            status.state = state;
            status.address = said.address();
            status.pid = said.program.map(|program| program.pid);
            status.last_exit = last_exit;
        });
    }

    async fn smoke(&self, id: &InstanceId, incarnation: u32, tests: &[SmokeTest]) -> SmokeReport {
        let mut report = match (self.fit_for_smoke(id, incarnation), self.place(id, incarnation)) {
            (Ok(()), Some(place)) => smoke::run(tests, &place, &*self.now).await,
            _ => SmokeReport { instance: id.clone(), incarnation, at: (self.now)(), tests: Vec::new() },
        };
        if let (true, Err(why)) = (report.passed(), self.fit_for_smoke(id, incarnation)) {
            report.tests.push(SmokeResult { name: "instance".to_string(), took: Millis(0), failure: Some(why) });
        }
        report
    }

    /// Where commands on an instance's behalf run.
    fn place(&self, id: &InstanceId, incarnation: u32) -> Option<smoke::Place> {
        let (launch, subject) = {
            let entries = self.entries();
            let entry = entries.get(id)?;
            (entry.launch.clone(), entry.subject.borrow().clone())
        };
        Some(smoke::Place {
            work_dir: self.folder(id).work(),
            env: launch.environment(&subject.address),
            address: subject.address,
            instance: id.clone(),
            incarnation,
        })
    }

    /// Whether the tests would reach the incarnation that is meant.
    fn fit_for_smoke(&self, id: &InstanceId, incarnation: u32) -> Result<(), String> {
        let entries = self.entries();
        let status = &entries.get(id).ok_or("it is not there any more")?.status;
        if status.incarnation != incarnation {
            return Err(format!("start {incarnation} of it ended: it is at start {}", status.incarnation));
        }
        match status.state {
            InstanceState::Running | InstanceState::Orphaned => Ok(()),
            state => Err(match (state, &status.last_exit) {
                (InstanceState::BackingOff | InstanceState::Ended, Some(exit)) => ended_how(exit),
                _ => format!("it does not run: {state:?}"),
            }),
        }
    }
}

/// How a program ended, with its last words, for people.
fn ended_how(exit: &Exit) -> String {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("it exited with code {code}"),
        (_, Some(signal)) => format!("it was ended by signal {signal}"),
        _ => return exit.tail.clone(),
    };
    match exit.tail.lines().last() {
        Some(line) => format!("{how}, saying: {}", slipway_core::smoke::shorten(line, 200)),
        None => how,
    }
}
