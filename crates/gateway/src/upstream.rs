//! One instance as the gateway sees it: its pooled connections, what runs on them, whether it is used at present.
//!
//! An upstream lives as long as its endpoint (instance, incarnation and address) stands in the table, over all the
//! tables in between. It chooses nothing and counts nothing for the judge.

mod connection;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use slipway_core::names::{LaneId, VersionName};
use slipway_core::traffic::{Endpoint, Limits, Protocol};

use crate::fast::{Pool, Raw};
use crate::places::{Place, Places};
pub(crate) use crate::sender::Sender;
use crate::socket::{Stream, dial};
pub(crate) use connection::Connection;
use connection::Heard;

/// Idle connections that one instance may have; more are closed.
pub(crate) const IDLE_CONNECTIONS: usize = 512;

/// One instance.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Whose it is.
    pub(crate) lane: LaneId,
    /// Its version.
    pub(crate) version: VersionName,
    /// Which instance, which start of it, and where it listens.
    pub(crate) endpoint: Endpoint,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// Attempts, retries among them, and failures, for `/metrics`.
    pub(crate) tallies: Tallies,
    /// Why it gets no requests at present.
    pub(crate) ejected: Mutex<Option<String>>,
    out: AtomicBool,
    /// Whether its health is asked for.
    pub(crate) watched: AtomicBool,
    in_flight: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    /// Idle connections of the short way.
    pub(crate) raw: Pool,
    /// All that somebody still holds.
    connections: Mutex<HashMap<u64, Weak<Connection>>>,
    next_connection: AtomicU64,
    draining: Mutex<Option<AbortHandle>>,
    /// Set when the endpoint has left the table.
    retired: CancellationToken,
    stopped: CancellationToken,
}

/// Numbers for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// First attempts.
    pub(crate) first: AtomicU64,
    /// Attempts after another one had failed.
    pub(crate) retries: AtomicU64,
    /// Attempts that failed.
    pub(crate) failed: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    connection: Arc<Connection>,
    since: Instant,
}

/// A connection that a request may be sent on.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Takes the request.
    pub(crate) sender: Sender,
    /// The connection itself.
    pub(crate) connection: Arc<Connection>,
    /// How long it had been idle; `None` where it was opened just now.
    pub(crate) idle_for: Option<Duration>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The instance does not take connections.
    Refused(String),
    /// It did not within the time limit.
    TimedOut,
    /// The gateway's own shortage: file descriptors, ports, memory.
    Own(io::Error),
}

impl Upstream {
    /// An instance without connections. Everything about it ends with `stopped`.
    pub(crate) fn new(
        lane: LaneId,
        version: VersionName,
        endpoint: Endpoint,
        protocol: Protocol,
        stopped: &CancellationToken,
    ) -> Upstream {
        Upstream {
            lane,
            version,
            endpoint,
            protocol,
            tallies: Tallies::default(),
            ejected: Mutex::new(None),
            out: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            idle: Mutex::default(),
            raw: Pool::default(),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(0),
            draining: Mutex::new(None),
            retired: stopped.child_token(),
            stopped: stopped.clone(),
        }
    }

