//! The process that gives way: starts the new program, hands over, and takes everything back where that one does not come.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::signal::unix::Signal as Signals;

use slipway_core::traffic::link::Follows;

use super::draining::{Draining, others};
use super::{
    CameTo, FromHeir, LINE_BYTES, Listeners, MOST_DRAINING, Offer, Process, Report, STEP_LIMIT, Succession, TAKES_OVER,
    VERSION, YOURS, manager, passing,
};
use crate::gateway::Gateway;
use crate::metrics::Admin;
use crate::wire::LineReader;

/// Longest that is kept of what a new program said.
const WORDS_BYTES: u64 = 64 << 10;

/// The process that serves, ready to give way.
pub(crate) struct Elder {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) listeners: Weak<Listeners>,
    pub(crate) state_dir: PathBuf,
    pub(crate) succession: Succession,
    pub(crate) admin: Admin,
}

impl Elder {
    /// Gives way when it is asked, until that has come about; then notes it in the folder for as long as this process
    /// lives. Never returns.
    pub(crate) async fn attend(self, mut asked: Signals) {
        loop {
            if asked.recv().await.is_none() {
                return std::future::pending().await;
            }
            tracing::warn!(program = %self.succession.program.display(), "asked to give way to a new program");
            let from = Process { pid: std::process::id(), version: VERSION.to_string() };
            let came_to = match self.report(&from, CameTo::Starting) {
                Ok(()) => self.give_way().await,
                Err(error) => Err(format!("{} cannot be written: {error}", Report::file(&self.state_dir).display())),
            };
            match came_to {
                Ok((to, draining)) => {
                    tracing::warn!(pid = to.pid, version = to.version, "a new process serves; this one drains");
                    manager::tell(&format!("MAINPID={}", to.pid));
                    self.tell(&from, CameTo::Done { to });
                    let Elder { gateway, listeners, succession, .. } = self;
                    // In this order: whoever finds the folder's lock free finds this process by its own.
                    drop((succession.lock, listeners));
                    gateway.draining.cancel();
                    gateway.handing_over.send_replace(false);
                    let _for_life = draining;
                    return std::future::pending().await;
                }
                Err(why) => {
                    tracing::error!(why, "the new program did not come up: this process goes on");
                    self.tell(&from, CameTo::Failed { why });
                    // Whoever ends this process waits for this.
                    self.gateway.handing_over.send_replace(false);
                    tokio::select! {
                        biased;
                        _ = asked.recv() => tracing::warn!("asked once more meanwhile: refused"),
                        () = std::future::ready(()) => {}
                    }
                }
            }
        }
    }

    fn report(&self, from: &Process, came_to: CameTo) -> io::Result<()> {
        Report { from: from.clone(), came_to }.write(&self.state_dir)
    }

    /// The same where nothing can be done about it any more.
    fn tell(&self, from: &Process, came_to: CameTo) {
        if let Err(error) = self.report(from, came_to) {
            tracing::error!(%error, "what became of the upgrade cannot be written");
        }
    }

    async fn give_way(&self) -> Result<(Process, Draining), String> {
        let told_to_end = || "it was told to end".to_string();
        if self.gateway.closing.is_cancelled() {
            return Err(told_to_end());
        }
        let drain = others(&self.state_dir).len();
        if drain >= MOST_DRAINING {
            return Err(format!(
                "{drain} processes of earlier upgrades still serve their connections, and no more may: wait, or end them"
            ));
        }
        let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let draining =
            Draining::begin(&self.state_dir, &self.gateway.boot).map_err(told("the folder cannot be used"))?;
        // From here on this process does not call the control plane anew: it could not say which of the two it is.
        self.gateway.handing_over.send_replace(true);
        let log = self.state_dir.join("upgrade.log");
        let came_to = match self.start(&log) {
            Ok(mut heir) => {
                let came = tokio::select! {
                    biased;
                    came = heir.comes(self) => came,
                    () = self.gateway.closing.cancelled() => Err(told_to_end()),
                };
                match came {
                    Ok(to) => Ok((to, heir)),
                    Err(why) => {
                        heir.end().await;
                        Err(why)
                    }
                }
            }
            Err(error) => Err(format!("{} cannot be started: {error}", self.succession.program.display())),
        };
        let words = words(&log);
        let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_string);
        // Where nobody takes it, it keeps nobody waiting.
        tokio::task::spawn_blocking(move || repeat(&words));
        match came_to {
            Ok((to, heir)) => {
                // It is nobody's to wait for but this process's.
                tokio::spawn(heir.outlive());
                Ok((to, draining))
            }
            Err(why) => {
                self.gateway.keep_folder().await;
                self.succession.lock.name(std::process::id());
                if let Err(error) = self.admin.write() {
                    tracing::error!(%error, "where /metrics are cannot be written");
                }
                drop(draining);
                // The control plane may have heard of the other already.
                self.gateway.call_anew.notify_one();
                Err(last.map_or(why.clone(), |last| format!("{why}; it said: {last}")))
            }
        }
    }

    /// Hands over whatever there is.
    fn offer(&self, to: impl AsFd) -> io::Result<()> {
        let listeners = self.listeners.upgrade().ok_or_else(|| io::Error::other("this process is ending"))?;
        let lock = self.succession.lock.hand_over()?;
        let stderr = io::stderr();
        let mut files: Vec<BorrowedFd<'_>> = vec![stderr.as_fd(), lock.as_fd(), listeners.traffic.as_fd()];
        files.extend(listeners.tls.as_ref().map(AsFd::as_fd));
        let (boot, program) = (self.gateway.boot.clone(), VERSION.to_string());
        let by = Some(Follows { boot, pid: std::process::id(), program });
        passing::send(to, &Offer { tls: listeners.tls.is_some(), connected: self.is_connected(), by }, &files)
    }

    fn is_connected(&self) -> bool {
        self.gateway.connected.load(Ordering::Acquire)
    }

    fn start(&self, log: &Path) -> io::Result<Heir> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.succession.program);
        command.args(&self.succession.arguments).arg(TAKES_OVER);
        // Of a group of its own, so that it can be ended with whatever it started.
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stderr(File::create(log)?).process_group(0);
        let child = command.kill_on_drop(false).spawn()?;
        ours.set_nonblocking(true)?;
        let (read, write) = tokio::net::UnixStream::from_std(ours)?.into_split();
        let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(Heir { child, group, lines: LineReader::new(read, LINE_BYTES), write })
    }
}

