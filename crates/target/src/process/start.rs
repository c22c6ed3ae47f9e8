//! Starting an instance, in steps that may each be interrupted, and finding instances again.
//!
//! The lock of the instance's folder is taken first and handed to the shim, so that at no moment a second start could
//! get in between. Until the shim has written its first state nothing ever ran, and whatever lies there is swept away;
//! from then on the instance has been started, for ever.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use slipway_core::instance::{Exit, InstanceSpec, InstanceState, TargetError};
use slipway_core::names::InstanceId;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Shared, follow};
use crate::folder::{Folder, Launch, Phase, State, local};
use crate::heed::heed;
use crate::shim::resolve;
use crate::unpack::unpack;
use crate::{config_files, env_file, sockets};

/// How long a shim may take until it has written its first state.
const SHIM_LIMIT: Duration = Duration::from_secs(20);
/// How long a folder that another process has is waited for, at each try.
const HELD_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked.
const AGAIN: Duration = Duration::from_millis(50);
/// What a folder is renamed to before it is removed; no instance can be called that.
const TRASH: &str = ".trash-";

pub(super) async fn start(
    shared: Arc<Shared>,
    spec: InstanceSpec,
    artifact: std::path::PathBuf,
) -> Result<(), TargetError> {
    let id = spec.id.clone();
    let gate = shared.gate(&id);
    let _turn = gate.lock().await;
    if let Some(there) = shared.entries().get(&id).map(|entry| entry.launch.clone()) {
        return match there.spec.is_same(&spec) {
            true => Ok(()),
            false => Err(TargetError::Hopeless(another(&there.spec))),
        };
    }
    if shared.ended_logs(&id).exists() {
        return Err(TargetError::Hopeless(format!("{id} was stopped before and does not start again")));
    }
    let mut base = base_env();
    base.extend(env_file::read(spec.env_file.as_deref()).map_err(TargetError::Hopeless)?);
    let folder = shared.folder(&id);
    let token = format!("{:032x}", rand::random::<u128>());
    let sockets = spec.wants_socket().then(|| sockets::folder(folder.path(), &token));
    let launch = Launch { spec, base_env: base, token, boot_id: shared.boot_id.clone(), sockets };
    shared.insert(launch.clone());
    let started = bring_up(&shared, &folder, launch, artifact).await;
    match &started {
        Ok(()) => follow::watch(&shared, &id),
        Err(_) => {
            let _ = sweep(&shared.root, &folder);
            shared.remove(&id);
        }
    }
    started
}

fn another(there: &InstanceSpec) -> String {
    format!(
        "{} is there already and runs {} of {}: it is not taken for another",
        there.id, there.version, there.service
    )
}

