//! The courier: a worker that takes jobs from a folder, to be released with Slipway and to be broken on purpose.
//! See its README for the variables.

#![forbid(unsafe_code)]

mod behaviour;
mod outcomes;
mod queue;

use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use behaviour::Behaviour;
use outcomes::Reporter;
use queue::Queue;

/// How often an idle courier looks for a parcel.
const IDLE: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let behaviour = match Behaviour::read() {
        Ok(behaviour) => behaviour,
        Err(error) => return told(&error),
    };
    if std::env::args().nth(1).is_some_and(|word| word == "healthy") {
        let sick = behaviour.unhealthy_file.is_some_and(|file| file.exists());
        return if sick { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    match work(behaviour).await {
        Ok(code) => code,
        Err(error) => told(&error),
    }
}

fn told(error: &anyhow::Error) -> ExitCode {
    eprintln!("courier: {error:#}");
    ExitCode::FAILURE
}

async fn work(behaviour: Behaviour) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!behaviour.exit_at_start, "this build cannot start");
    let stopping = Arc::new(AtomicBool::new(false));
    heed(&behaviour, stopping.clone())?;
    let queue = Queue::open(&behaviour)?;
    let reporter = Reporter::start(&behaviour);
    let (begun, mut taken) = (Instant::now(), 0u64);
    println!("courier {} works as {}", behaviour.version, behaviour.instance);
    while !stopping.load(Ordering::Relaxed) {
        queue.look_for_others()?;
        let Some(parcel) = queue.take()? else {
            tokio::time::sleep(IDLE).await;
            continue;
        };
        let due = behaviour.exit_after.is_some_and(|after| begun.elapsed() >= after);
        if due || behaviour.exit_file.as_ref().is_some_and(|file| file.exists()) {
            queue.put_back(&parcel)?;
            eprintln!("courier: out of memory");
            return Ok(ExitCode::from(3));
        }
        taken += 1;
        let delivered = deliver(&behaviour).await?;
        if !delivered {
            // It stays in `taken`: nobody delivered it.
            eprintln!("courier: the delivery of {parcel} was cut");
            continue;
        }
        queue.done(&parcel)?;
        let lost = (taken as f64 * behaviour.lose_share).floor() > ((taken - 1) as f64 * behaviour.lose_share).floor();
        reporter.iter().for_each(|reporter| reporter.parcel(&parcel, lost));
    }
    if let Some(reporter) = reporter {
        reporter.finish().await;
    }
    println!("courier {} ends after {taken} parcels", behaviour.version);
    Ok(ExitCode::SUCCESS)
}

/// Notes that it was asked to end, by whichever signal. The parcel at hand is finished first.
fn heed(behaviour: &Behaviour, stopping: Arc<AtomicBool>) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut asked = signal(kind).context("cannot listen to signals")?;
        let (stopping, heeds) = (stopping.clone(), !behaviour.ignore_sigterm);
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                stopping.fetch_or(heeds, Ordering::Relaxed);
            }
        });
    }
    Ok(())
}

/// Delivers a parcel; whether it arrived.
async fn deliver(behaviour: &Behaviour) -> anyhow::Result<bool> {
    if !behaviour.job_in_child {
        tokio::time::sleep(behaviour.job).await;
        return Ok(true);
    }
    let seconds = behaviour.job.as_secs_f64().to_string();
    let status = Command::new("sleep").arg(seconds).stdin(Stdio::null()).status().await;
    Ok(status.context("cannot start a child")?.success())
}