/// What a new program said until it served, which is removed.
fn words(log: &Path) -> String {
    let mut text = Vec::new();
    // There may be nothing, and more than anybody wants to read.
    let _ = File::open(log).and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, WORDS_BYTES), &mut text));
    let _ = fs::remove_file(log);
    String::from_utf8_lossy(&text).into_owned()
}

/// Says on standard error what a new program said, if that can be written.
fn repeat(words: &str) {
    let mut out = io::stderr().lock();
    for line in words.lines().filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(out, "{line}");
    }
}

/// The new program's process. It is ended with this, unless it serves.
struct Heir {
    child: Child,
    group: Option<Pid>,
    lines: LineReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Heir {
    /// Hands over to it; the process that serves then.
    async fn comes(&mut self, elder: &Elder) -> Result<Process, String> {
        let pid = self.child.id().unwrap_or_default();
        let untold = |error: io::Error| format!("process {pid} cannot be told: {error}");
        let odd = || format!("process {pid} says what is no answer; is it a gateway of Slipway?");
        let FromHeir::Here { version } = self.next("is a gateway").await?.ok_or_else(odd)? else { return Err(odd()) };
        elder.offer(self.write.as_ref()).map_err(untold)?;
        let FromHeir::Ready { in_step } = self.next("is ready").await?.ok_or_else(odd)? else { return Err(odd()) };
        if elder.is_connected() && !in_step {
            return Err(format!("the control plane did not let process {pid} in, of version {version}"));
        }
        elder.gateway.leave_folder();
        self.write.write_all(YOURS).await.map_err(untold)?;
        let FromHeir::Serving = self.next("serves").await?.ok_or_else(odd)? else { return Err(odd()) };
        Ok(Process { pid, version })
    }

    /// The next that it says, in time; `None` where that makes no sense.
    async fn next(&mut self, what: &str) -> Result<Option<FromHeir>, String> {
        let pid = self.child.id().unwrap_or_default();
        let line = tokio::time::timeout(STEP_LIMIT, self.lines.next()).await;
        match line {
            Err(_) => Err(format!("process {pid} has not said within {} seconds that it {what}", STEP_LIMIT.as_secs())),
            Ok(Ok(Some(line))) => Ok(serde_json::from_slice(&line).ok()),
            Ok(Ok(None) | Err(_)) => match tokio::time::timeout(STEP_LIMIT, self.child.wait()).await {
                Ok(Ok(status)) => Err(format!("process {pid} ended before it {what} ({status})")),
                _ => Err(format!("process {pid} hung up before it {what}")),
            },
        }
    }

    /// Ends it, and waits until it has: it may hold the folder's lock.
    async fn end(mut self) {
        self.kill();
        if let Err(error) = self.child.wait().await {
            tracing::error!(%error, "the new program cannot be waited for");
        }
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // It may have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for it, so that it leaves nothing behind where it ends before this process does.
    async fn outlive(mut self) {
        self.group = None;
        // How it ended is for others to say.
        let _ = self.child.wait().await;
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        self.kill();
    }
}
