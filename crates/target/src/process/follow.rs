//! Staying in touch with one instance: the connection to its shim, and what to do once there is none.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use slipway_core::names::InstanceId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::{Shared, probe, start};
use crate::folder::{Folder, Phase, State};
use crate::logs::Log;
use crate::procfs::ProcessId;
use crate::shim::{SOCKET, STOP};

/// From one attempt to reach a shim that lives to the next.
const RECONNECT: Duration = Duration::from_millis(20);
/// From one look at an orphan to the next.
const ORPHAN_LOOK: Duration = Duration::from_millis(50);

/// Starts the tasks that keep an instance's status up to date, until it is removed or the target goes.
pub(super) fn watch(shared: &Arc<Shared>, id: &InstanceId) {
    let Some((launch, subject, token)) =
        shared.entries().get(id).map(|entry| (entry.launch.clone(), entry.subject.subscribe(), entry.watched.clone()))
    else {
        return;
    };
    let (shared, id) = (shared.clone(), id.clone());
    tokio::spawn(token.run_until_cancelled_owned(async move {
        tokio::select! {
            () = follow(&shared, &id) => {}
            () = probe::ask_for_ever(&shared, &id, &launch.spec.health, subject) => {}
        }
    }));
}

/// Returns when the instance has ended.
async fn follow(shared: &Shared, id: &InstanceId) {
    let folder = shared.folder(id);
    loop {
        if let Ok(stream) = connect(&folder).await {
            let mut lines = Lines::new(stream);
            while let Some(state) = lines.next().await {
                shared.apply(id, &state);
                if state.phase == Phase::Ended {
                    return;
                }
            }
        }
        if !folder.is_held() {
            match start::left_alone(shared, id, &folder) {
                None => return,
                Some(state) => mind_orphan(&folder, &state).await,
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Until the program has ended: keeps its output flowing, since a full pipe would bring it to a stand.
async fn mind_orphan(folder: &Folder, state: &State) {
    let Some(program) = state.program else { return };
    tokio::select! {
        () = ended(program) => {}
        Err(_) = take_output(folder) => ended(program).await,
    }
}

/// Returns once the process does not run any more. Nobody's child can be waited for, so it is looked at; orphans are
/// few and soon replaced.
async fn ended(process: ProcessId) {
    while process.runs() {
        tokio::time::sleep(ORPHAN_LOOK).await;
    }
}

async fn take_output(folder: &Folder) -> io::Result<()> {
    let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(folder.output())?;
    let mut log = Log::open(folder.logs());
    let mut block = vec![0; 64 << 10];
    loop {
        pipe.readable().await?;
        match pipe.try_read(&mut block) {
            Ok(n) => log.append(&block[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

/// Connects to the shim in `folder`, by way of a descriptor, since a socket's path may not be longer than 108 bytes.
async fn connect(folder: &Folder) -> io::Result<UnixStream> {
    let open = File::open(folder.path())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd())).await
}

/// Asks the shim in `folder` to stop; returns when it let go of the connection.
pub(super) async fn ask_to_stop(folder: &Folder) -> io::Result<()> {
    let mut stream = connect(folder).await?;
    stream.write_all(format!("{STOP}\n").as_bytes()).await?;
    let mut lines = Lines::new(stream);
    while lines.next().await.is_some() {}
    Ok(())
}

/// The states that a shim tells.
struct Lines {
    stream: BufReader<UnixStream>,
    line: String,
}

impl Lines {
    fn new(stream: UnixStream) -> Lines {
        Lines { stream: BufReader::new(stream), line: String::new() }
    }

    async fn next(&mut self) -> Option<State> {
        self.line.clear();
        self.stream.read_line(&mut self.line).await.ok()?;
        serde_json::from_str(&self.line).ok()
    }
}
