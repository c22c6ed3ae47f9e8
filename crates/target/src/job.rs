//! A command that is run once: its folder, and the small process that runs it and outlives the control plane.
//!
//! The folder says all that is known: `job.json` what is to be run, `began` that it may have done something, `end.json`
//! what became of it. `lock` is held by the runner for as long as it lives. So a folder that has begun, has no end and is
//! held by nobody is a job that was cut off, and nobody knows what it did. Written before and synced, as it is what
//! stands between running a migration and running it twice. Shared by the process target and `slipway run-instance`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process_group, set_child_subreaper, setsid};
use serde::{Deserialize, Serialize};
use slipway_core::job::{Job, JobEnd};
use slipway_core::smoke::shorten;

use crate::logs::Log;
use crate::procfs::ProcessId;
use crate::shim::resolve;

/// How long output may still come once the command has ended: something that it left behind may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a reason may be, in characters.
const WHY_LIMIT: usize = 2_000;

/// What is to be run, and in which environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) job: Job,
    /// PATH, HOME, LANG and TZ of the control plane.
    pub(crate) base_env: BTreeMap<String, String>,
}

/// Paths within one job's folder.
#[derive(Debug, Clone)]
pub(crate) struct JobFolder {
    path: PathBuf,
}

impl JobFolder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> JobFolder {
        JobFolder { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn order_file(&self) -> PathBuf {
        self.path.join("job.json")
    }

    fn began_file(&self) -> PathBuf {
        self.path.join("began")
    }

    /// What the runner itself has to complain about.
    pub(crate) fn complaints(&self) -> PathBuf {
        self.path.join("runner.log")
    }

    /// Whether `path` is a job's folder and not an instance's.
    pub(crate) fn is_one(path: &Path) -> bool {
        path.join("job.json").exists()
    }

    pub(crate) fn write_order(&self, order: &Order) -> io::Result<()> {
        write(&self.order_file(), order)
    }

    /// Whether the command may have done something.
    pub(crate) fn has_begun(&self) -> bool {
        // Where that cannot be seen it may have.
        self.began_file().try_exists().unwrap_or(true)
    }

    /// Notes which process the command is, so that it can be ended without its runner.
    fn write_program(&self, program: ProcessId) -> io::Result<()> {
        write(&self.path.join("program.json"), &program)
    }

    /// Ends the command, if it still runs, with all of its group.
    pub(crate) fn end_program(&self) {
        let kept = fs::read(self.path.join("program.json")).ok();
        let program = kept.and_then(|bytes| serde_json::from_slice::<ProcessId>(&bytes).ok());
        let running = program.filter(|program| program.runs());
        if let Some(group) = running.and_then(|program| Pid::from_raw(i32::try_from(program.pid).ok()?)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// What became of it, once that is known.
    pub(crate) fn end(&self) -> Option<JobEnd> {
        serde_json::from_slice(&fs::read(self.path.join("end.json")).ok()?).ok()
    }

    /// Keeps what became of it.
    pub(crate) fn write_end(&self, end: &JobEnd) -> io::Result<()> {
        write(&self.path.join("end.json"), end)
    }
}

/// Replaces a file in one step that survives a power failure.
fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, serde_json::to_vec(value).map_err(io::Error::other)?)?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, path)?;
    sync_folder(path)
}

fn sync_folder(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Runs the job in `dir` to its end, and keeps what became of it. The lock comes in as standard input, held.
pub(crate) fn run(dir: &Path) -> io::Result<()> {
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let folder = JobFolder::new(dir.canonicalize()?);
    let order: Order = serde_json::from_slice(&fs::read(folder.order_file())?).map_err(io::Error::other)?;
    let end = perform(&folder, &order)?;
    folder.write_end(&end)?;
    let _ = fs::remove_dir_all(folder.work());
    Ok(())
}

fn perform(folder: &JobFolder, order: &Order) -> io::Result<JobEnd> {
    let mut env = order.base_env.clone();
    env.extend(order.job.env.clone());
    let not_run = |why: String| Ok(JobEnd::NotRun { why });
    let Some((name, arguments)) = order.job.command.split_first() else {
        return not_run("the command is empty".to_string());
    };
    let path = env.get("PATH").map_or("", String::as_str);
    let file = match resolve(name, &folder.work(), path) {
        Ok(file) => file,
        Err(why) => return not_run(why),
    };
    let (from, to) = io::pipe()?;
    File::create(folder.began_file())?.sync_all()?;
    sync_folder(&folder.began_file())?;
    let spawned = Command::new(file)
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(&env)
        .current_dir(folder.work())
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(to.try_clone()?)
        .stdout(to)
        .spawn();
    match spawned {
        Ok(child) => {
            if let Some(program) = ProcessId::of(child.id()) {
                let _ = folder.write_program(program);
            }
            Ok(watch(folder, order, name, child, from))
        }
        Err(e) => not_run(format!("cannot start {name}: {e}")),
    }
}

/// Waits for the command's end, or ends it when its time is over.
fn watch(folder: &JobFolder, order: &Order, name: &str, mut child: Child, from: io::PipeReader) -> JobEnd {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (said, words) = mpsc::channel();
    let logs = folder.path().join("logs");
    let _ = fs::create_dir_all(&logs);
    std::thread::spawn(move || said.send(listen(from, Log::open(logs))));
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait()));
    let status = end.recv_timeout(order.job.timeout.as_duration());
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let tail = words.recv_timeout(LAST_WORDS).unwrap_or_default();
    let saying = if tail.is_empty() { String::new() } else { format!(", saying: {tail}") };
    match status {
        Ok(Ok(status)) if status.success() => JobEnd::Done { tail },
        Ok(Ok(status)) => JobEnd::Failed { why: shorten(&format!("{name} ended with {status}{saying}"), WHY_LIMIT) },
        Ok(Err(e)) => JobEnd::Unclear { why: format!("its end could not be waited for: {e}") },
        Err(_) => JobEnd::Unclear {
            why: shorten(
                &format!(
                    "it had not ended within {} and was killed; the database may still be at work{saying}",
                    order.job.timeout
                ),
                WHY_LIMIT,
            ),
        },
    }
}

/// Keeps what the command says; returns its last words.
fn listen(mut from: io::PipeReader, mut log: Log) -> String {
    let mut block = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut block) {
        if n == 0 {
            break;
        }
        log.append(&block[..n]);
    }
    log.tail()
}
