//! `slipway journal`.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use slipway_core::journal::Entry;

use crate::args::{Common, Journal, JournalCommand};
use crate::client::Client;
use crate::exit;
use crate::place::{Place, at};
use crate::render;

/// Shows or verifies the journal.
pub(crate) async fn run(common: &Common, journal: Journal) -> Result<u8> {
    let client = Client::find(common)?;
    match &journal.about {
        Some(JournalCommand::Verify) => return verify(common, &client).await,
        Some(JournalCommand::Accept { reason }) => return accept(common, &client, reason).await,
        None => {}
    }
    let mut entries: Vec<Entry> = client.get(&asking(&["journal"], &journal).asking("limit", journal.limit)).await?;
    entries.reverse();
    if !journal.follow {
        match common.json {
            true => outln!("{}", json!(entries)),
            false => entries.iter().for_each(|e| outln!("{}", render::entry(e))),
        }
        return Ok(exit::OK);
    }
    entries.iter().try_for_each(|e| show(common, e))?;
    follow(common, &client, &journal, entries.last().map_or(0, |e| e.seq)).await
}

/// A place where entries are, asked for those that are wanted.
fn asking(segments: &[&str], journal: &Journal) -> Place {
    at(segments).asking_if("service", journal.service.as_ref()).asking_if("rollout", journal.rollout.as_ref())
}

fn show(common: &Common, entry: &Entry) -> Result<()> {
    match common.json {
        true => outln!("{}", serde_json::to_string(entry)?),
        false => outln!("{}", render::entry(entry)),
    }
    Ok(())
}

/// Follows the events, and finds them again for a minute where the server is away.
async fn follow(common: &Common, client: &Client, journal: &Journal, mut after: u64) -> Result<u8> {
    let mut seen = Instant::now();
    loop {
        match client.stream(&asking(&["events"], journal).asking("after", after), Some(after)).await {
            Ok(mut stream) => {
                let mut rest = Vec::new();
                while let Ok(Some(chunk)) = stream.chunk().await {
                    rest.extend_from_slice(&chunk);
                    while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                        let event: Vec<u8> = rest.drain(..end + 2).collect();
                        let event = String::from_utf8_lossy(&event);
                        let data = event
                            .lines()
                            .filter_map(|l| l.strip_prefix("data:"))
                            .map(str::trim_start)
                            .collect::<String>();
                        if let Ok(entry) = serde_json::from_str::<Entry>(&data) {
                            after = entry.seq;
                            show(common, &entry)?;
                        }
                    }
                }
                // The minute of patience begins when the stream breaks.
                seen = Instant::now();
            }
            Err(failure) if seen.elapsed() > Duration::from_secs(60) => return Err(failure.into()),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn verify(common: &Common, client: &Client) -> Result<u8> {
    let found: Value = client.post(&at(&["journal", "verification"]), &json!({})).await?;
    Ok(said(common, &found))
}

async fn accept(common: &Common, client: &Client, reason: &str) -> Result<u8> {
    let found: Value = client.post(&at(&["journal", "acceptance"]), &json!({ "reason": reason })).await?;
    Ok(said(common, &found))
}

/// Tells what verification found.
fn said(common: &Common, found: &Value) -> u8 {
    let ok = found["ok"] == true;
    match (common.json, ok) {
        (true, _) => outln!("{found}"),
        (false, true) => {
            outln!("the journal is whole: {} entries, head {}", found["entries"], found["head"].as_str().unwrap_or(""))
        }
        (false, false) => outln!("the journal is broken: {}", found["error"].as_str().unwrap_or("")),
    }
    if ok { exit::OK } else { exit::INTERNAL }
}