/// PATH, HOME, LANG and TZ as this process has them; a program without a path or a home finds nothing.
pub fn base_env() -> BTreeMap<String, String> {
    let or =
        |name: &str, default: &str| (name.to_string(), std::env::var(name).unwrap_or_else(|_| default.to_string()));
    let mut env = BTreeMap::from([
        or("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        or("HOME", "/"),
        or("LANG", "C.UTF-8"),
    ]);
    env.extend(std::env::var("TZ").map(|tz| ("TZ".to_string(), tz)));
    env
}

async fn bring_up(
    shared: &Arc<Shared>,
    folder: &Folder,
    launch: Launch,
    artifact: std::path::PathBuf,
) -> Result<(), TargetError> {
    let (token, stop_signal) = (launch.token.clone(), launch.spec.stop_signal);
    let_go(folder).await;
    let lock = {
        let (folder, root) = (folder.clone(), shared.root.clone());
        tokio::task::spawn_blocking(move || prepare(&root, &folder, &launch, &artifact))
            .await
            .map_err(|e| TargetError::Transient(format!("interrupted: {e}")))??
    };
    heed(stop_signal);
    let mut shim = spawn_shim(shared, folder, lock)
        .map_err(|e| TargetError::Transient(format!("cannot start {}: {e}", shared.shim_program.display())))?;
    let began = tokio::time::timeout(SHIM_LIMIT, async {
        loop {
            if folder.state().is_some_and(|state| state.token == token) {
                return Ok(());
            }
            tokio::select! {
                _ = shim.wait() => return Err(complaint(folder)),
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        }
    })
    .await
    .unwrap_or_else(|_| Err(format!("no sign of its shim within {}s", SHIM_LIMIT.as_secs())));
    if began.is_err() {
        // Dead or not, it has to be gone before the folder is swept.
        let _ = shim.kill().await;
    }
    // Reaped here for as long as this process lives, and by init after that.
    tokio::spawn(async move { shim.wait().await });
    // One that began and was killed too late is an instance all the same: its status says what became of it.
    if folder.has_state() { Ok(()) } else { began.map_err(TargetError::Transient) }
}

/// Waits, if not for ever, for whoever else has the folder: a control plane that was told to end unpacks to the end first, which is
/// no reason to take a release back.
async fn let_go(folder: &Folder) {
    let begun = Instant::now();
    while folder.is_held() && begun.elapsed() < HELD_LIMIT {
        tokio::time::sleep(AGAIN).await;
    }
}

/// Everything up to the shim: takes the folder, sweeps away what an interrupted start left, unpacks, writes the launch.
fn prepare(root: &Path, folder: &Folder, launch: &Launch, artifact: &Path) -> Result<File, TargetError> {
    let failed = |e: io::Error| TargetError::Transient(format!("cannot prepare {}: {e}", folder.path().display()));
    sweep(root, folder).map_err(failed)?;
    folder.create().map_err(failed)?;
    let lock = folder.take().map_err(failed)?;
    let lock =
        lock.ok_or_else(|| TargetError::Transient(format!("another process holds {}", folder.path().display())))?;
    unpack(artifact, &folder.unpacking())?;
    config_files::write(&launch.spec.files, &folder.unpacking())?;
    fs::rename(folder.unpacking(), folder.work()).map_err(failed)?;
    // Where it will listen is not known yet, and makes no difference to which file is run.
    let anywhere = local(0);
    let command = launch.command(&anywhere);
    let path = launch.environment(&anywhere).remove("PATH").unwrap_or_default();
    resolve(command.first().map_or("", String::as_str), &folder.work(), &path).map_err(TargetError::Hopeless)?;
    folder.write_launch(launch).map_err(failed)?;
    Ok(lock)
}

fn spawn_shim(shared: &Shared, folder: &Folder, lock: File) -> io::Result<Child> {
    let complaints = OpenOptions::new().create(true).append(true).open(folder.shim_log())?;
    Command::new(&shared.shim_program)
        .args(&shared.shim_args)
        .arg(folder.path())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(lock))
        .stdout(Stdio::null())
        .stderr(complaints)
        .spawn()
}

/// What the shim wrote before it gave up.
fn complaint(folder: &Folder) -> String {
    let said = fs::read_to_string(folder.shim_log()).unwrap_or_default();
    let line = said.lines().last().unwrap_or("it said nothing").to_string();
    format!("the instance's shim ended at once: {line}")
}

/// Removes a folder in which nothing runs. In two steps, so that an interruption leaves nothing that looks like an
/// instance. A folder that is held is left alone.
pub(super) fn sweep(root: &Path, folder: &Folder) -> io::Result<()> {
    let Some(name) = folder.path().file_name().filter(|_| folder.path().exists()) else { return Ok(()) };
    let Some(_lock) = folder.take()? else { return Ok(()) };
    if let Some(sockets) = folder.launch().and_then(|launch| launch.sockets) {
        // They may lie elsewhere.
        remove_all(&sockets)?;
    }
    let mut trash = std::ffi::OsString::from(TRASH);
    trash.push(name);
    let trash = root.join(trash);
    remove_all(&trash)?;
    fs::rename(folder.path(), &trash)?;
    remove_all(&trash)
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Finds every instance again. Those that never began are swept away: their start is repeated by who wanted it.
pub(super) fn adopt_all(shared: &Arc<Shared>) -> io::Result<()> {
    for entry in fs::read_dir(&shared.root)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(TRASH) {
            remove_all(&entry.path())?;
        } else if let Ok(id) = InstanceId::new(name)
            && let Err(e) = adopt(shared, &id)
        {
            // One folder that cannot be read must not keep all the others from being looked after.
            tracing::warn!("instance {id} cannot be taken over: {e}");
        }
    }
    Ok(())
}

fn adopt(shared: &Arc<Shared>, id: &InstanceId) -> io::Result<()> {
    let folder = shared.folder(id);
    let held = folder.is_held();
    let Some(launch) = folder.launch().filter(|_| held || folder.has_state()) else {
        return sweep(&shared.root, &folder);
    };
    shared.insert(launch);
    if held {
        if let Some(state) = folder.state() {
            shared.apply(id, &state);
        }
    } else {
        left_alone(shared, id, &folder);
    }
    follow::watch(shared, id);
    Ok(())
}

/// The program that a dead shim left running, where there is one.
pub(super) fn orphan(shared: &Shared, folder: &Folder) -> Option<State> {
    let state = folder.state().filter(|state| is_ours(shared, folder, state))?;
    state.program.is_some_and(|program| program.runs()).then_some(state)
}

/// Whether the process numbers in a state mean what they meant: same run of the machine, same folder, same launch.
pub(super) fn is_ours(shared: &Shared, folder: &Folder, state: &State) -> bool {
    state.boot_id == shared.boot_id
        && folder.lock_inode().is_ok_and(|inode| inode == state.lock_inode)
        && folder.launch().is_some_and(|launch| launch.token == state.token)
}

/// Says what became of an instance without a shim: orphaned, or ended. Returns the program that still runs.
pub(super) fn left_alone(shared: &Shared, id: &InstanceId, folder: &Folder) -> Option<State> {
    if let Some(state) = orphan(shared, folder) {
        shared.observe(id, &state, InstanceState::Orphaned, state.last_exit.clone());
        return Some(state);
    }
    let state = folder.state();
    match state {
        Some(state) if state.phase == Phase::Ended => shared.apply(id, &state),
        Some(mut state) => {
            let rebooted = state.boot_id != shared.boot_id;
            let why = if rebooted { "the machine was restarted" } else { "it ended after its shim had been killed" };
            let unseen = Exit {
                incarnation: state.incarnation,
                code: None,
                signal: None,
                at: (shared.now)(),
                tail: why.to_string(),
            };
            let known = state.last_exit.take().filter(|exit| exit.incarnation == state.incarnation);
            state.program = None;
            shared.observe(id, &state, InstanceState::Ended, known.or(Some(unseen)));
        }
        None => shared.update(id, |status| status.state = InstanceState::Ended),
    }
    None
}
