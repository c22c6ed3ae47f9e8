//! Stopping an instance: whatever became of its shim, nothing of it runs afterwards. Each step may be repeated.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use slipway_core::instance::{InstanceState, Stopped, TargetError};
use slipway_core::names::InstanceId;

use super::{Shared, follow, start};
use crate::folder::{Folder, State};
use crate::procfs::{self, ProcessId, Stat};
use crate::shim::signal;

/// How long a shim may take beyond the program's grace before it counts as stuck.
const SHIM_MARGIN: Duration = Duration::from_secs(10);
/// How long the kernel may take to end what was killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// Of so many ended instances the logs are kept.
const LOGS_KEPT: usize = 50;
/// Marks a folder of logs as one of an ended instance, and dates it.
const ENDED: &str = "ended";

pub(super) async fn stop(shared: Arc<Shared>, id: InstanceId) -> Result<Stopped, TargetError> {
    let gate = shared.gate(&id);
    let _turn = gate.lock().await;
    let folder = shared.folder(&id);
    if !folder.path().exists() {
        // A start that failed and is tried again later must find out that it was stopped meanwhile.
        mark_ended(&shared.ended_logs(&id))
            .map_err(|e| TargetError::Transient(format!("cannot note that {id} was stopped: {e}")))?;
        shared.remove(&id);
        return Ok(Stopped::default());
    }
    let launch = folder.launch();
    let grace = launch.as_ref().map_or(Duration::ZERO, |launch| launch.spec.stop_grace.as_duration());
    let how = launch.map_or((Signal::TERM, false), |launch| (signal(launch.spec.stop_signal), launch.spec.stop_alone));
    if folder.is_held() {
        end_by_shim(&folder, grace).await;
    }
    let state = folder.state().filter(|state| start::is_ours(&shared, &folder, state));
    if folder.is_held() {
        end_shim(&folder, state.as_ref()).await?;
    }
    shared.update(&id, |status| {
        if status.state == InstanceState::Orphaned {
            status.state = InstanceState::Stopping;
        }
    });
    let mut killed = state.as_ref().is_some_and(|state| state.killed);
    killed |= end_rest(&folder, &id, state.as_ref(), grace, how).await?;
    let retired = {
        let (shared, folder, id) = (shared.clone(), folder.clone(), id.clone());
        tokio::task::spawn_blocking(move || retire(&shared, &folder, &id)).await
    };
    retired
        .map_err(io::Error::other)
        .flatten()
        .map_err(|e| TargetError::Transient(format!("cannot clear away {}: {e}", folder.path().display())))?;
    shared.remove(&id);
    Ok(Stopped { killed })
}

/// The usual way. Comes back when the shim has ended or has had its time.
async fn end_by_shim(folder: &Folder, grace: Duration) {
    let _ = tokio::time::timeout(grace + SHIM_MARGIN, async {
        // It may not listen yet, or be about to end: the lock alone says whether it is there.
        while folder.is_held() {
            let _ = follow::ask_to_stop(folder).await;
            tokio::time::sleep(POLL).await;
        }
    })
    .await;
}

/// A shim that does not answer is killed; what it kept is then ended like any orphan.
async fn end_shim(folder: &Folder, state: Option<&State>) -> Result<(), TargetError> {
    if let Some(state) = state {
        state.shim.signal(Signal::KILL);
    }
    let gone = tokio::time::timeout(KILL_LIMIT, async {
        while folder.is_held() {
            tokio::time::sleep(POLL).await;
        }
    });
    gone.await.map_err(|_| {
        TargetError::Transient(format!("{} is held by a process that does not end", folder.path().display()))
    })
}

