//! What the shim does about its program: start, restart with back-off, stop. The only owner of the state.
//! Driven by the loop in [`super`]; starts no threads, waits for nothing.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, WaitStatus, kill_process_group};
use slipway_core::address::Address;
use slipway_core::instance::Exit;
use slipway_core::units::Timestamp;

use super::{Output, program, signal};
use crate::folder::{Folder, Launch, Phase, State, local};
use crate::procfs::{self, ProcessId};
use crate::sockets;

const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// A program that ran this long has shown that it can: its next exit is a first one again.
const STEADY: Duration = Duration::from_secs(60);
/// From one attempt to kill what is left to the next.
const KILL_EVERY: Duration = Duration::from_millis(50);
/// How often an idle shim looks whether its folder is still there.
const IDLE: Duration = Duration::from_secs(5);
/// A client that does not read for this long is let go.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);

/// What is being waited for.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Running {
        since: Instant,
    },
    /// The program ended unasked; what it left behind is killed, then it starts again after `back_off`.
    Clearing {
        next_kill: Instant,
        restart_at: Instant,
    },
    BackingOff {
        restart_at: Instant,
    },
    /// Asked to end; whatever still runs at `kill_at` is killed.
    Stopping {
        kill_at: Instant,
    },
    Over,
}

/// The program's keeper.
pub(super) struct Supervisor {
    folder: Folder,
    launch: Launch,
    /// Held until the process ends.
    lock: File,
    output: Arc<Mutex<Output>>,
    /// Wakes the reaper.
    spawned: Sender<()>,
    clients: Vec<UnixStream>,
    state: State,
    /// Whether the state on disk is older than the one here.
    unwritten: bool,
    doing: Doing,
    back_off: Duration,
}

impl Supervisor {
    /// Takes over the folder; starts nothing yet.
    pub(super) fn new(
        folder: Folder,
        launch: Launch,
        lock: File,
        output: Arc<Mutex<Output>>,
        spawned: Sender<()>,
    ) -> io::Result<Supervisor> {
        let shim = ProcessId::of(std::process::id()).ok_or_else(|| io::Error::other("cannot read /proc/self"))?;
        let state = State {
            token: launch.token.clone(),
            boot_id: procfs::boot_id(),
            lock_inode: lock.metadata()?.ino(),
            shim,
            phase: Phase::Starting,
            incarnation: 0,
            port: None,
            socket: None,
            program: None,
            last_exit: None,
            killed: false,
        };
        let doing = Doing::BackingOff { restart_at: Instant::now() };
        Ok(Supervisor {
            folder,
            launch,
            lock,
            output,
            spawned,
            clients: Vec::new(),
            state,
            unwritten: true,
            doing,
            back_off: FIRST_BACK_OFF,
        })
    }

