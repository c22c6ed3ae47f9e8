//! What a caller says first: who it is, or whose report it brings, and once it was let in, whatever that line had no room for.

use std::io;
use std::time::Duration;

use slipway_core::traffic::link::{FromGateway, Hello, Report};
use tokio::io::AsyncRead;

use crate::wire::LineReader;

/// A caller that has not said hello by then is hung up on, and one that was let in and has not said all of it by so much later.
pub(super) const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// Longest hello; a stranger shall not make us keep more.
pub(super) const HELLO_BYTES: usize = 1 << 20;
/// Lapses and ejections that a gateway begins with, at most.
const SAID_LIMIT: usize = 1 << 20;

/// Why somebody calls.
pub(super) enum Call {
    /// To be told what to serve.
    Hello(Box<Hello>),
    /// To hand in a report.
    Report(Report),
}

/// Who calls, and why.
pub(super) async fn first(lines: &mut LineReader<impl AsyncRead + Unpin>) -> io::Result<Call> {
    let line = tokio::time::timeout(HELLO_LIMIT, lines.next()).await??;
    match line.and_then(|line| serde_json::from_slice(&line).ok()) {
        Some(FromGateway::Hello(hello)) => Ok(Call::Hello(Box::new(hello))),
        Some(FromGateway::Report(report)) => Ok(Call::Report(report)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the caller said no hello")),
    }
}

/// What the hello of somebody who was let in had no room for.
pub(super) async fn rest(lines: &mut LineReader<impl AsyncRead + Unpin>, hello: &mut Hello) -> io::Result<()> {
    tokio::time::timeout(HELLO_LIMIT, parts(lines, hello)).await?
}

async fn parts(lines: &mut LineReader<impl AsyncRead + Unpin>, hello: &mut Hello) -> io::Result<()> {
    let makes_no_sense = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    while hello.more {
        let line = lines.next().await?;
        let Some(FromGateway::More { lapsed, ejected, more }) = line.and_then(|l| serde_json::from_slice(&l).ok())
        else {
            return Err(makes_no_sense("the rest of a hello is missing"));
        };
        hello.lapsed.extend(lapsed);
        hello.ejected.extend(ejected);
        if hello.lapsed.len() + hello.ejected.len() > SAID_LIMIT {
            return Err(makes_no_sense("a hello says too much"));
        }
        hello.more = more;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_hello_that_goes_on_and_on_is_hung_up_on() {
        let (mut caller, hub) = tokio::io::duplex(1 << 10);
        let said = async move {
            let more = "{\"type\":\"more\",\"lapsed\":[],\"ejected\":[],\"more\":true}\n";
            while caller.write_all(more.as_bytes()).await.is_ok() {
                tokio::time::sleep(HELLO_LIMIT / 4).await;
            }
        };
        let saying = tokio::spawn(said);
        let mut hello: Hello = serde_json::from_value(serde_json::json!({
            "token": "", "gateway": "gw", "boot": "b", "pid": 1, "traffic": "127.0.0.1:1", "serves": 0, "lapsed": [],
            "ejected": [], "more": true,
        }))
        .unwrap();
        let mut lines = LineReader::new(hub, HELLO_BYTES);
        let ended = tokio::time::timeout(HELLO_LIMIT * 20, rest(&mut lines, &mut hello)).await;
        assert_eq!(ended.expect("it may go on for ever").unwrap_err().kind(), io::ErrorKind::TimedOut);
        saying.abort();
    }
}
