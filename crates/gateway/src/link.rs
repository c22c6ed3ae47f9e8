//! The gateway's end of the control link: it calls, says what it serves, takes tables and renewals, reports counts.
//!
//! The data plane never waits for it. When the control plane is away it is called again ten times a second, for ever.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use slipway_core::traffic::link::{Event, FromGateway, Hello, LINE_LIMIT, ToGateway};
use slipway_core::traffic::{RoutingTable, TableChange};

use crate::gateway::Gateway;
use crate::report::Reporter;
use crate::wire::{self, LineReader};

/// Pause between two calls.
const RETRY: Duration = Duration::from_millis(100);
/// A control plane that takes nothing for this long is called anew.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Where the control plane listens and what it wants to hear, as it wrote it at its start.
#[derive(Deserialize)]
struct Control {
    address: SocketAddr,
    token: String,
    /// Where its API listens.
    #[serde(default)]
    api: Option<SocketAddr>,
    /// Which start of a control plane it is; 0 where it did not say.
    #[serde(default)]
    start: u64,
}

impl Control {
    async fn read(file: &Path) -> io::Result<Control> {
        Ok(serde_json::from_slice(&tokio::fs::read(file).await?)?)
    }
}

/// Keeps the link up until the gateway ends.
pub(crate) async fn run(gateway: Arc<Gateway>, control_file: &Path, traffic: SocketAddr) {
    let (mut told_why, mut newest) = (String::new(), 0);
    loop {
        let ended = tokio::select! {
            () = gateway.ended.cancelled() => return,
            ended = call(&gateway, control_file, traffic, &mut newest) => ended,
        };
        let why = ended.err().map_or_else(|| "it closed the link".to_string(), |e| e.to_string());
        if why != told_why {
            tracing::info!(why, "not connected to the control plane; serving on");
            told_why = why;
        }
        let jitter = Duration::from_millis(rand::random_range(0..20));
        tokio::time::sleep(RETRY + jitter).await;
    }
}

async fn call(gateway: &Arc<Gateway>, control_file: &Path, traffic: SocketAddr, newest: &mut u64) -> io::Result<()> {
    let control = Control::read(control_file).await?;
    if control.start < *newest {
        // Written by one that stood still while another took over.
        return Err(io::Error::other(format!("it is of start {}; {newest} has driven since", control.start)));
    }
    *newest = control.start;
    let start = control.start;
    *gateway.api.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = control.api;
    let stream = TcpStream::connect(control.address).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let hello = Hello {
        token: control.token,
        gateway: gateway.name.clone(),
        boot: gateway.boot.clone(),
        pid: std::process::id(),
        traffic,
        serves: gateway.served().generation(),
        lapsed: gateway.lapses().await,
        ejected: gateway.ejections(),
        takes_changes: true,
    };
    send(&mut write, &FromGateway::Hello(hello)).await?;
    for event in losses(gateway) {
        send(&mut write, &FromGateway::Event(event)).await?;
    }
    let mut reporter = Reporter::new();
    send(&mut write, &FromGateway::Leaving { in_flight: reporter.note_leaving(gateway.leaving()) }).await?;
    tokio::select! {
        ended = converse(gateway, LineReader::new(read, LINE_LIMIT), write, reporter) => ended,
        () = overtaken(control_file, start) => Err(io::Error::other("another control plane has taken over")),
    }
}

/// Returns when a later control plane wants to be called: the one at hand may only stand still, and would be listened to
/// when it wakes up.
async fn overtaken(control_file: &Path, start: u64) {
    loop {
        tokio::time::sleep(RETRY).await;
        if Control::read(control_file).await.is_ok_and(|control| control.start > start) {
            return;
        }
    }
}

