//! `make bench`: how fast Slipway goes back, how soon it notices, how soon it is there, what it needs when idle,
//! and when it knows thousands of services.
//!
//! Real processes on this machine, over loopback, in a fresh folder; nothing that it did not start is ended. Times are
//! the client's own, from outside, so that nothing of the way is left out.

mod back;
mod console;
mod figures;
mod idle;
mod proxies;
mod scale;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::figures::Row;

/// Longest that one part may take.
const LIMIT: Duration = Duration::from_secs(600);
/// The same where thousands of services have to be there first.
const SCALE_LIMIT: Duration = Duration::from_secs(3_600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // An instance that is to cost next to nothing has a loop of its own.
    if let [role, socket] = &arguments[..]
        && role == "--origin"
    {
        return told(proxies::origin::serve(Path::new(socket)), "An instance ended");
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run_as(&arguments)),
        Err(error) => told(Err(error.into()), "The benchmark cannot begin"),
    }
}

async fn run_as(arguments: &[String]) -> ExitCode {
    if let [role, services, moving] = arguments
        && role.starts_with("--")
    {
        let (services, moving) = (services.parse().unwrap_or(1), moving.parse().unwrap_or(1));
        let served = match role.as_str() {
            "--scale" => scale::serve(services, moving).await,
            _ => console::crowd::serve(services, moving).await,
        };
        return told(served, "The crowd did not come");
    }
    let mut rows = Vec::new();
    let count = arguments.get(1).and_then(|rounds| rounds.parse().ok());
    let came_of = run(arguments.first().map(String::as_str), count, &mut rows).await;
    if !rows.is_empty() {
        print!("\n{}", figures::render(&rows));
    }
    let came_of = came_of.map(|beside| print!("\n{beside}"));
    told(came_of, "The benchmark did not come to its end")
}

fn told(came_of: anyhow::Result<()>, otherwise: &str) -> ExitCode {
    match came_of {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{otherwise}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All of it, or the part that is named: `back`, `idle`, `console`, `scale` or `proxies`, whose rounds may be given. (The part
/// `judge` is simulated and needs none of this: `scripts/bench` runs it by itself.) What was measured before something
/// failed stays. The table of `proxies` has a form of its own, which is returned.
async fn run(only: Option<&str>, rounds: Option<usize>, rows: &mut Vec<Row>) -> anyhow::Result<String> {
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
    if wanted("scale") {
        rows.extend(tokio::time::timeout(SCALE_LIMIT, scale::measure()).await.context("it takes too long").flatten()?);
    }
    if wanted("proxies") {
        return tokio::time::timeout(LIMIT, proxies::measure(rounds)).await.context("it takes too long").flatten();
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "there is no part {}: judge, back, idle, console, scale or proxies",
        only.unwrap_or_default()
    );
    Ok(String::new())
}

async fn within(part: impl Future<Output = anyhow::Result<Vec<Row>>>) -> anyhow::Result<Vec<Row>> {
    tokio::time::timeout(LIMIT, part).await.context("it takes too long").flatten()
}
