//! One gateway's call: its hello, then lines in both directions until either side ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use slipway_core::traffic::link::{Event, FromGateway, Hello, LINE_LIMIT, ToGateway};
use slipway_core::traffic::{Generation, RoutingTable, TableChange};

use super::{EVENTS_KEPT, GatewayState, Known, Shared, State};
use crate::access_log::now;
use crate::wire::{self, LineReader};

/// A caller that has not said hello by then is hung up on.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// Longest hello; a stranger shall not make us keep more.
const HELLO_BYTES: usize = 1 << 20;
/// A gateway that takes nothing for this long is hung up on; it will call again.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Takes calls until the hub ends.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(&shared, stream).await {
                        tracing::debug!(%error, "a gateway's link ended");
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a gateway's call");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut lines = LineReader::new(read, HELLO_BYTES);
    let first = tokio::time::timeout(HELLO_LIMIT, lines.next()).await??;
    let Some(FromGateway::Hello(hello)) = first.and_then(|line| serde_json::from_slice(&line).ok()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the caller said no hello"));
    };
    if !same(&hello.token, &shared.token) {
        tracing::warn!(gateway = hello.gateway, "a caller with a wrong token was refused");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the caller has a wrong token"));
    }
    lines.set_limit(LINE_LIMIT);
    let Some(session) = Session::register(shared, hello) else {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the caller gave way to a newer start"));
    };
    session.run(lines, write).await
}

/// Compares without telling by the time taken where the difference is.
fn same(given: &str, wanted: &str) -> bool {
    let differs = given.bytes().zip(wanted.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    given.len() == wanted.len() && differs == 0
}

struct Session<'a> {
    shared: &'a Shared,
    name: String,
    boot: String,
    connection: u64,
    takes_changes: bool,
    /// The last table that it was given on this connection.
    sent: Option<Arc<RoutingTable>>,
    outbox: mpsc::UnboundedReceiver<ToGateway>,
    replaced: CancellationToken,
}

impl<'a> Session<'a> {
    /// Makes this the gateway's live connection; `None` where the caller gave way to a newer start of its name.
    fn register(shared: &'a Shared, hello: Hello) -> Option<Session<'a>> {
        let mut state = shared.state();
        if state.fenced.contains(&hello.boot) {
            return None;
        }
        state.connections += 1;
        let connection = state.connections;
        let (sender, outbox) = mpsc::unbounded_channel();
        let replaced = shared.stopped.child_token();
        let (name, boot, takes_changes) = (hello.gateway.clone(), hello.boot.clone(), hello.takes_changes);
        let known = Known {
            state: GatewayState {
                name: hello.gateway,
                boot: hello.boot,
                pid: hello.pid,
                traffic: hello.traffic,
                connected: true,
                acked: hello.serves,
                lapsed: hello.lapsed,
                ejected: hello.ejected,
                leaving: None,
                last_seen: now(),
            },
            connection,
            outbox: sender,
            replaced: replaced.clone(),
        };
        if let Some(earlier) = state.gateways.insert(name.clone(), known) {
            earlier.replaced.cancel();
            if earlier.state.boot != boot {
                state.tally.close(&earlier.state.boot);
                state.fenced.insert(earlier.state.boot);
            }
        }
        drop(state);
        shared.note_change();
        Some(Session { shared, name, boot, connection, takes_changes, sent: None, outbox, replaced })
    }

    async fn run(mut self, mut lines: LineReader<OwnedReadHalf>, mut write: OwnedWriteHalf) -> io::Result<()> {
        let mut tables = self.shared.table.subscribe();
        tables.mark_changed();
        loop {
            tokio::select! {
                // A renewal of a table's leases must not overtake the table.
                biased;
                () = self.replaced.cancelled() => return Ok(()),
                changed = tables.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let table = tables.borrow_and_update().clone();
                    if let Some(table) = table {
                        self.give(table, &mut write).await?;
                    }
                }
                message = self.outbox.recv() => match message {
                    Some(message) => send(&mut write, &wire::line(&message)?).await?,
                    None => return Ok(()),
                },
                line = lines.next() => match line? {
                    Some(line) => self.take(&line),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Sends a table, of which only what differs from the one that was sent before it.
    async fn give(&mut self, table: Arc<RoutingTable>, write: &mut OwnedWriteHalf) -> io::Result<()> {
        if !self.takes_changes {
            return send(write, &wire::line(&ToGateway::Table(RoutingTable::clone(&table)))?).await;
        }
        for part in TableChange::between(self.sent.as_deref(), &table).parts() {
            send(write, &wire::line(&ToGateway::Change(part))?).await?;
        }
        self.sent = Some(table);
        Ok(())
    }

    /// Notes what a line says, unless another connection speaks for this gateway by now.
    fn take(&self, line: &[u8]) {
        let message = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%error, gateway = self.name, "a line makes no sense: passed over"),
        };
        {
            let mut state = self.shared.state();
            let State { gateways, tally, events, .. } = &mut *state;
            let Some(known) = gateways.get_mut(&self.name).filter(|k| k.connection == self.connection) else { return };
            known.state.last_seen = now();
            match message {
                FromGateway::Hello(_) => {}
                FromGateway::Ack { generation } => acknowledge(&mut known.state, generation, self.shared),
                FromGateway::Counts { rows } => tally.report(&self.boot, rows),
                FromGateway::Leaving { in_flight } => known.state.leaving = Some(in_flight),
                FromGateway::Event(event) => {
                    note(&mut known.state, &event);
                    if events.len() >= EVENTS_KEPT {
                        events.pop_front();
                    }
                    events.push_back((self.name.clone(), event));
                }
            }
        }
        self.shared.note_change();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(known) = state.gateways.get_mut(&self.name).filter(|k| k.connection == self.connection) {
            known.state.connected = false;
        }
        drop(state);
        self.shared.note_change();
    }
}

/// The gateway serves this generation; what it said of splits and instances that are gone is forgotten.
fn acknowledge(state: &mut GatewayState, generation: Generation, shared: &Shared) {
    state.acked = state.acked.max(generation);
    let table = shared.table.borrow().clone();
    let Some(table) = table.filter(|table| table.generation == generation) else { return };
    let route = |lane: &_| table.routes.iter().find(move |r| r.lane() == *lane);
    state.lapsed.retain(|l| route(&l.lane).is_some_and(|r| r.epoch <= l.epoch));
    state.ejected.retain(|e| {
        let version = route(&e.lane).and_then(|r| r.version(&e.version));
        version.is_some_and(|v| v.endpoints.iter().any(|x| x.instance == e.instance && x.incarnation == e.incarnation))
    });
}

fn note(state: &mut GatewayState, event: &Event) {
    let same = |a: &slipway_core::traffic::link::Ejection, b: &slipway_core::traffic::link::Ejection| {
        a.instance == b.instance && a.incarnation == b.incarnation
    };
    match event {
        Event::Ejected(ejection) => {
            state.ejected.retain(|e| !same(e, ejection));
            state.ejected.push(ejection.clone());
        }
        Event::Readmitted(ejection) => state.ejected.retain(|e| !same(e, ejection)),
        Event::Lapsed(lapse) => {
            state.lapsed.retain(|l| l.lane != lapse.lane);
            state.lapsed.push(lapse.clone());
        }
        Event::CandidateLost { .. } => {}
    }
}

async fn send(write: &mut OwnedWriteHalf, line: &[u8]) -> io::Result<()> {
    tokio::time::timeout(WRITE_LIMIT, write.write_all(line)).await?
}
