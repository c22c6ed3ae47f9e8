//! One instance's folder: where its files are, who holds it, and what is written about it.
//!
//! `lock` is held by the instance's shim for as long as it lives, and that alone says whether there is one. Process
//! numbers in `state.json` are never trusted without the boot id, the start time and the lock's inode beside them.
//! Shared by the shim, which writes the state, and the process target, which reads it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slipway_core::address::Address;
use slipway_core::instance::{Exit, InstanceSpec};
use slipway_core::smoke::{Values, fill};

use crate::procfs::ProcessId;

/// What the control plane decided about an instance before it started the shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// What is to run.
    pub(crate) spec: InstanceSpec,
    /// PATH, HOME, LANG and TZ of the control plane at the start and what the file of variables said, so that every
    /// restart has the same.
    pub(crate) base_env: BTreeMap<String, String>,
    /// Random; the state that the shim writes carries it.
    pub(crate) token: String,
    /// Of the machine's run in which it was decided.
    pub(crate) boot_id: String,
    /// Where its sockets lie, where it listens on one.
    #[serde(default)]
    pub(crate) sockets: Option<PathBuf>,
}

impl Launch {
    /// The whole environment of the program for an incarnation at `address`.
    pub(crate) fn environment(&self, address: &Address) -> BTreeMap<String, String> {
        let mut env = self.base_env.clone();
        env.extend(self.spec.env.clone());
        if let Address::Unix(socket) = address {
            let values = Values::from([("socket".to_string(), socket.to_string())]);
            env.values_mut().for_each(|value| *value = fill(value, &values));
        }
        env.extend([
            match address {
                Address::Tcp(address) => ("PORT".to_string(), address.port().to_string()),
                Address::Unix(socket) => ("SOCKET".to_string(), socket.to_string()),
            },
            ("VERSION".to_string(), self.spec.version.to_string()),
            ("INSTANCE".to_string(), self.spec.id.to_string()),
        ]);
        env
    }

    /// The command with its placeholders filled in.
    pub(crate) fn command(&self, address: &Address) -> Vec<String> {
        let values = Values::from([
            match address {
                Address::Tcp(address) => ("port".to_string(), address.port().to_string()),
                Address::Unix(socket) => ("socket".to_string(), socket.to_string()),
            },
            ("version".to_string(), self.spec.version.to_string()),
            ("instance".to_string(), self.spec.id.to_string()),
        ]);
        self.spec.command.iter().map(|part| fill(part, &values)).collect()
    }
}

/// A port of this machine's own.
pub(crate) fn local(port: u16) -> Address {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()
}

/// What a shim says of its instance: in `state.json`, and to everyone connected to its socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The launch's token.
    pub(crate) token: String,
    /// Of the machine's run in which this was written.
    pub(crate) boot_id: String,
    /// Inode of the folder's lock: a copied folder is not the original.
    pub(crate) lock_inode: u64,
    /// The shim, which is also the number of the session that the program runs in.
    pub(crate) shim: ProcessId,
    /// What the instance is doing.
    pub(crate) phase: Phase,
    /// Which start of the program; 0 before the first.
    pub(crate) incarnation: u32,
    /// The port of this incarnation.
    pub(crate) port: Option<u16>,
    /// The socket of this incarnation, where it listens on one.
    #[serde(default)]
    pub(crate) socket: Option<String>,
    /// The program while it runs; it leads its process group.
    pub(crate) program: Option<ProcessId>,
    /// How the last incarnation that ended did.
    pub(crate) last_exit: Option<Exit>,
    /// The program did not end within its grace and was killed.
    #[serde(default)]
    pub(crate) killed: bool,
}

impl State {
    /// Where this incarnation listens.
    pub(crate) fn address(&self) -> Option<Address> {
        match &self.socket {
            Some(path) => Address::unix(path).ok(),
            None => self.port.map(local),
        }
    }
}

/// What a shim is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Starting,
    Running,
    BackingOff,
    Stopping,
    Ended,
}

/// Paths within one instance's folder, and the few things that are done with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The program's working folder.
    pub(crate) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// Where the working folder grows until it is complete.
    pub(crate) fn unpacking(&self) -> PathBuf {
        self.path.join("unpacking")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// What the program writes to; it holds the reading end open too, so the shim's death does not break it.
    pub(crate) fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// What the shim itself has to complain about.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.path.join("shim.log")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Makes the folder, readable by nobody else: arguments and environments hold secrets.
    pub(crate) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        fs::create_dir_all(self.logs())
    }

    /// Takes the folder for its caller, or `None` where a shim has it.
    pub(crate) fn take(&self) -> io::Result<Option<File>> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.lock_file())?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Whether a shim lives here.
    pub(crate) fn is_held(&self) -> bool {
        match File::open(self.lock_file()) {
            Ok(lock) => matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    /// The inode of the lock, which a copy of the folder does not share.
    pub(crate) fn lock_inode(&self) -> io::Result<u64> {
        Ok(fs::metadata(self.lock_file())?.ino())
    }

    /// The launch, or `None` where it was never written or not completely.
    pub(crate) fn launch(&self) -> Option<Launch> {
        read(&self.path.join("launch.json"))
    }

    pub(crate) fn write_launch(&self, launch: &Launch) -> io::Result<()> {
        write(&self.path.join("launch.json"), launch)
    }

    /// The last state that a shim wrote; `None` before its first and where the machine went down while it was written.
    pub(crate) fn state(&self) -> Option<State> {
        read(&self.path.join("state.json"))
    }

    pub(crate) fn write_state(&self, state: &State) -> io::Result<()> {
        write(&self.path.join("state.json"), state)
    }

    /// Whether a shim ever began here.
    pub(crate) fn has_state(&self) -> bool {
        self.path.join("state.json").exists()
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces the file in one step. Not synced: after a power failure nothing that it speaks of runs any more.
fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
    fs::rename(&part, path)
}
