//! `slipway logs`.

use std::io::Write;

use anyhow::Result;

use crate::args::Common;
use crate::client::Client;
use crate::exit;
use crate::place::at;

/// Shows what instances wrote. With `--json`, one object for each line.
pub(crate) async fn run(
    common: &Common,
    service: &str,
    version: Option<&str>,
    follow: bool,
    lines: usize,
) -> Result<u8> {
    let client = Client::find(common)?;
    let place = at(&["logs"]).asking("service", service).asking("lines", lines).asking("follow", follow);
    let mut body = client.stream(&place.asking_if("version", version), None).await?;
    let mut out = std::io::stdout();
    let mut rest = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        rest.extend_from_slice(&chunk);
        let end = rest.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let whole: Vec<u8> = rest.drain(..end).collect();
        let written = match common.json {
            true => as_json(&whole),
            false => whole,
        };
        if out.write_all(&written).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(exit::OK)
}

fn as_json(lines: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(lines);
    let object = |line: &str| {
        let (who, text) = line.split_once(" | ").unwrap_or(("", line));
        let (instance, version) = who.split_once(' ').unwrap_or((who, ""));
        format!("{}\n", serde_json::json!({ "instance": instance, "version": version, "line": text }))
    };
    text.lines().map(object).collect::<String>().into_bytes()
}