    /// A pooled connection that was idle for at most `fresh_enough`, or a new one; always a new one where that is zero.
    /// `since`, from when on the instance is waited for, moves on by what the gateway itself had no room for.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        fresh_enough: Duration,
        places: &Places,
        time_limit: Duration,
        since: &mut Instant,
    ) -> Result<Ready, ConnectError> {
        while let Some(mut idle) = self.pop_idle(fresh_enough) {
            if idle.sender.ready().await {
                let idle_for = Some(idle.since.elapsed());
                return Ok(Ready { sender: idle.sender, connection: idle.connection, idle_for });
            }
        }
        self.connect(places, time_limit, since).await
    }

    fn pop_idle(&self, fresh_enough: Duration) -> Option<Idle> {
        if fresh_enough.is_zero() {
            return None;
        }
        let mut idle = lock(&self.idle);
        let newest = idle.pop()?;
        if newest.since.elapsed() <= fresh_enough {
            return (!newest.sender.is_closed()).then_some(newest).or_else(|| {
                idle.retain(|i| !i.sender.is_closed());
                idle.pop().filter(|i| i.since.elapsed() <= fresh_enough)
            });
        }
        idle.push(newest);
        None
    }

    async fn connect(
        self: &Arc<Self>,
        places: &Places,
        time_limit: Duration,
        since: &mut Instant,
    ) -> Result<Ready, ConnectError> {
        let (stream, connection) = self.open(places, time_limit, since).await?;
        let stream = Heard::new(stream, connection.clone());
        let handshake = Sender::handshake(self.protocol, TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|e| ConnectError::Refused(e.to_string()))?;
        let (upstream, held) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            tokio::select! {
                ended = driver => {
                    if let Err(error) = ended {
                        tracing::debug!(instance = %upstream.endpoint.instance, %error, "a connection ended");
                    }
                }
                () = held.cut() => {}
            }
        });
        Ok(Ready { sender, connection, idle_for: None })
    }

    async fn open(
        self: &Arc<Self>,
        places: &Places,
        time_limit: Duration,
        since: &mut Instant,
    ) -> Result<(Stream, Arc<Connection>), ConnectError> {
        let asked = Instant::now();
        let place = places.take(time_limit).await;
        *since += asked.elapsed();
        let place = place.ok_or_else(|| ConnectError::Own(io::Error::other("no place for another connection")))?;
        let stream = dial(&self.endpoint.address, time_limit).await?;
        Ok((stream, self.new_connection(Some(place))))
    }

    fn new_connection(self: &Arc<Self>, place: Option<Place>) -> Arc<Connection> {
        let id = self.next_connection.fetch_add(1, Relaxed);
        let connection = Arc::new(Connection::new(id, Arc::downgrade(self), self.stopped.child_token(), place));
        lock(&self.connections).insert(id, Arc::downgrade(&connection));
        connection
    }

    /// Opens a connection for the short way; `since` as in [`Upstream::connection`].
    pub(crate) async fn open_raw(
        self: &Arc<Self>,
        places: &Places,
        limit: Duration,
        since: &mut Instant,
    ) -> Result<Raw, ConnectError> {
        let (stream, connection) = self.open(places, limit, since).await?;
        Ok(Raw::new(stream, connection))
    }

    /// Takes a connection of the short way back whose request and response are complete.
    pub(crate) fn put_back_raw(&self, raw: Raw) {
        if !self.retired.is_cancelled() && !raw.connection.is_in_the_way() {
            raw.connection.make_ordinary();
            self.raw.put(raw);
        }
    }

    /// Takes a connection back whose request and response are complete.
    pub(crate) fn put_back(&self, sender: Sender, connection: Arc<Connection>) {
        if sender.is_closed() || connection.is_deaf() || self.retired.is_cancelled() || connection.is_in_the_way() {
            return;
        }
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS {
            connection.make_ordinary();
            idle.push(Idle { sender, connection, since: Instant::now() });
        }
    }

    /// Nobody holds the connection any more.
    fn forget(&self, id: u64) {
        lock(&self.connections).remove(&id);
    }

    /// Closes connections that were idle for longer than `limit`.
    pub(crate) fn close_idle(&self, limit: Duration) {
        lock(&self.idle).retain(|i| i.since.elapsed() < limit && !i.sender.is_closed());
        self.raw.close_idle(limit);
    }

    /// Requests that are being answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// One request more is being answered.
    pub(crate) fn begin(&self, retry: bool) {
        self.in_flight.fetch_add(1, Relaxed);
        let tally = if retry { &self.tallies.retries } else { &self.tallies.first };
        tally.fetch_add(1, Relaxed);
    }

    /// One less.
    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Whether it is ejected.
    pub(crate) fn is_out(&self) -> bool {
        self.out.load(Acquire)
    }

    /// Marks it as ejected, or as back where `why` is `None`; whether that changed anything.
    pub(crate) fn set_out(&self, why: Option<String>) -> bool {
        let mut ejected = lock(&self.ejected);
        let changed = ejected.is_some() != why.is_some();
        self.out.store(why.is_some(), Release);
        if changed {
            *ejected = why;
        }
        changed
    }

    /// Whether the endpoint has left the table.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    /// Resolves when the endpoint has left the table, or the gateway ends.
    pub(crate) async fn retired(&self) {
        self.retired.cancelled().await;
    }

    /// The endpoint has left the table: nothing new, and what runs has the drain limits.
    pub(crate) fn retire(self: &Arc<Self>, limits: &Limits) {
        self.retired.cancel();
        lock(&self.idle).clear();
        self.raw.clear();
        // Also where a drain is under way: what began since is none of its business.
        *lock(&self.draining) = Some(self.begin_drain(limits));
    }

    /// Its version is not chosen any more: what runs has the drain limits, counted from the first such call, or from the
    /// first after they were over.
    pub(crate) fn drain(self: &Arc<Self>, limits: &Limits) {
        let mut draining = lock(&self.draining);
        if draining.as_ref().is_none_or(|task| task.is_finished()) {
            *draining = Some(self.begin_drain(limits));
        }
    }

    fn begin_drain(self: &Arc<Self>, limits: &Limits) -> AbortHandle {
        let (upstream, ordinary, since) = (self.clone(), limits.drain.as_duration(), Instant::now());
        let long = limits.drain_long.as_duration().max(ordinary);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = upstream.stopped.cancelled() => return,
                () = tokio::time::sleep(ordinary) => upstream.cut(since, false),
            }
            tokio::select! {
                () = upstream.stopped.cancelled() => {}
                () = tokio::time::sleep(long - ordinary) => upstream.cut(since, true),
            }
        });
        task.abort_handle()
    }

    /// Its version is chosen again.
    pub(crate) fn undrain(&self) {
        if let Some(task) = lock(&self.draining).take() {
            task.abort();
        }
    }

    /// Cuts what began by `since`. What began later is no leftover: it came here for want of another instance.
    fn cut(&self, since: Instant, long_too: bool) {
        // Let go of once the lock is: whoever is the last to hold one takes it.
        let held: Vec<Arc<Connection>> = lock(&self.connections).values().filter_map(Weak::upgrade).collect();
        let is_due = |c: &&Arc<Connection>| c.began_by(since) && (long_too || !c.is_long());
        held.iter().filter(is_due).for_each(|connection| connection.cut_now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
