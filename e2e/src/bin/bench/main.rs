//! How fast: the numbers of the main job, measured on the real program in one bounded run over loopback.
//!
//! Prints medians and 99th percentiles. Machines are noisy: the numbers are for reading, nothing is asserted.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use slipway_e2e::{Options, Slipway, build, until};
use slipway_load::{Load, LoadHandle};

const RATE: f64 = 2_000.0;
const ROLLBACKS: usize = 50;
const BROKEN: usize = 5;
const STARTS: usize = 20;
const PRODUCTION: &str = "production: { instances: 2, strategy: { canary: { steps: [20%, 100%], verify: 1s } } }";

#[tokio::main]
async fn main() -> Result<()> {
    let mut slipway = Slipway::start(Options::default()).await?;
    slipway.declare(PRODUCTION)?;
    let good = build(slipway.scratch(), "good", &[])?;
    slipway.release("1.0.0", &good, "production", &[]).await?.expect(0)?;
    let load = Load::start(slipway_load::Options {
        host: Some("shop.local".into()),
        rate: RATE,
        users: 20_000,
        connections: 64,
        ..slipway_load::Options::new(slipway.traffic_url())
    })?;
    until("answers come", async || (load.snapshot().requests > 2_000).then_some(())).await?;

    let (engine, command) = rollbacks(&slipway).await?;
    row("decision to go back, to traffic switched and confirmed", &engine);
    row("`slipway abort`, to traffic switched and confirmed, with the command's own start", &command);
    row("first failing request of a broken candidate, to its last request", &broken(&slipway, &load).await?);
    let report = load.stop().await;
    println!(
        "requests in all {}, at {RATE} per second; failed by the service {}, by Slipway {}",
        report.requests, report.failures.by_service, report.failures.by_slipway
    );
    row("`slipway up` on existing data, to ready", &starts(&mut slipway).await?);
    slipway.down().await
}

/// Takes healthy canaries back in the middle of a step. Times in milliseconds: the engine's own, and the command's.
async fn rollbacks(slipway: &Slipway) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut engine, mut command) = (Vec::new(), Vec::new());
    for i in 0..ROLLBACKS {
        let version = format!("1.1.{i}");
        let id = begin(slipway, &version, &build(slipway.scratch(), "good", &[])?).await?;
        until("the split is served", async || {
            let now = slipway.get(&format!("/rollouts/{id}")).await.ok()?;
            now["steps"].as_array()?.iter().any(|s| s["name"] == "20%" && s["state"] == "waiting").then_some(())
        })
        .await?;
        let begun = Instant::now();
        slipway.cli(&["abort", "shop", "--env", "production"]).await?.expect(0)?;
        let end = ended(slipway, &id).await?;
        command.push(begun.elapsed().as_secs_f64() * 1000.0);
        engine.push(end["rollback_ms"].as_f64().context("a time")?);
    }
    Ok((engine, command))
}

async fn broken(slipway: &Slipway, load: &LoadHandle) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for i in 0..BROKEN {
        let version = format!("2.0.{i}");
        let folder = build(slipway.scratch(), &format!("broken-{i}"), &[("FAIL_RATE", "1")])?;
        let id = begin(slipway, &version, &folder).await?;
        ended(slipway, &id).await?;
        let report = load.snapshot();
        let seen = report.versions.get(&version).context("the broken version was met")?;
        let first = seen.first_failed_ms.context("it failed")?;
        times.push(seen.last_sent_ms.saturating_sub(first) as f64);
    }
    Ok(times)
}

async fn begin(slipway: &Slipway, version: &str, build: &std::path::Path) -> Result<String> {
    let asked = slipway.release(version, build, "production", &["--detach"]).await?.expect(0)?.json()?;
    Ok(asked["rollout"].as_str().context("an id")?.to_string())
}

async fn ended(slipway: &Slipway, id: &str) -> Result<Value> {
    until("the rollout ends", async || {
        let now = slipway.get(&format!("/rollouts/{id}")).await.ok()?;
        now["outcome"].is_string().then_some(now)
    })
    .await
}

async fn starts(slipway: &mut Slipway) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        slipway.kill_control_plane().await?;
        let begun = Instant::now();
        slipway.restart().await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        // The next kill shall meet a control plane that has begun to work.
        until("it answers", async || slipway.get("/services").await.ok()).await?;
    }
    Ok(times)
}

fn row(what: &str, times: &[f64]) {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at =
        |share: f64| sorted.get(((sorted.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f64::NAN);
    println!("{what}: n {}, median {:.1} ms, p99 {:.1} ms, max {:.1} ms", sorted.len(), at(0.5), at(0.99), at(1.0));
}
