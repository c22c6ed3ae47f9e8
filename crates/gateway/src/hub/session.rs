//! One gateway's call: its hello, then lines in both directions until either side ends.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use slipway_core::names::{InstanceId, LaneId};
use slipway_core::traffic::link::{FromGateway, Hello, LINE_LIMIT, ToGateway};
use slipway_core::traffic::{Generation, RoutingTable, TableChange, as_read};

use super::door::Place;
use super::hello::{self, Call, HELLO_BYTES};
use super::notes::{acknowledge, explain, note};
use super::refusal::{GAVE_WAY, NAME_TAKEN, TOO_MANY, Way, admit, refuse, told_as, turn_away};
use super::roster::Start;
use super::{EVENTS_KEPT, GatewayState, Known, Shared, State, WRITE_LIMIT, draining, reports};
use crate::access_log::now;
use crate::report::ROWS_IN_A_PART;
use crate::wire::{self, LineReader};

/// Longest that is kept of what a gateway calls its program's version.
const PROGRAM_CHARS: usize = 64;
/// Longest that is kept of what a gateway says is to be mended.
const TROUBLE_CHARS: usize = 500;
/// How much a gateway must take within the limit; whatever it takes says that it is there.
const PIECE: usize = 64 << 10;

/// Hears who calls, and talks to it where it is let in.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(
    shared: &Shared,
    stream: S,
    way: Way,
    place: Option<Place>,
) -> io::Result<()> {
    let (read, write) = tokio::io::split(stream);
    let mut lines = LineReader::new(read, HELLO_BYTES);
    let call = match &place {
        Some(place) => place.wait(hello::first(&mut lines)).await?,
        None => hello::first(&mut lines).await?,
    };
    let mut hello = match call {
        Call::Hello(hello) => *hello,
        Call::Report(report) => return reports::take(shared, report, way, place, lines, write).await,
    };
    let reads_why = hello.program.is_some();
    let admitted = admit(&shared.state(), &shared.token, (&hello.gateway, &hello.token), &way);
    if let Err(why) = admitted {
        drop(place);
        if reads_why {
            turn_away(lines, write, told_as(why, &way)).await;
        }
        return Err(refuse(shared, hello.gateway, why));
    }
    hello::rest(&mut lines, &mut hello).await?;
    drop(place);
    lines.set_limit(LINE_LIMIT);
    let name = hello.gateway.clone();
    let session = match Session::register(shared, hello, &way) {
        Ok(session) => session,
        Err(why) => {
            if reads_why {
                turn_away(lines, write, told_as(why, &way)).await;
            }
            return Err(refuse(shared, name, why));
        }
    };
    session.run(lines, write).await
}

struct Session<'a> {
    with: With<'a>,
    hearing: Hearing,
    telling: Telling,
    replaced: CancellationToken,
}

/// Whom a session is with.
struct With<'a> {
    shared: &'a Shared,
    gateway: String,
    boot: String,
    connection: u64,
    /// What of a table it can read.
    reads: u32,
}

/// What it says.
struct Hearing {
    /// Whether its next report tells of what it did before it called.
    served_unheard: bool,
    /// What has come of the requests at instances that have left its table.
    leaving: Vec<(InstanceId, u64)>,
}

/// What it is told.
struct Telling {
    beats: bool,
    takes_changes: bool,
    /// What it served when it called.
    serves: Generation,
    /// The last table that it was given on this connection.
    sent: Option<Arc<RoutingTable>>,
    outbox: mpsc::UnboundedReceiver<ToGateway>,
}