    /// Writes the first state, without which nothing is started: an instance that is not on record cannot be found
    /// again. Starts the program.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.folder.has_state() {
            return Err(io::Error::other("this instance ran before and does not start again"));
        }
        self.folder.write_state(&self.state)?;
        self.tick();
        Ok(())
    }

    /// Whether everything has ended and the shim may end too.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.doing, Doing::Over)
    }

    /// How long nothing needs to be done.
    pub(super) fn patience(&self) -> Duration {
        let until = |at: Instant| at.saturating_duration_since(Instant::now()).min(IDLE);
        match self.doing {
            Doing::Running { .. } => IDLE,
            Doing::Clearing { next_kill, .. } => until(next_kill),
            Doing::BackingOff { restart_at } => until(restart_at),
            Doing::Stopping { kill_at } => until(kill_at),
            Doing::Over => Duration::ZERO,
        }
    }

    /// Does what the time has come for.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        match self.doing {
            Doing::Clearing { next_kill, restart_at } if now >= next_kill => {
                self.kill_everything();
                self.doing = Doing::Clearing { next_kill: now + KILL_EVERY, restart_at };
            }
            Doing::BackingOff { restart_at } if now >= restart_at => self.start(),
            Doing::Stopping { kill_at } if now >= kill_at => {
                self.state.killed |= self.state.program.is_some();
                self.kill_everything();
                self.doing = Doing::Stopping { kill_at: now + KILL_EVERY };
            }
            _ => {}
        }
        if self.unwritten {
            self.write();
        }
        // Without its folder nobody could ever reach it again.
        if self.lock.metadata().is_ok_and(|m| m.nlink() == 0) {
            self.stop();
        }
    }

    /// Somebody wants to be told: now, and of every change.
    pub(super) fn connected(&mut self, client: UnixStream) {
        let _ = client.set_write_timeout(Some(CLIENT_PATIENCE));
        self.clients.push(client);
        self.tell(self.clients.len() - 1);
    }

    /// A child ended. Only the program itself matters; the rest was adopted from it.
    pub(super) fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        let pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
        if self.state.program.is_none_or(|program| program.pid != pid) {
            return;
        }
        self.state.program = None;
        self.record_exit(status.exit_status(), status.terminating_signal(), None);
        if let (Doing::Stopping { .. }, true) = (self.doing, self.launch.spec.stop_alone) {
            // What it started was spared for its sake.
            self.signal_everything(Signal::TERM);
        }
        if let Doing::Running { since } = self.doing {
            if since.elapsed() >= STEADY {
                self.back_off = FIRST_BACK_OFF;
            }
            self.state.phase = Phase::BackingOff;
            self.doing = Doing::Clearing { next_kill: Instant::now(), restart_at: self.next_restart() };
        }
        self.publish();
    }

    /// Nothing of the program runs any more.
    pub(super) fn all_gone(&mut self) {
        match self.doing {
            Doing::Clearing { restart_at, .. } => self.doing = Doing::BackingOff { restart_at },
            Doing::Stopping { .. } => self.end(),
            _ => {}
        }
    }

    /// Ends the program and everything that it started: politely, and after its grace not.
    pub(super) fn stop(&mut self) {
        match self.doing {
            Doing::Running { .. } => {
                self.ask_to_end();
                self.doing = Doing::Stopping { kill_at: Instant::now() + self.launch.spec.stop_grace.as_duration() };
            }
            Doing::Clearing { .. } => self.doing = Doing::Stopping { kill_at: Instant::now() },
            Doing::BackingOff { .. } => return self.end(),
            Doing::Stopping { .. } | Doing::Over => return,
        }
        self.state.phase = Phase::Stopping;
        self.publish();
    }

    fn end(&mut self) {
        self.doing = Doing::Over;
        self.state.phase = Phase::Ended;
        self.publish();
    }

    fn start(&mut self) {
        self.output().log.forget_tail();
        self.state.incarnation += 1;
        let started = self.place().and_then(|address| program::start(&self.folder, &self.launch, &address));
        match started {
            Ok(pid) => {
                // Not reaped before the reaper is told, so it is there even if it ended already.
                self.state.program = Some(ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 }));
                self.state.phase = Phase::Running;
                self.doing = Doing::Running { since: Instant::now() };
                // The reaper lives as long as this process.
                let _ = self.spawned.send(());
            }
            Err(why) => {
                self.record_exit(None, None, Some(why));
                self.state.phase = Phase::BackingOff;
                self.doing = Doing::BackingOff { restart_at: self.next_restart() };
            }
        }
        self.publish();
    }

    /// Where this incarnation is to listen: where none before it did.
    fn place(&mut self) -> Result<Address, String> {
        if let Some(folder) = &self.launch.sockets {
            let address = sockets::prepare(folder, self.state.incarnation)?;
            self.state.socket = address.socket().map(str::to_string);
            return Ok(address);
        }
        let port = program::free_port(self.state.port)?;
        self.state.port = Some(port);
        Ok(local(port))
    }

    fn next_restart(&mut self) -> Instant {
        let at = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(LONGEST_BACK_OFF);
        at
    }

    fn record_exit(&mut self, code: Option<i32>, signal: Option<i32>, why: Option<String>) {
        let tail = why.unwrap_or_else(|| {
            let mut output = self.output();
            // As much as a pipe can hold, and no more: others may still be writing.
            output.drain(32);
            output.log.tail()
        });
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let at = Timestamp(u64::try_from(at).unwrap_or(u64::MAX));
        self.state.last_exit = Some(Exit { incarnation: self.state.incarnation, code, signal, at, tail });
    }

    /// Asks the program to end, and where it is not asked alone all that it started.
    fn ask_to_end(&self) {
        let signal = signal(self.launch.spec.stop_signal);
        match (self.launch.spec.stop_alone, self.state.program) {
            (true, Some(program)) => program.signal(signal),
            _ => self.signal_everything(signal),
        }
    }

    fn kill_everything(&self) {
        self.signal_everything(Signal::KILL);
    }

    /// The program's group in one go, as nothing can fork its way out of that; then what left the group.
    fn signal_everything(&self, signal: Signal) {
        let group = self.state.program.map(|program| program.pid);
        if let Some(pid) = group.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // Not reaped yet as far as this thread knows, so the number is still its own.
            let _ = kill_process_group(pid, signal);
        }
        for process in procfs::descendants(&procfs::all(), std::process::id()) {
            if Some(process.group) != group {
                process.id().signal(signal);
            }
        }
    }

    fn output(&self) -> std::sync::MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&mut self) {
        self.write();
        for client in (0..self.clients.len()).rev() {
            self.tell(client);
        }
    }

    /// A full disk must not stop a program that runs: it is tried again.
    fn write(&mut self) {
        self.unwritten = self.folder.write_state(&self.state).is_err();
    }

    fn tell(&mut self, client: usize) {
        let Ok(mut line) = serde_json::to_vec(&self.state) else { return };
        line.push(b'\n');
        if self.clients[client].write_all(&line).is_err() {
            let gone = self.clients.swap_remove(client);
            let _ = gone.shutdown(std::net::Shutdown::Both);
        }
    }
}
