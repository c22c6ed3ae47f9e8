//! The data folder: one control plane at a time, or several that share a database elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// The right to use a data folder, for as long as this value lives.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

/// Makes the database's file, so that nobody else can read it; its companions take its mode over.
pub(crate) fn private(file: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match made {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::Unavailable(format!("{}: {e}", file.display())))
        }
        _ => Ok(()),
    }
}

/// How long a folder that is in use is asked for: a program that was just started by a control plane that was just
/// killed has its open files for a moment more, the lock among them.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Claims the folder for this process alone, or says who has it.
pub async fn claim(folder: &Path) -> Result<Claim, Error> {
    claim_as(folder, FlockOperation::NonBlockingLockExclusive).await
}

/// Claims the folder beside others that do the same.
pub(crate) async fn claim_shared(folder: &Path) -> Result<Claim, Error> {
    claim_as(folder, FlockOperation::NonBlockingLockShared).await
}

async fn claim_as(folder: &Path, operation: FlockOperation) -> Result<Claim, Error> {
    let broken = |e: std::io::Error| Error::Unavailable(format!("{}: {e}", folder.display()));
    // What is kept is the user's own: declared files may hold passwords.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(broken)?;
    let path = folder.join("lock");
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(broken)?;
    let asked = Instant::now();
    while flock(&file, operation).is_err() {
        if asked.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let pid = if pid.trim().is_empty() { "(unknown)".to_string() } else { pid.trim().to_string() };
        return Err(Error::InUse { folder: folder.display().to_string(), pid });
    }
    // The lock is what counts; the process id is for people, and a full disk must not keep anybody from starting.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(Claim { _file: file })
}
