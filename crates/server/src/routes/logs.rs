//! What instances write.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

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
/// How often new instances are looked for.
const LIST: Duration = Duration::from_secs(1);

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
    let mut instances = app.control.logs(&service, version.as_ref()).await?;
    if instances.is_empty() && app.control.lanes_of_service(&service).await?.is_empty() {
        return Err(Problem::not_found(format!("no service {service} was ever released here")));
    }
    let (out, body) = mpsc::channel::<Result<Vec<u8>, std::convert::Infallible>>(16);
    tokio::spawn(async move {
        let mut tails: HashMap<String, Tail> = HashMap::new();
        let mut listed = Instant::now();
        loop {
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
                () = app.farewell.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if listed.elapsed() >= LIST {
                listed = Instant::now();
                match app.control.logs(&service, version.as_ref()).await {
                    Ok(found) => instances = found,
                    Err(error) => {
                        tracing::warn!(%error, "the instances cannot be listed; following those that are known")
                    }
                }
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

    /// Reads backwards until there are enough lines: the files may be large.
    async fn beginning(&mut self, instance: &LoggedInstance, lines: usize) -> Vec<u8> {
        let Some(newest) = instance.files.last() else { return Vec::new() };
        // One more line end than lines: the one before the first of them.
        let mut tail = backwards(newest, lines + 1).await;
        (self.inode, self.offset) = (inode(newest), tail.end);
        for older in instance.files.iter().rev().skip(1) {
            let missing = (lines + 1).saturating_sub(line_ends(&tail.bytes));
            if missing == 0 {
                break;
            }
            let mut before = backwards(older, missing).await.bytes;
            before.append(&mut tail.bytes);
            tail.bytes = before;
        }
        let ends: Vec<usize> =
            tail.bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        let skip = if ends.len() > lines { ends[ends.len() - lines - 1] } else { 0 };
        self.named(instance, tail.bytes.split_off(skip))
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

/// The end of a file.
struct End {
    bytes: Vec<u8>,
    /// The offset behind them.
    end: u64,
}

/// The end of a file with at least so many line ends, or all of it.
async fn backwards(file: &Path, wanted: usize) -> End {
    let mut found = End { bytes: Vec::new(), end: 0 };
    let Ok(mut open) = tokio::fs::File::open(file).await else { return found };
    let Ok(length) = open.metadata().await.map(|m| m.len()) else { return found };
    found.end = length;
    let mut start = length;
    while start > 0 && line_ends(&found.bytes) < wanted {
        let from = start.saturating_sub(CHUNK as u64);
        let mut chunk = vec![0; (start - from) as usize];
        let read = async {
            open.seek(std::io::SeekFrom::Start(from)).await?;
            open.read_exact(&mut chunk).await
        };
        if read.await.is_err() {
            break;
        }
        chunk.append(&mut found.bytes);
        found.bytes = chunk;
        start = from;
    }
    found
}

fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

fn inode(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).map_or(0, |m| m.ino())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    fn instance(files: &[PathBuf]) -> LoggedInstance {
        LoggedInstance { id: "shop-1".parse().unwrap(), version: "1.0.0".parse().unwrap(), files: files.to_vec() }
    }

    fn append(file: &Path, text: &str) {
        fs::OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
    }

    async fn more(tail: &mut Tail, files: &[PathBuf], lines: usize) -> Vec<String> {
        let bytes = tail.more(&instance(files), lines).await.concat();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|l| l.strip_prefix("shop-1 1.0.0 | ").expect("the name comes first").to_string()).collect()
    }

    #[tokio::test]
    async fn a_log_is_followed_over_its_rotation_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("out.log"), folder.path().join("out.log.1"));
        append(&old, "one\ntwo\n");
        append(&new, "three\nfour\nfi");
        let mut tail = Tail::default();
        assert_eq!(more(&mut tail, &[old.clone(), new.clone()], 3).await, ["two", "three", "four"]);
        append(&new, "ve\nsix\n");
        assert_eq!(more(&mut tail, &[old.clone(), new.clone()], 3).await, ["five", "six"]);
        append(&new, "seven\n");
        fs::rename(&new, &old).unwrap();
        append(&new, "eight\n");
        assert_eq!(more(&mut tail, &[old.clone(), new.clone()], 3).await, ["seven", "eight"], "nothing is lost");
        assert!(more(&mut tail, &[old, new], 3).await.is_empty());
    }

    #[tokio::test]
    async fn the_last_lines_of_a_large_log_are_read_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.log");
        let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        append(&file, &text);
        assert!(text.len() > 3 * CHUNK);
        let wanted: Vec<String> = (30_000..50_000).map(|n| format!("line {n}")).collect();
        assert_eq!(more(&mut Tail::default(), std::slice::from_ref(&file), 20_000).await, wanted);
        assert_eq!(more(&mut Tail::default(), std::slice::from_ref(&file), 100_000).await.len(), 50_000);
        assert!(more(&mut Tail::default(), std::slice::from_ref(&file), 0).await.is_empty());
        assert!(more(&mut Tail::default(), &[], 5).await.is_empty());
    }
}
