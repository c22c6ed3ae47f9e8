//! `make try`: the main job on this machine, told as it goes. A good version goes out by canary, a bad one is taken
//! back by itself; a table tells what it cost. Exits with 1 where it did not go as it should.

mod story;
mod table;

use std::process::ExitCode;

use anyhow::ensure;
use slipway_e2e::{Options, Slipway};

use crate::story::{Told, say};

const USAGE: &str = "\
Shows Slipway's main job on this machine: a good release, and a bad one that is taken back.

Usage: make try [ARGS=--keep]

  --keep   leave everything running in the end, and print where it is
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        ["--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(keep).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThis did not go as it should: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(keep: bool) -> anyhow::Result<()> {
    say("Starting Slipway: a control plane, and a gateway that outlives it.");
    let slipway = Slipway::start(Options::default()).await?;
    say(&format!("  API http://{}   traffic {}   data {}", slipway.api, slipway.traffic_url(), slipway.data.display()));

    say(&format!(
        "  To watch it in a browser: http://{}/ with the token in {}",
        slipway.api,
        slipway.data.join("token").display()
    ));

    let told = tokio::select! {
        told = story::tell(&slipway) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("it was interrupted")),
    };
    match &told {
        Ok(told) => print!("\n{}", table::render(&told.releases)),
        Err(_) => eprint!("\nWhat the control plane said:\n{}", slipway.said()),
    }

    if keep && told.is_ok() {
        leave_running(slipway)?;
    } else {
        say("\nTaking everything down.");
        let down = slipway.down().await;
        if told.is_ok() {
            down?;
            say("Nothing is left running, and the folder is gone.");
        } else if let Err(error) = down {
            eprintln!("It did not go down by itself either, so it was killed: {error:#}");
        }
    }
    verdict(&told?)
}

fn leave_running(slipway: Slipway) -> anyhow::Result<()> {
    let program = slipway_e2e::program("slipway")?;
    say("\nEverything keeps running. To talk to it:\n");
    say(&format!("  export SLIPWAY_SERVER=http://{}", slipway.api));
    say(&format!("  export SLIPWAY_TOKEN=$(cat {})", slipway.data.join("token").display()));
    say(&format!("  curl -i -H 'Host: shop.local' {}", slipway.traffic_url()));
    for command in ["status", "history shop", "down"] {
        say(&format!("  {} {command}", program.display()));
    }
    say(&format!("\nAfter `down`, remove {}.", slipway.scratch().display()));
    slipway.keep();
    Ok(())
}

/// The story is a test as well.
fn verdict(told: &Told) -> anyhow::Result<()> {
    for release in &told.releases {
        let result = &release.result;
        ensure!(
            result.outcome == release.wanted,
            "{} {} in place of {}: {}",
            release.version,
            result.outcome,
            release.wanted,
            result.cause.as_deref().unwrap_or("no cause given")
        );
    }
    let by_slipway = told.report.failures.by_slipway;
    let first = told.report.first_failures.iter().find(|failure| failure.blame == slipway_load::Blame::Slipway);
    ensure!(by_slipway == 0, "{by_slipway} requests failed by Slipway's own doing; the first: {first:?}");
    Ok(())
}
