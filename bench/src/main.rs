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

/// Longest that one part may take.
const LIMIT: Duration = Duration::from_secs(300);

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
    let mut rows = Vec::new();
    let came_of = run(arguments.first().map(String::as_str), &mut rows).await;
    print!("\n{}", figures::render(&rows));
    match came_of {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The benchmark did not come to its end: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All of it, or the part that is named: `back`, `idle` or `console`. (The part `judge` is simulated and needs none of
/// this: `scripts/bench` runs it by itself.) What was measured before something failed stays.
async fn run(only: Option<&str>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    if wanted("back") {
        rows.extend(within(back::measure()).await?);
    }
    if wanted("idle") {
        rows.extend(within(idle::measure()).await?);
    }
    if wanted("console") {
        rows.extend(within(console::measure()).await?);
    }
    anyhow::ensure!(!rows.is_empty(), "there is no part {}: judge, back, idle or console", only.unwrap_or_default());
    Ok(())
}

async fn within(part: impl Future<Output = anyhow::Result<Vec<Row>>>) -> anyhow::Result<Vec<Row>> {
    tokio::time::timeout(LIMIT, part).await.context("it takes too long").flatten()
}
