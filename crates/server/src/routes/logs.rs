//! What instances write.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use slipway_control::views::LoggedInstance;
use slipway_core::names::{ServiceName, VersionName};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::body::Asked;
use crate::problem::Problem;
use crate::state::App;

/// Bytes of each file that are read at a time.
const CHUNK: usize = 64 << 10;
/// How often files are looked at for more.
const LOOK: Duration = Duration::from_millis(200);

/// Whose logs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    /// The service.
    service: String,
    /// Only of this version.
    version: Option<String>,
    /// Goes on as more is written.
    #[serde(default)]
    follow: bool,
    /// At most so many lines of each instance from before; 200 if absent.
    lines: Option<usize>,
}

/// What the instances of a service wrote, each line after the name of its instance.
#[utoipa::path(get, path = "/api/v1/logs", tag = "services", params(LogsQuery),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn read(State(app): State<App>, Asked(query): Asked<LogsQuery>) -> Result<Response, Problem> {
    let service: ServiceName = query.service.parse()?;
    let version = query.version.map(|v| v.parse::<VersionName>()).transpose()?;
    let lines = query.lines.unwrap_or(200).min(100_000);
    let (out, body) = mpsc::channel::<Result<Vec<u8>, std::convert::Infallible>>(16);
    tokio::spawn(async move {
        let mut tails: HashMap<String, Tail> = HashMap::new();
        loop {
            let Ok(instances) = app.control.logs(&service, version.as_ref()).await else { return };
            for instance in &instances {
                let tail = tails.entry(instance.id.to_string()).or_default();
                for text in tail.more(instance, lines).await {
                    if out.send(Ok(text)).await.is_err() {
                        return;
                    }
                }
            }
            if !query.follow {
                return;
            }
            tokio::select! {
                () = out.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    let body = Body::from_stream(ReceiverStream::new(body));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// How far an instance's log has been read.
#[derive(Default)]
struct Tail {
    started: bool,
    /// The file that was read last, told apart from its successors by its inode.
    inode: u64,
    offset: u64,
    rest: Vec<u8>,
}

impl Tail {
    /// What was written since the last look; at first, the last `lines` lines.
    async fn more(&mut self, instance: &LoggedInstance, lines: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        if !self.started {
            self.started = true;
            found.push(self.beginning(instance, lines).await);
            return found;
        }
        // Rotation gives the file that was being read another name; what was left in it comes first.
        let start = instance
            .files
            .iter()
            .position(|f| inode(f) == self.inode)
            .unwrap_or(instance.files.len().saturating_sub(1));
        for file in &instance.files[start..] {
            if inode(file) != self.inode {
                (self.inode, self.offset) = (inode(file), 0);
            }
            let bytes = self.read_on(file).await;
            if !bytes.is_empty() {
                found.push(self.named(instance, bytes));
            }
        }
        found
    }

    async fn beginning(&mut self, instance: &LoggedInstance, lines: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for file in &instance.files {
            (self.inode, self.offset) = (inode(file), 0);
            bytes.extend(self.read_on(file).await);
        }
        let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        let skip = if ends.len() > lines { ends[ends.len() - lines - 1] } else { 0 };
        self.named(instance, bytes.split_off(skip))
    }

    async fn read_on(&mut self, file: &Path) -> Vec<u8> {
        let mut all = Vec::new();
        let Ok(mut open) = tokio::fs::File::open(file).await else { return all };
        if open.seek(std::io::SeekFrom::Start(self.offset)).await.is_err() {
            return all;
        }
        let mut chunk = vec![0; CHUNK];
        while let Ok(n) = open.read(&mut chunk).await {
            if n == 0 {
                break;
            }
            self.offset += n as u64;
            all.extend_from_slice(&chunk[..n]);
        }
        all
    }

    /// Whole lines after the instance's name; an unfinished one waits for its end.
    fn named(&mut self, instance: &LoggedInstance, bytes: Vec<u8>) -> Vec<u8> {
        self.rest.extend(bytes);
        let end = self.rest.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let mut text = Vec::with_capacity(whole.len() * 2);
        for line in whole.split_inclusive(|b| *b == b'\n') {
            text.extend_from_slice(format!("{} {} | ", instance.id, instance.version).as_bytes());
            text.extend_from_slice(line);
        }
        text
    }
}

fn inode(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).map_or(0, |m| m.ino())
}
