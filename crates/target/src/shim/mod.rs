//! The shim: one small process per instance, `slipway run-instance DIR`. It starts the program, owns its output, reaps
//! it, restarts it, stops it, and outlives the control plane, which connects to it to be told of every change at once.
//!
//! It decides nothing about releases and knows no artifacts: the folder is unpacked and `launch.json` written before it
//! starts. It is plain threads and blocking calls, so that ten of them cost next to nothing:
//!
//! - the main thread owns the state and decides (`supervisor`);
//! - one thread reaps, one waits for connections, one moves output into the log, one listens to each connection.
//!
//! It is the reaper of whatever its program leaves behind (a subreaper), so "nothing of it runs any more" is what the
//! kernel says, not a guess. When the shim itself is killed, the program goes on, since cutting off users would be
//! worse: it holds both ends of its output, and is found again and replaced by the process target.

mod program;
mod supervisor;

pub(crate) use program::resolve;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper, setsid, wait};
use slipway_core::spec::StopSignal;

use crate::folder::Folder;
use crate::job::{self, JobFolder};
use crate::logs::Log;
use supervisor::Supervisor;

/// The socket's name within the folder. Used relative to the folder, as socket paths may have 108 bytes only.
pub(crate) const SOCKET: &str = "control";
/// What asks a shim to stop its program and end, as a line.
pub(crate) const STOP: &str = "stop";

/// Enough for these threads; the default of 2 MiB each would be mapped for every instance.
const STACK: usize = 128 << 10;

/// The signal that a program is asked to end by.
pub(crate) fn signal(declared: StopSignal) -> Signal {
    match declared {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
    }
}

/// Runs the instance in `dir` until it is stopped, or the job in it to its end. The whole of `slipway run-instance DIR`.
pub fn main(dir: &Path) -> ExitCode {
    let ended = if JobFolder::is_one(dir) { job::run(dir) } else { run(dir) };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("slipway run-instance {}: {e}", dir.display());
            ExitCode::FAILURE
        }
    }
}

/// What the threads tell the main one.
enum Event {
    /// A child ended, the program or something that it left behind.
    Reaped(Pid, WaitStatus),
    /// There is no child any more.
    AllGone,
    /// Somebody wants to be told.
    Connected(UnixStream),
    /// Somebody wants it stopped.
    Stop,
}

fn run(dir: &Path) -> io::Result<()> {
    // Fails where it leads a group already, as when started by hand from a shell: then that session will do.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let folder = Folder::new(dir.canonicalize()?);
    std::env::set_current_dir(folder.path())?;
    let lock = hold(&folder)?;
    let launch = folder.launch().ok_or_else(|| io::Error::other("there is no launch.json that can be read"))?;

    let (events, inbox) = mpsc::channel();
    let log = Arc::new(Mutex::new(Output::open(&folder)?));
    let spawned = start_reaper(events.clone())?;
    let mut supervisor = Supervisor::new(folder, launch, lock, log.clone(), spawned)?;
    start_output(log)?;
    // Whatever can fail comes before the program runs.
    start_listener(events)?;
    supervisor.begin()?;
    supervise(&mut supervisor, &inbox);
    Ok(())
}

/// The loop: whatever comes first of an event and the next thing to do by time.
fn supervise(supervisor: &mut Supervisor, inbox: &Receiver<Event>) {
    while !supervisor.is_over() {
        match inbox.recv_timeout(supervisor.patience()) {
            Ok(Event::Reaped(pid, status)) => supervisor.reaped(pid, status),
            Ok(Event::AllGone) => supervisor.all_gone(),
            Ok(Event::Connected(client)) => supervisor.connected(client),
            Ok(Event::Stop) => supervisor.stop(),
            Err(_) => {}
        }
        supervisor.tick();
    }
}

/// The folder's lock: handed over as standard input by whoever started this, already held, so that there is no moment
/// in between; or taken now where somebody starts a shim by hand.
fn hold(folder: &Folder) -> io::Result<File> {
    let given = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let is_lock = given.metadata()?.ino() == folder.lock_inode().unwrap_or(0);
    let taken = if is_lock { given.try_lock().ok().map(|()| given) } else { folder.take()? };
    taken.ok_or_else(|| io::Error::other("another process runs this instance"))
}

/// Reaps everything, and says when nothing is left. Waits for the word that there is something to reap, so it never
/// takes away a status that the standard library is waiting for in the middle of a spawn.
fn start_reaper(events: Sender<Event>) -> io::Result<Sender<()>> {
    let (spawned, wake) = mpsc::channel();
    spawn("reaper", move || {
        while wake.recv().is_ok() {
            loop {
                match wait(WaitOptions::empty()) {
                    Ok(Some((pid, status))) => drop(events.send(Event::Reaped(pid, status))),
                    Ok(None) | Err(rustix::io::Errno::INTR) => {}
                    Err(_) => break,
                }
            }
            drop(events.send(Event::AllGone));
        }
    })?;
    Ok(spawned)
}

fn start_listener(events: Sender<Event>) -> io::Result<()> {
    // Left behind by a shim that was killed; the lock says that it is no longer there.
    match std::fs::remove_file(SOCKET) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    spawn("listener", move || {
        for client in listener.incoming() {
            match client {
                Ok(client) => serve(client, events.clone()),
                // Out of descriptors, most likely: they come back.
                Err(_) => thread::sleep(std::time::Duration::from_millis(100)),
            }
        }
    })
}

/// Listens to one client in a thread of its own. A client that cannot be served is let go and comes again.
fn serve(client: UnixStream, events: Sender<Event>) {
    let Ok(reader) = client.try_clone() else { return };
    drop(events.send(Event::Connected(client)));
    let _ = spawn("client", move || {
        for line in BufReader::with_capacity(256, reader).lines().map_while(Result::ok) {
            if line == STOP {
                drop(events.send(Event::Stop));
            }
        }
    });
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_string()).stack_size(STACK).spawn(body).map(drop)
}

/// The program's output on its way into the log. Read only under the lock, so that whoever holds it sees everything
/// that was written so far, in order.
pub(crate) struct Output {
    pipe: File,
    log: Log,
    block: Vec<u8>,
}

impl Output {
    /// Makes the pipe where there is none. It is opened for writing too, so that it never ends.
    fn open(folder: &Folder) -> io::Result<Output> {
        let path = folder.output();
        match rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let pipe = File::options()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default())
            .open(&path)?;
        Ok(Output { pipe, log: Log::open(folder.logs()), block: vec![0; 64 << 10] })
    }

    /// Moves what is there, up to `limit` blocks.
    fn drain(&mut self, limit: usize) {
        for _ in 0..limit {
            match io::Read::read(&mut self.pipe, &mut self.block) {
                Ok(n) if n > 0 => self.log.append(&self.block[..n]),
                _ => break,
            }
        }
    }
}

fn start_output(output: Arc<Mutex<Output>>) -> io::Result<()> {
    let pipe = output.lock().unwrap_or_else(PoisonError::into_inner).pipe.try_clone()?;
    spawn("output", move || {
        loop {
            let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
            if poll(&mut ready, None).is_ok() {
                output.lock().unwrap_or_else(PoisonError::into_inner).drain(16);
            }
        }
    })
}