async fn converse(
    gateway: &Arc<Gateway>,
    mut lines: LineReader<tokio::net::tcp::OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    mut reporter: Reporter,
) -> io::Result<()> {
    let mut parts = None;
    loop {
        tokio::select! {
            biased;
            line = lines.next() => match line? {
                Some(line) => take(gateway, &line, &mut parts, &mut write, &mut reporter).await?,
                None => return Ok(()),
            },
            () = gateway.events.more() => {
                for event in gateway.events.take() {
                    send(&mut write, &FromGateway::Event(event)).await?;
                }
            }
            () = reporter.due(&gateway.counts) => report(gateway, &mut reporter, &mut write).await?,
            () = gateway.running.wait() => {
                // Everything has ended: what is counted now is final.
                report(gateway, &mut reporter, &mut write).await?;
                write.shutdown().await?;
                gateway.told_all.cancel();
                return Ok(());
            }
        }
    }
}

async fn report(gateway: &Gateway, reporter: &mut Reporter, write: &mut OwnedWriteHalf) -> io::Result<()> {
    if let Some(in_flight) = reporter.leaving(gateway.leaving()) {
        send(write, &FromGateway::Leaving { in_flight }).await?;
    }
    let rows = reporter.rows(&gateway.counts);
    if rows.is_empty() { Ok(()) } else { send(write, &FromGateway::Counts { rows }).await }
}

/// Does what a line says. One that makes no sense is passed over: it may come from a newer control plane.
async fn take(
    gateway: &Arc<Gateway>,
    line: &[u8],
    parts: &mut Option<TableChange>,
    write: &mut OwnedWriteHalf,
    reporter: &mut Reporter,
) -> io::Result<()> {
    match serde_json::from_slice(line) {
        Ok(ToGateway::Table(table)) => serve(gateway, table, write, reporter).await?,
        Ok(ToGateway::Change(change)) => {
            if let Some(change) = whole(parts, change)? {
                let Some(table) = gateway.changed(change).await else {
                    return Err(io::Error::other("it changes a routing table that is not served here"));
                };
                serve(gateway, table, write, reporter).await?;
            }
        }
        Ok(ToGateway::Renew { generation, term }) => gateway.renew(generation, term.as_duration()).await,
        Ok(ToGateway::Shutdown { drain }) => gateway.close(drain.as_duration()),
        Err(error) => tracing::warn!(%error, "a line of the control plane makes no sense: passed over"),
    }
    Ok(())
}

/// A change once its last part is here.
fn whole(parts: &mut Option<TableChange>, part: TableChange) -> io::Result<Option<TableChange>> {
    // One that made no sense was passed over: what follows it must not be taken for all that there is.
    let torn = || io::Error::new(io::ErrorKind::InvalidData, "the parts of a routing table do not fit together");
    let change = match parts.take() {
        None if part.part > 0 => return Err(torn()),
        None => part,
        Some(mut begun) => {
            if !begun.join(part) {
                return Err(torn());
            }
            begun
        }
    };
    if change.more {
        *parts = Some(change);
        return Ok(None);
    }
    Ok(Some(change))
}

/// Serves a table, and says so.
async fn serve(
    gateway: &Arc<Gateway>,
    table: RoutingTable,
    write: &mut OwnedWriteHalf,
    reporter: &mut Reporter,
) -> io::Result<()> {
    if let Some(generation) = gateway.apply(table).await {
        // In this order: whoever hears the acknowledgement knows what is still running.
        send(write, &FromGateway::Leaving { in_flight: reporter.note_leaving(gateway.leaving()) }).await?;
        send(write, &FromGateway::Ack { generation }).await?;
        gateway.in_step.send_replace(true);
    }
    Ok(())
}

/// Candidates that are lost already, for a control plane that may not have heard of it.
fn losses(gateway: &Gateway) -> Vec<Event> {
    let served = gateway.served();
    let versions = served.routes.iter().flat_map(|route| route.versions.iter().map(move |version| (route, version)));
    let lost = versions.filter(|(_, version)| version.lost.load(std::sync::atomic::Ordering::Acquire));
    lost.map(|(route, version)| Event::CandidateLost {
        lane: route.lane.clone(),
        version: version.name.clone(),
        epoch: route.route.epoch,
        why: "its last instance was lost earlier".into(),
    })
    .collect()
}

async fn send(write: &mut OwnedWriteHalf, message: &FromGateway) -> io::Result<()> {
    let line = wire::line(message)?;
    tokio::time::timeout(WRITE_LIMIT, write.write_all(&line)).await?
}