impl<'a> Session<'a> {
    /// Makes this the gateway's live connection; otherwise what is wrong with the caller.
    fn register(shared: &'a Shared, hello: Hello, way: &Way) -> Result<Session<'a>, &'static str> {
        let mut state = shared.state();
        // It may have been forgotten, or invited anew, while the rest of its hello came.
        admit(&state, &shared.token, (&hello.gateway, &hello.token), way)?;
        if state.fenced.contains(&hello.boot) {
            return Err(GAVE_WAY);
        }
        let name = match hello.draining {
            true if !state.may_drain(&hello) => return Err(TOO_MANY),
            true => draining::name(&hello.gateway, hello.pid),
            false => hello.gateway.clone(),
        };
        // Two that were given one invitation would take the name from each other for ever.
        if state.is_late(&hello) {
            return Err("that has given way, and said so too late,");
        }
        let follows = |known: &Known| hello.predecessors.iter().any(|p| p.boot == known.state.boot);
        let is_other = |known: &Known| known.state.boot != hello.boot && !follows(known) && known.speaks();
        if matches!(way, Way::Invited(_)) && state.gateways.get(&name).is_some_and(is_other) {
            return Err(NAME_TAKEN);
        }
        state.refused.retain(|(name, _)| *name != hello.gateway);
        state.connections += 1;
        let connection = state.connections;
        let (sender, outbox) = mpsc::unbounded_channel();
        let replaced = shared.stopped.child_token();
        let (gateway, boot) = (hello.gateway.clone(), hello.boot.clone());
        let (takes_changes, reads) = (hello.takes_changes, hello.reads);
        let serves = hello.serves;
        let served_unheard = hello.serves.max(hello.serves_part) > Generation(0);
        // Another process of the name that came, and went, may have made a draining one of it, or the other way round.
        for (_, same) in state.gateways.extract_if(|entry, known| *entry != name && known.state.boot == boot) {
            same.replaced.cancel();
        }
        if !hello.draining {
            state.follow(&hello, &shared.machine);
        }
        let beats = hello.machine.is_some();
        let (pid, traffic, machine) = (hello.pid, hello.traffic, hello.machine.clone());
        // Not on it by its own name while it drains.
        state.roster.note(&name, |member| {
            member.last = Some(Start { boot: boot.clone(), pid, traffic, machine });
            member.lost = None;
        });
        let known = Known {
            state: GatewayState {
                name: name.clone(),
                boot: hello.boot,
                pid: hello.pid,
                traffic: hello.traffic,
                connected: true,
                // One that does not say where it runs is of before it could be anywhere else.
                here: hello.machine.is_none_or(|machine| machine == shared.machine),
                draining: hello.draining,
                program: hello.program.map(|program| program.chars().take(PROGRAM_CHARS).collect()),
                follows: None,
                ended: false,
                lost: None,
                acked: hello.serves,
                sent: Some(hello.serves.max(hello.serves_part)),
                lapsed: hello.lapsed,
                ejected: hello.ejected,
                leaving: None,
                without: Vec::new(),
                trouble: None,
                last_seen: now(),
            },
            heard: Instant::now(),
            beats,
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
        Ok(Session {
            with: With { shared, gateway, boot, connection, reads },
            hearing: Hearing { served_unheard, leaving: Vec::new() },
            telling: Telling { beats, takes_changes, serves, sent: None, outbox },
            replaced,
        })
    }

    async fn run<S>(mut self, lines: LineReader<ReadHalf<S>>, write: WriteHalf<S>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite,
    {
        // At the same time: it may say as much as it is told, and take nothing until that is heard.
        tokio::select! {
            biased;
            () = self.replaced.cancelled() => Ok(()),
            ended = self.telling.run(&self.with, write) => ended,
            ended = self.hearing.run(&self.with, lines) => ended,
        }
    }
}

impl Telling {
    async fn run(&mut self, with: &With<'_>, mut write: impl AsyncWrite + Unpin) -> io::Result<()> {
        if self.beats {
            let takes_reports = with.shared.api.is_some();
            let welcome = ToGateway::Welcome { machine: with.shared.machine.clone(), takes_reports };
            with.send(&mut write, &welcome).await?;
        }
        let mut tables = with.shared.table.subscribe();
        tables.mark_changed();
        loop {
            tokio::select! {
                // A renewal of a table's leases must not overtake the table.
                biased;
                changed = tables.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let table = tables.borrow_and_update().clone();
                    if let Some(table) = table {
                        let (table, without) = as_read(&table, with.reads);
                        with.note_sent(table.generation, without);
                        self.give(with, table, &mut write).await?;
                    }
                }
                message = self.outbox.recv() => match message {
                    Some(message) => with.send(&mut write, &message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Sends a table, of which only what differs from the one that was sent before it.
    async fn give(
        &mut self,
        with: &With<'_>,
        table: Arc<RoutingTable>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        if !self.takes_changes {
            return with.send(write, &ToGateway::Table(RoutingTable::clone(&table))).await;
        }
        // The link may have been cut by how long this table took, and would be again.
        if self.sent.is_none() && self.serves == table.generation {
            self.sent = Some(table.clone());
        }
        for part in TableChange::between(self.sent.as_deref(), &table).parts() {
            with.send(write, &ToGateway::Change(part)).await?;
        }
        self.sent = Some(table);
        Ok(())
    }
}

impl With<'_> {
    /// From now on the gateway may serve this table, without some instances of these lanes.
    fn note_sent(&self, generation: Generation, without: Vec<LaneId>) {
        self.note(|known| {
            known.state.sent = known.state.sent.max(Some(generation));
            known.state.without = without;
        });
    }

    /// Notes something of the gateway, unless another connection speaks for it by now.
    fn note(&self, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.shared.state().spoken_for(self.connection) {
            change(known);
        }
    }

    /// The newest table.
    fn table(&self) -> Option<Arc<RoutingTable>> {
        self.shared.table.borrow().clone()
    }

    async fn send(&self, write: &mut (impl AsyncWrite + Unpin), message: &ToGateway) -> io::Result<()> {
        for piece in wire::line(message)?.chunks(PIECE) {
            send(write, piece).await?;
            // It may have nothing to say meanwhile, but it takes what is sent.
            self.note(|known| known.heard = Instant::now());
        }
        Ok(())
    }
}

impl Hearing {
    async fn run<R: AsyncRead>(&mut self, with: &With<'_>, mut lines: LineReader<ReadHalf<R>>) -> io::Result<()> {
        while let Some(line) = lines.next().await? {
            self.take(with, &line);
        }
        Ok(())
    }

    /// Notes what a line says, unless another connection speaks for this gateway by now.
    fn take(&mut self, with: &With<'_>, line: &[u8]) {
        let message = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%error, gateway = with.gateway, "a line makes no sense: passed over"),
        };
        {
            let mut state = with.shared.state();
            let State { gateways, tally, events, .. } = &mut *state;
            let Some(known) = gateways.values_mut().find(|k| k.connection == with.connection) else { return };
            known.state.last_seen = now();
            known.heard = Instant::now();
            match message {
                FromGateway::Hello(_) | FromGateway::More { .. } | FromGateway::Report(_) => {}
                FromGateway::Here { beat } => {
                    // Where the other end of it has gone, so has this session.
                    let _ = known.outbox.send(ToGateway::Here { beat });
                    return;
                }
                FromGateway::Ack { generation } => acknowledge(&mut known.state, generation, with.table().as_deref()),
                FromGateway::Counts { rows } => {
                    let unheard = self.served_unheard;
                    // What comes in parts goes on until one is not full.
                    self.served_unheard &= rows.len() >= ROWS_IN_A_PART;
                    tally.report(&with.boot, rows, unheard);
                }
                FromGateway::Follows(mut follows) => {
                    for said in [&mut follows.program, &mut follows.boot] {
                        *said = said.chars().take(PROGRAM_CHARS).collect();
                    }
                    known.state.follows = Some(follows);
                }
                FromGateway::Trouble { trouble } => {
                    known.state.trouble = trouble.map(|trouble| trouble.chars().take(TROUBLE_CHARS).collect());
                }
                FromGateway::Leaving { in_flight, more } => {
                    self.leaving.extend(in_flight);
                    if !more {
                        known.state.leaving = Some(std::mem::take(&mut self.leaving));
                    }
                }
                FromGateway::Event(mut event) => {
                    explain(&mut event, with.table().as_deref(), with.reads);
                    note(&mut known.state, &event);
                    if events.len() >= EVENTS_KEPT {
                        events.pop_front();
                    }
                    events.push_back((known.state.name.clone(), event));
                }
                FromGateway::Predecessors { running } => state.hear(with.connection, &with.gateway, &running),
                FromGateway::Gone => _ = state.remove(|_, known| known.connection == with.connection),
            }
        }
        with.shared.note_change();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut state = self.with.shared.state();
        if let Some(known) = state.spoken_for(self.with.connection) {
            known.state.connected = false;
        }
        drop(state);
        self.with.shared.note_change();
    }
}

pub(super) async fn send(write: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> io::Result<()> {
    tokio::time::timeout(WRITE_LIMIT, write.write_all(line)).await?
}
