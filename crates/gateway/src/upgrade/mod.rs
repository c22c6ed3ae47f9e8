//! The gateway's program is replaced while it serves: the process that runs starts the new program, hands it its lock and
//! its listening sockets, and goes on for as long as its own connections do.
//!
//! [`elder`] is the process that gives way, [`heir`] the one that comes. At every moment one of them keeps the folder and
//! somebody accepts; where the new program does not come up, the old one goes on as if nobody had asked. What is absent:
//! nothing of what is served is handed over. The heir reads the folder and asks the control plane, as after any start.

pub(crate) mod draining;
pub(crate) mod elder;
pub(crate) mod heir;
pub(crate) mod manager;
mod passing;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use slipway_core::traffic::link::Follows;

use crate::lock::Lock;
use crate::table_store::replace;

pub use draining::processes;
pub use heir::Heir;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The argument by which a program is told that it follows one that runs.
pub const TAKES_OVER: &str = "--takes-over";
/// How long a new program may take for each of its steps: to call, to be ready, and to serve.
pub const STEP_LIMIT: Duration = Duration::from_secs(10);
/// Processes that may drain at once beside the one that serves.
pub const MOST_DRAINING: usize = 8;
/// Longest line that one side says to the other.
const LINE_BYTES: usize = 64 << 10;

/// How a gateway's process holds its folder, and what follows it when it is told to give way.
#[derive(Debug)]
pub struct Succession {
    /// The folder's lock.
    pub lock: Lock,
    /// The program that follows, by the path at which this one was started.
    pub program: PathBuf,
    /// Its arguments, without [`TAKES_OVER`].
    pub arguments: Vec<OsString>,
    /// How long this process may go on for the sake of its connections, once it has given way.
    pub drain: Duration,
    /// Whom this process follows, where it does.
    pub heir: Option<Heir>,
}

/// The sockets that clients connect to.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// For plain traffic.
    pub(crate) traffic: TcpListener,
    /// For TLS, where it is spoken.
    pub(crate) tls: Option<TcpListener>,
}

/// A process, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its program's version.
    pub version: String,
}

/// What becomes of an upgrade, as the process that is to give way writes it into its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The process that was asked.
    pub from: Process,
    /// How far it is.
    #[serde(flatten)]
    pub came_to: CameTo,
}

/// See [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CameTo {
    /// The new program was started.
    Starting,
    /// It serves.
    Done {
        /// The process that serves now.
        to: Process,
    },
    /// It does not, and the one that was asked goes on.
    Failed {
        /// Why.
        why: String,
    },
}

impl Report {
    /// The one that was written last in a gateway's folder.
    pub fn read(state_dir: &Path) -> Option<Report> {
        serde_json::from_slice(&std::fs::read(Report::file(state_dir)).ok()?).ok()
    }

    /// Where it lies.
    pub fn file(state_dir: &Path) -> PathBuf {
        state_dir.join("upgrade.json")
    }

    /// Removes what a process that is gone had begun: another one may have the same number.
    pub(crate) fn forget(state_dir: &Path) -> io::Result<()> {
        match Report::read(state_dir) {
            Some(Report { came_to: CameTo::Starting, .. }) => std::fs::remove_file(Report::file(state_dir)),
            _ => Ok(()),
        }
    }

    fn write(&self, state_dir: &Path) -> io::Result<()> {
        replace(&Report::file(state_dir), &serde_json::to_vec(self)?)
    }
}

/// What the heir is answered once it has called. With it come, in this order: standard error, the lock, the socket for traffic, and the one
/// for TLS where it is spoken.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    /// Whether there is a socket for TLS.
    tls: bool,
    /// Whether the control plane can be asked: the heir must have its newest table before it takes over.
    connected: bool,
    /// Who gives way; absent where it does not say.
    #[serde(default)]
    by: Option<Follows>,
}

/// What the heir says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromHeir {
    /// It has come. Before that it is given nothing: a program that hangs must not hold sockets or a lock.
    Here {
        /// Its program's version.
        version: String,
    },
    /// It could serve, and has written nothing yet.
    Ready {
        /// Whether it has the control plane's newest table.
        in_step: bool,
    },
    /// It serves.
    Serving,
}

/// What it is answered once it is ready: the folder is its own.
const YOURS: &[u8] = b"yours\n";
