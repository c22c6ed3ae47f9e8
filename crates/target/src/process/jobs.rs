//! Running a command once, whatever happens to this process meanwhile. The job's folder says how far it came; whoever
//! finds a folder that is held waits for the runner's end, and whoever finds one that was cut off says so.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use slipway_core::job::{Job, JobEnd};
use tokio::process::Command;

use super::Shared;
use super::start::base_env;
use crate::job::{JobFolder, Order};
use crate::unpack::unpack;
use crate::{config_files, env_file};

/// How often it is looked whether a runner has ended that another control plane began.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) async fn run(shared: Arc<Shared>, job: Job, artifact: Option<PathBuf>) -> JobEnd {
    let folder = JobFolder::new(shared.root.with_file_name("jobs").join(&job.id));
    // Whoever asks twice at the same time waits here for the same end.
    let lock = match hold(&folder).await {
        Ok(lock) => lock,
        // It may have begun before: only its folder would say.
        Err(e) => return JobEnd::Unclear { why: format!("cannot look into {}: {e}", folder.path().display()) },
    };
    if let Some(end) = folder.end() {
        return end;
    }
    if folder.has_begun() {
        return cut_off(&folder);
    }
    let Some(artifact) = artifact else {
        return JobEnd::NotRun { why: format!("the artifact {} is not here", job.artifact) };
    };
    let prepared = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || prepare(&folder, job, &artifact)).await
    };
    match prepared {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return JobEnd::NotRun { why },
        Err(e) => return JobEnd::NotRun { why: format!("interrupted: {e}") },
    }
    let ended = match spawn(&shared, &folder, lock) {
        Ok(mut runner) => runner.wait().await,
        Err(e) => Err(e),
    };
    let complaint = fs::read_to_string(folder.complaints()).unwrap_or_default();
    match (folder.end(), folder.has_begun()) {
        (Some(end), _) => end,
        (None, true) => cut_off(&folder),
        (None, false) => {
            let said = complaint.lines().last().map_or_else(|| format!("{ended:?}"), str::to_string);
            JobEnd::NotRun { why: format!("its runner ended at once: {said}") }
        }
    }
}

/// Its runner is gone. Whatever of the command still works is ended: a person is to look at something that stands still.
fn cut_off(folder: &JobFolder) -> JobEnd {
    folder.end_program();
    let end = JobEnd::Unclear { why: "it was cut off in the middle of its work".to_string() };
    if let Err(e) = folder.write_end(&end) {
        tracing::warn!("{}: what became of it could not be kept: {e}", folder.path().display());
    }
    end
}

/// Takes the folder; waits for as long as a runner has it. Not in a thread that blocks: nothing may hold up the end of
/// the control plane.
async fn hold(folder: &JobFolder) -> io::Result<File> {
    fs::create_dir_all(folder.path())?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.lock_file())?;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(AGAIN).await,
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

fn prepare(folder: &JobFolder, job: Job, artifact: &Path) -> Result<(), String> {
    let said = |e: io::Error| format!("cannot prepare {}: {e}", folder.path().display());
    match fs::remove_dir_all(folder.work()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(said(e)),
        _ => {}
    }
    unpack(artifact, &folder.work()).map_err(|e| e.to_string())?;
    config_files::write(&job.files, &folder.work()).map_err(|e| e.to_string())?;
    let mut base = base_env();
    base.extend(env_file::read(job.env_file.as_deref())?);
    folder.write_order(&Order { job, base_env: base }).map_err(said)
}

fn spawn(shared: &Shared, folder: &JobFolder, lock: File) -> io::Result<tokio::process::Child> {
    let complaints = OpenOptions::new().create(true).append(true).open(folder.complaints())?;
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
