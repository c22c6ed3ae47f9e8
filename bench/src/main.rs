//! `make bench`: how fast Slipway goes back, how soon it notices, how soon it is there, what it needs when idle.
//!
//! Real processes on this machine, over loopback, in a fresh folder; nothing that it did not start is ended. Times are
//! the client's own, from outside, so that nothing of the way is left out.

mod back;
mod figures;
mod idle;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::figures::Row;

/// Longest that all of it may take.
const LIMIT: Duration = Duration::from_secs(230);

#[tokio::main]
async fn main() -> ExitCode {
    let run = tokio::time::timeout(LIMIT, run());
    match run.await.context("it takes too long").and_then(|rows| rows) {
        Ok(rows) => {
            print!("\n{}", figures::render(&rows));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("The benchmark did not come to its end: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<Vec<Row>> {
    let mut rows = back::measure().await?;
    rows.extend(idle::measure().await?);
    Ok(rows)
}