/// Ends what runs without a shim: politely, by the declared signal, to the program alone at first where that is said;
/// then not. Whether anything had to be killed.
async fn end_rest(
    folder: &Folder,
    id: &InstanceId,
    state: Option<&State>,
    grace: Duration,
    (signal, alone): (Signal, bool),
) -> Result<bool, TargetError> {
    let (begun, mut killed) = (Instant::now(), false);
    let mut asked: Vec<ProcessId> = Vec::new();
    loop {
        // Once its program is gone the rest of a session may not be recognised again, so those seen are remembered.
        let found = belonging(folder, id, state);
        asked.retain(|process| process.runs());
        if found.is_empty() && asked.is_empty() {
            return Ok(killed);
        }
        let program = state.and_then(|state| state.program).filter(|program| alone && program.runs());
        for process in found.into_iter().filter(|process| program.is_none_or(|program| program == *process)) {
            if !asked.contains(&process) {
                process.signal(signal);
                asked.push(process);
            }
        }
        if begun.elapsed() >= grace {
            killed = true;
            let rest = belonging(folder, id, state).into_iter().filter(|process| !asked.contains(process));
            let rest: Vec<ProcessId> = rest.collect();
            asked.extend(rest);
            asked.iter().for_each(|process| process.signal(Signal::KILL));
        }
        if begun.elapsed() > grace + KILL_LIMIT {
            let stuck = asked.first().map_or(0, |process| process.pid);
            return Err(TargetError::Transient(format!("process {stuck} of {id} does not end")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Every process that the instance started, as far as it can be told without a shim.
///
/// While the program runs, which its start time proves, so do its group and its session, and their numbers cannot mean
/// anything else. Without it, or outside of them, a process counts if it says that it is of this instance, and is in
/// the session or in the instance's folder (commands of smoke tests are). What took another session *and* another
/// folder *and* lost its shim is beyond reach.
fn belonging(folder: &Folder, id: &InstanceId, state: Option<&State>) -> Vec<ProcessId> {
    let all = procfs::all();
    let program = state.and_then(|state| state.program).and_then(|p| Stat::of(p.pid).filter(|s| s.id() == p));
    let below = program.map(|program| procfs::descendants(&all, program.pid)).unwrap_or_default();
    // A shim that somebody started by hand shares that person's session, which is not to be ended.
    let session = state.map(|state| state.shim.pid).filter(|shim| program.is_some_and(|p| p.session == *shim));
    let mine = std::process::id();
    let proven = |stat: &Stat| {
        program.is_some_and(|p| stat.id() == p.id() || stat.group == p.pid)
            || Some(stat.session) == session
            || below.contains(stat)
    };
    let says_so = |stat: &Stat| {
        procfs::variable(stat.pid, "INSTANCE").is_some_and(|of| of == id.as_str())
            && (state.is_some_and(|state| stat.session == state.shim.pid)
                || procfs::folder(stat.pid).is_some_and(|cwd| cwd.starts_with(folder.path())))
    };
    all.iter()
        .filter(|stat| stat.pid != mine && !stat.is_dead() && (proven(stat) || says_so(stat)))
        .map(Stat::id)
        .collect()
}

/// Keeps the logs, removes the rest.
fn retire(shared: &Shared, folder: &Folder, id: &InstanceId) -> io::Result<()> {
    let kept = shared.ended_logs(id);
    fs::create_dir_all(shared.all_ended_logs())?;
    if folder.logs().exists() && !kept.exists() {
        fs::rename(folder.logs(), &kept)?;
    }
    mark_ended(&kept)?;
    forget_old_logs(&shared.all_ended_logs())?;
    start::sweep(&shared.root, folder)
}

/// Marks the folder of an ended instance's logs, which from now on says that it never starts again.
fn mark_ended(logs: &Path) -> io::Result<()> {
    fs::create_dir_all(logs)?;
    fs::write(logs.join(ENDED), b"")
}

fn forget_old_logs(logs: &Path) -> io::Result<()> {
    let mut ended: Vec<_> = fs::read_dir(logs)?
        .flatten()
        .filter_map(|entry| Some((fs::metadata(entry.path().join(ENDED)).ok()?.modified().ok()?, entry.path())))
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(LOGS_KEPT);
    ended[..surplus].iter().try_for_each(|(_, path)| fs::remove_dir_all(path))
}
