//! The way back under load: asked for, and found out by itself.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use slipway_e2e::{Options, Slipway, build, declaration, until};
use slipway_load::{Load, LoadHandle};

use crate::figures::Row;

const RATE: f64 = 2_000.0;
const ROLLBACKS: usize = 50;
const BROKEN: usize = 10;
const COMMANDS: &str = "services/shop/environments/production";

/// The rows of the table.
pub async fn measure() -> anyhow::Result<Vec<Row>> {
    let slipway = Slipway::start(Options::default()).await?;
    declare(&slipway, "canary: { steps: [50%, 100%], verify: 1s, standby: 10m }")?;
    let good = build(slipway.scratch(), "good", &[])?;
    slipway.release("1.0.0", &good, "production", &[]).await?.expect(0)?;
    println!("{RATE} requests per second; {ROLLBACKS} rollbacks of a release that has half of them");
    let load = Load::start(slipway_load::Options {
        host: Some("shop.local".into()),
        rate: RATE,
        users: 2_000,
        connections: 64,
        ..slipway_load::Options::new(slipway.traffic_url())
    })?;
    until("stable has been seen at work", async || (load.snapshot().requests >= 2_000).then_some(())).await?;
    let asked = asked_for(&slipway).await?;
    println!("{BROKEN} releases that fail every request, by the default canary");
    declare(&slipway, "canary: { steps: [1%, 5%, 25%, 50%, 100%], verify: 1s, standby: 10m }")?;
    let noticed = noticed(&slipway, &load).await?;
    let report = load.stop().await;
    slipway.down().await?;

    let first = report.first_failures.iter().find(|f| f.blame == slipway_load::Blame::Slipway);
    if let Some(first) = first {
        println!("the first request that was lost: {first:?}");
    }
    let row = |what: &str, samples, limit| Row { what: what.into(), samples, unit: "ms", limit };
    let lost = report.failures.by_slipway as f64;
    let pace = report.requests as f64 * 1_000.0 / report.duration_ms.max(1) as f64;
    Ok(vec![
        row("rollback asked for → traffic switched, confirmed", asked, Some(50.0)),
        row("first failed request → last one sent to it", noticed, Some(500.0)),
        Row { what: format!("requests lost of {}", report.requests), samples: vec![lost], unit: "", limit: Some(0.0) },
        Row { what: "requests per second meanwhile".into(), samples: vec![pace], unit: "/s", limit: None },
        row("latency of requests meanwhile (p50)", vec![report.latency.p50_ms], None),
        row("latency of requests meanwhile (p99)", vec![report.latency.p99_ms], None),
    ])
}

/// The shop with this strategy, a health check that does not make anybody wait, and no smoke test of a page that
/// users see: what is measured is what happens when smoke tests did not find it.
fn declare(slipway: &Slipway, strategy: &str) -> anyhow::Result<()> {
    let text = declaration(&format!("production:\n  instances: 2\n  strategy:\n    {strategy}"));
    let text = text.replace("interval: 2s", "interval: 100ms");
    let unseen = |line: &&str| !line.contains("the user sees a cart") && !line.contains("path: /cart");
    let text: String = text.lines().filter(unseen).map(|line| format!("{line}\n")).collect();
    Ok(fs::write(slipway.scratch().join("slipway.yaml"), text)?)
}

/// From the request to the word that every gateway confirmed it, as the event stream tells.
async fn asked_for(slipway: &Slipway) -> anyhow::Result<Vec<f64>> {
    let folder = build(slipway.scratch(), "next", &[])?;
    let path = folder.to_string_lossy();
    let client = reqwest::Client::new();
    let token = slipway.token()?;
    let api = format!("http://{}/api/v1", slipway.api);
    let mut samples = Vec::new();
    for _ in 0..ROLLBACKS {
        let release = ["release", "-f", "slipway.yaml", "--version", "1.1.0", "--path", &path, "--env", "production"];
        slipway.cli(&[&release[..], &["--detach"]].concat()).await?.expect(0)?;
        until("it has half of the traffic", async || {
            let lane = lane(slipway).await.ok()?;
            let split = lane["split"].as_array()?;
            split.iter().any(|s| s["version"] == "1.1.0" && s["measured_bp"].as_u64() > Some(4_000)).then_some(())
        })
        .await?;
        let events = client.get(format!("{api}/events?kind=traffic")).bearer_auth(&token).send().await?;
        let mut events = events.error_for_status()?;
        let rollback = client.post(format!("{api}/{COMMANDS}/rollback")).bearer_auth(&token).json(&json!({}));
        let began = Instant::now();
        let asked = tokio::spawn(rollback.send());
        let mut heard = String::new();
        while !heard.contains("traffic.returned") {
            let chunk = tokio::time::timeout(Duration::from_secs(20), events.chunk()).await?;
            let chunk = chunk?.context("the event stream ended")?;
            heard += &String::from_utf8_lossy(&chunk);
        }
        samples.push(began.elapsed().as_secs_f64() * 1_000.0);
        asked.await??.error_for_status()?;
        closed(slipway).await?;
    }
    Ok(samples)
}

/// From the first failed request that a user saw to the last request that was sent to the version.
async fn noticed(slipway: &Slipway, load: &LoadHandle) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::new();
    for n in 0..BROKEN {
        let version = format!("2.0.{n}");
        let folder = build(slipway.scratch(), &version, &[("FAIL_RATE", "1")])?;
        slipway.release(&version, &folder, "production", &[]).await?.expect(10)?;
        closed(slipway).await?;
        let report = load.snapshot();
        let seen = report.versions.get(&version).context("nobody met it")?;
        let first = seen.first_failed_ms.context("it did not fail")?;
        ensure!(seen.last_sent_ms > 0, "nothing was sent to it");
        samples.push(seen.last_sent_ms.saturating_sub(first) as f64);
    }
    Ok(samples)
}

async fn lane(slipway: &Slipway) -> anyhow::Result<Value> {
    Ok(slipway.get("/services/shop").await?[0].take())
}

async fn closed(slipway: &Slipway) -> anyhow::Result<()> {
    until("the rollout is over", async || lane(slipway).await.ok()?["rollout"].is_null().then_some(())).await
}
