//! The process that comes: takes lock and sockets from the one that runs, says how far it is, and keeps the folder once it
//! is told that it may. Before that it has written nothing, and whatever fails ends it alone; after that it goes on
//! whatever becomes of the other.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::unix::OwnedWriteHalf;

use slipway_core::traffic::link::Follows;

use super::{FromHeir, LINE_BYTES, Listeners, Offer, VERSION, YOURS, passing};
use crate::gateway::Gateway;
use crate::lock::{self, Lock};
use crate::metrics::Admin;
use crate::wire::{self, LineReader};

/// How long it may take until the offer is here.
const OFFER_LIMIT: Duration = Duration::from_secs(5);
/// How long the control plane may take to let this process in, where it can be asked.
const IN_STEP_LIMIT: Duration = Duration::from_secs(8);

/// What the process that runs has handed to this one.
#[derive(Debug)]
pub struct Heir {
    elder: UnixStream,
    connected: bool,
    by: Option<Follows>,
    stderr: OwnedFd,
    lock: OwnedFd,
    traffic: OwnedFd,
    tls: Option<OwnedFd>,
}

/// The same once its sockets are in use.
#[derive(Debug)]
pub(crate) struct Coming {
    elder: UnixStream,
    connected: bool,
    by: Option<Follows>,
    stderr: OwnedFd,
}

/// The folder is this process's own; whoever handed it over waits to hear that it serves.
#[derive(Debug)]
pub(crate) struct Come {
    elder: OwnedWriteHalf,
    by: Option<Follows>,
}

impl Heir {
    /// Calls on standard input, and takes what is offered there.
    pub fn meet() -> io::Result<Heir> {
        let mut elder = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        elder.set_read_timeout(Some(OFFER_LIMIT))?;
        elder.write_all(&wire::line(&FromHeir::Here { version: VERSION.to_string() })?)?;
        let (offer, files): (Offer, _) = passing::receive(&elder)?;
        lock::release_stdin()?;
        let mut files = files.into_iter();
        let mut next = || files.next().ok_or_else(|| io::Error::other("fewer files came than were announced"));
        let (stderr, lock, traffic) = (next()?, next()?, next()?);
        let tls = offer.tls.then(next).transpose()?;
        Ok(Heir { elder, connected: offer.connected, by: offer.by, stderr, lock, traffic, tls })
    }

    /// The lock that was handed over, which has to be the one at `path`.
    pub fn lock(&self, path: &Path) -> io::Result<Lock> {
        let given = File::from(self.lock.try_clone()?);
        Lock::given(given, path).ok_or_else(|| io::Error::other(format!("what came is not {}", path.display())))
    }

    /// The sockets that were handed over, TLS's where it is spoken.
    pub(crate) fn listeners(self, tls: bool) -> io::Result<(Listeners, Coming)> {
        let Heir { elder, connected, by, stderr, lock: _, traffic, tls: for_tls } = self;
        let for_tls = for_tls.filter(|_| tls).map(listener).transpose()?;
        if tls && for_tls.is_none() {
            return Err(io::Error::other("no socket for TLS came"));
        }
        Ok((Listeners { traffic: listener(traffic)?, tls: for_tls }, Coming { elder, connected, by, stderr }))
    }
}

fn listener(given: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(given);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Coming {
    /// Says that this process is ready, and waits until the folder is its own.
    pub(crate) async fn take_over(self, gateway: &Gateway, lock: &Lock, admin: &Admin) -> io::Result<Come> {
        let keeps = || io::Error::other("the gateway that runs keeps its place");
        self.elder.set_nonblocking(true)?;
        let (read, mut write) = tokio::net::UnixStream::from_std(self.elder)?.into_split();
        let mut lines = LineReader::new(read, LINE_BYTES);
        let limit = if self.connected { IN_STEP_LIMIT } else { gateway.tuning.table_wait };
        tokio::select! {
            () = gateway.catch_up_within(limit) => {}
            _ = lines.next() => return Err(keeps()),
        }
        let ready = FromHeir::Ready { in_step: *gateway.in_step.borrow() };
        write.write_all(&wire::line(&ready)?).await?;
        let answer = lines.next().await?;
        if answer.is_none_or(|line| line.trim_ascii() != YOURS.trim_ascii()) {
            return Err(keeps());
        }
        gateway.keep_folder().await;
        lock.name(std::process::id());
        if let Err(error) = admin.write() {
            tracing::error!(%error, "where /metrics are cannot be written");
        }
        // What was said until here is for the one that asked.
        if let Err(error) = rustix::stdio::dup2_stderr(&self.stderr) {
            tracing::error!(%error, "standard error cannot be had");
        }
        Ok(Come { elder: write, by: self.by })
    }
}

impl Come {
    /// Says that this process accepts connections, also to the control plane. Whoever asked may have died meanwhile.
    pub(crate) async fn serves(mut self, gateway: &Gateway) {
        let told = async { self.elder.write_all(&wire::line(&FromHeir::Serving)?).await };
        if let Err(error) = told.await {
            tracing::warn!(%error, "the gateway before this one has gone");
        }
        if let Some(by) = self.by {
            // It is set once, here.
            let _ = gateway.follows.set(by);
        }
    }
}
