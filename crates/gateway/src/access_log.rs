//! One line of JSON for each request, where somebody asked for it. A slow disk never slows a request: what cannot be
//! written in time is left out, and the log says how many lines were.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::header::{HOST, REFERER, USER_AGENT};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;

use slipway_core::names::{InstanceId, LaneId, VersionName};
use slipway_core::traffic::FaultKind;
use slipway_core::units::Timestamp;

/// Lines that wait to be written, at most.
const WAITING: usize = 16_384;

/// Written at once where there is so much, in bytes. Whole lines always: after an upgrade two processes write to one file.
const PIECE: usize = 8 << 10;

/// Where lines go.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    lines: SyncSender<Line>,
    left_out: Arc<AtomicU64>,
}

/// What the writing thread is told.
#[derive(Debug)]
enum Line {
    Write(Box<Record>),
    /// Say so when everything before this is written.
    Flush(std::sync::mpsc::Sender<()>),
}

/// A line that is written when the request's answer has ended.
#[derive(Debug)]
pub(crate) struct Pending {
    log: AccessLog,
    started: Instant,
    record: Record,
}

#[derive(Debug, Default, Clone, Serialize)]
struct Record {
    time: String,
    client: String,
    method: String,
    host: String,
    target: String,
    status: u16,
    bytes: u64,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    attempts: u32,
    /// The fault that was injected on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    injected: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl AccessLog {
    /// Appends to the file.
    pub(crate) fn open(path: &Path) -> io::Result<AccessLog> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let (lines, waiting) = sync_channel(WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        let counter = left_out.clone();
        std::thread::Builder::new().name("access-log".into()).spawn(move || write(file, waiting, &counter))?;
        Ok(AccessLog { lines, left_out })
    }

    /// Blocks until everything so far is in the file, a second at most.
    pub(crate) fn flush(&self) {
        let (done, written) = std::sync::mpsc::channel();
        if self.lines.send(Line::Flush(done)).is_ok() {
            // A disk that takes longer loses the last lines.
            let _ = written.recv_timeout(Duration::from_secs(1));
        }
    }

    /// A request has come.
    pub(crate) fn begin(&self, client: SocketAddr, request: &Request<Incoming>) -> Pending {
        let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
        let record = Record {
            time: now().to_string(),
            client: client.ip().to_canonical().to_string(),
            method: request.method().to_string(),
            host: header(HOST.as_str())
                .or_else(|| request.uri().authority().map(ToString::to_string))
                .unwrap_or_default(),
            target: request.uri().to_string(),
            user_agent: header(USER_AGENT.as_str()),
            referer: header(REFERER.as_str()),
            traceparent: header("traceparent"),
            ..Record::default()
        };
        Pending { log: self.clone(), started: Instant::now(), record }
    }
}

impl Pending {
    /// Which version it went to last, and which instance, unless a fault kept it from going to any.
    pub(crate) fn went_to(
        &mut self,
        lane: &LaneId,
        version: &VersionName,
        instance: Option<&InstanceId>,
        attempts: u32,
    ) {
        self.record.service = Some(lane.service.to_string());
        self.record.environment = Some(lane.environment.to_string());
        self.record.version = Some(version.to_string());
        self.record.instance = instance.map(ToString::to_string);
        self.record.attempts = attempts;
    }

    /// A fault was injected.
    pub(crate) fn injected(&mut self, what: FaultKind) {
        self.record.injected = Some(what.word());
    }

    /// The answer's head.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.record.status = status.as_u16();
    }

    /// A part of the answer's body.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.record.bytes += bytes;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.record.duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if self.log.lines.try_send(Line::Write(Box::new(std::mem::take(&mut self.record)))).is_err() {
            self.log.left_out.fetch_add(1, Relaxed);
        }
    }
}

fn write(mut file: File, waiting: Receiver<Line>, left_out: &AtomicU64) {
    let mut out = Vec::new();
    while let Ok(first) = waiting.recv() {
        let (mut written, mut flushed) = (Ok(()), Vec::new());
        for next in std::iter::once(first).chain(waiting.try_iter()) {
            match next {
                Line::Write(record) => {
                    written = written.and_then(|()| line(&mut out, &record));
                    if out.len() >= PIECE {
                        written = written.and_then(|()| file.write_all(&out));
                        out.clear();
                    }
                }
                Line::Flush(done) => flushed.push(done),
            }
        }
        let missing = left_out.swap(0, Relaxed);
        if missing > 0 {
            written = written.and_then(|()| writeln!(out, "{{\"left_out\":{missing}}}"));
        }
        if let Err(error) = written.and_then(|()| file.write_all(&out)) {
            tracing::warn!(%error, "the access log cannot be written");
        }
        out.clear();
        // Whoever asked may have stopped waiting.
        flushed.into_iter().for_each(|done| _ = done.send(()));
    }
}

fn line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.write_all(b"\n")
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
