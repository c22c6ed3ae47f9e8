//! Who listens at an instance's address: the instance that was given it, or somebody else.

mod port;
mod socket;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use slipway_core::address::Address;

use super::Subject;
use crate::procfs::{self, ProcessId};

/// A search that found nothing is not repeated sooner, unless somebody answered: it reads the whole of `/proc`.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// What shows that an instance owns its address, and is quickly seen to hold still.
#[derive(Debug)]
enum Proof {
    /// Descriptors that lead to the listening sockets with these inodes.
    Port(Vec<(PathBuf, u64)>),
    /// The process that listens, and the file by which it is reached.
    Socket { listener: ProcessId, file: socket::File },
}

impl Proof {
    fn holds(&self, subject: &Subject) -> bool {
        match self {
            Proof::Port(descriptors) => {
                descriptors.iter().all(|(path, inode)| procfs::socket_inode(path) == Some(*inode))
            }
            Proof::Socket { listener, file } => {
                listener.runs() && subject.address.socket().and_then(socket::File::at).as_ref() == Some(file)
            }
        }
    }
}

/// Checks again and again that one incarnation owns its address. The proof is kept: as long as it holds, nothing has to
/// be searched.
pub(super) struct Owner {
    subject: Subject,
    proof: Option<Proof>,
    failed: Option<(Instant, String)>,
}

impl Owner {
    pub(super) fn new(subject: Subject) -> Owner {
        Owner { subject, proof: None, failed: None }
    }

    /// Whether the instance listens at its address, at which somebody has or has not just `answered`; the error is a
    /// sentence for people.
    pub(super) async fn check(&mut self, answered: bool) -> Result<(), String> {
        if self.proof.as_ref().is_some_and(|proof| proof.holds(&self.subject)) {
            return Ok(());
        }
        if let Some((at, why)) = self.failed.as_ref().filter(|_| !answered)
            && at.elapsed() < SEARCH_EVERY
        {
            return Err(why.clone());
        }
        let proof = match self.subject.address.clone() {
            Address::Tcp(address) => self.search(move |subject| port::prove(subject, address.port())).await,
            Address::Unix(path) => match socket::listener(&path).await {
                Ok((pid, file)) => self.search(move |subject| socket::prove(subject, &path, pid, file)).await,
                Err(why) => Err(why),
            },
        };
        self.failed = proof.as_ref().err().map(|why| (Instant::now(), why.clone()));
        self.proof = Some(proof?);
        Ok(())
    }

    /// Searches `/proc`, beside everything else.
    async fn search(
        &self,
        prove: impl FnOnce(&Subject) -> Result<Proof, String> + Send + 'static,
    ) -> Result<Proof, String> {
        let subject = self.subject.clone();
        tokio::task::spawn_blocking(move || prove(&subject)).await.map_err(|e| e.to_string())?
    }
}

/// The program, what descends from it, and what shares its session.
fn processes(subject: &Subject) -> Vec<u32> {
    let all = procfs::all();
    let mut pids = vec![subject.program.pid];
    pids.extend(procfs::descendants(&all, subject.program.pid).iter().map(|stat| stat.pid));
    // The shim leads the session; its descendants may have taken sessions of their own.
    pids.extend(procfs::descendants(&all, subject.session).iter().map(|stat| stat.pid));
    pids.extend(all.iter().filter(|s| s.session == subject.session && s.pid != subject.session).map(|s| s.pid));
    pids.sort_unstable();
    pids.dedup();
    pids
}
