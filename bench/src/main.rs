//! `make bench`: how fast Slipway goes back, how soon it notices, how soon it is there, what it needs when idle.
//!
//! Real processes on this machine, over loopback, in a fresh folder; nothing that it did not start is ended. Times are
//! the client's own, from outside, so that nothing of the way is left out.

mod back;
mod console;
mod figures;
mod idle;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::figures::Row;

/// Longest that all of it may take.
const LIMIT: Duration = Duration::from_secs(400);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, services, moving] = arguments.as_slice()
        && role == "--crowd"
    {
        let (services, moving) = (services.parse().unwrap_or(1), moving.parse().unwrap_or(1));
        return match console::crowd::serve(services, moving).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the crowd did not come: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let run = tokio::time::timeout(LIMIT, run(arguments.first().map(String::as_str)));
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

/// All of it, or the part that is named: `back`, `idle` or `console`.
async fn run(only: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let mut rows = Vec::new();
    if wanted("back") {
        rows.extend(back::measure().await?);
    }
    if wanted("idle") {
        rows.extend(idle::measure().await?);
    }
    if wanted("console") {
        rows.extend(console::measure().await?);
    }
    anyhow::ensure!(!rows.is_empty(), "there is no part {}: back, idle or console", only.unwrap_or_default());
    Ok(rows)
}
