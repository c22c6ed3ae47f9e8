//! What happens, in order, and what is said of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use slipway_e2e::{Slipway, build, until};
use slipway_load::{Load, LoadHandle, Options, Report};

const HOST: &str = "shop.local";
const RATE: f64 = 300.0;
const USERS: u32 = 3_000;
/// The judge's defaults throughout; only the last look is shorter than anyone would have it in earnest.
const PRODUCTION: &str = "\
production:
  instances: 2
  strategy:
    canary: { steps: [1%, 5%, 25%, 50%, 100%], verify: 10s, standby: 10m }";
/// Answers that stable has given before anything is compared with it.
const WARM: u64 = 1500;

/// The story when it is over.
pub struct Told {
    /// In order.
    pub releases: Vec<Release>,
    /// What the users saw of all of it.
    pub report: Report,
}

/// One release of the story.
pub struct Release {
    /// Its version.
    pub version: &'static str,
    /// The outcome that it should have.
    pub wanted: &'static str,
    /// What `release --json` said.
    pub result: Outcome,
    /// The sentence of the judgement that decided.
    pub why: String,
    /// Users who got an answer of it while it was going out.
    pub users: u64,
    /// Requests that failed meanwhile by the service's doing.
    pub failed_by_service: u64,
    /// Requests that failed meanwhile by Slipway's doing.
    pub failed_by_slipway: u64,
}

/// The object that `release --json` ends with, as far as it is told here.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    /// The rollout's id.
    pub rollout: String,
    /// How it ended.
    pub outcome: String,
    /// Why, where there is something to say.
    pub cause: Option<String>,
    /// Milliseconds spent bringing it out, waits left out.
    pub deploy_ms: Option<u64>,
    /// Milliseconds spent taking it back.
    pub rollback_ms: Option<u64>,
}

/// One thing to release.
struct Chapter {
    version: &'static str,
    behaviour: &'static [(&'static str, &'static str)],
    wanted: &'static str,
    code: i32,
}

const FIRST: Chapter = Chapter { version: "1.0.0", behaviour: &[], wanted: "succeeded", code: 0 };
const GOOD: Chapter = Chapter { version: "1.1.0", behaviour: &[], wanted: "succeeded", code: 0 };
const BAD: Chapter = Chapter { version: "1.2.0", behaviour: &[("FAIL_RATE", "0.3")], wanted: "rolled_back", code: 10 };

/// One line for the reader.
pub fn say(line: &str) {
    println!("{line}");
}

/// Tells the story from the first release to the last.
pub async fn tell(slipway: &Slipway) -> anyhow::Result<Told> {
    slipway.declare(PRODUCTION)?;
    say("\nVersion 1.0.0 goes out. There is nothing to compare it with yet: smoke tests, then everyone.");
    let first = release(slipway, None, &FIRST).await?;

    say(&format!("\nTraffic: {RATE} requests per second of {USERS} users, through the gateway, from here to the end."));
    let options = Options { host: Some(HOST.into()), rate: RATE, users: USERS, ..Options::new(slipway.traffic_url()) };
    let load = Load::start(options)?;
    until("the first version has been seen at work for a while", async || {
        (load.snapshot().requests >= WARM).then_some(())
    })
    .await?;

    say("\nVersion 1.1.0 goes out by canary: a few users first, more as evidence comes in that it is as good.");
    let good = release(slipway, Some(&load), &GOOD).await?;
    say("\nVersion 1.2.0 fails three requests in ten, which no smoke test sees. Nobody will touch anything now.");
    let bad = release(slipway, Some(&load), &BAD).await?;

    let report = load.stop().await;
    say("\nThe journal holds all of it, each entry chained to the one before. Checking the chain.");
    slipway.json(&["journal", "verify"]).await?;
    Ok(Told { releases: vec![first, good, bad], report })
}

async fn release(slipway: &Slipway, load: Option<&LoadHandle>, chapter: &Chapter) -> anyhow::Result<Release> {
    let version = chapter.version;
    let folder = build(slipway.scratch(), &format!("build-{version}"), chapter.behaviour)?;
    let before = load.map(LoadHandle::snapshot);
    let output = tokio::select! {
        output = slipway.release(version, &folder, "production", &[]) => output?,
        never = follow(slipway, load, version) => match never {},
    };
    remove(&folder)?;
    let result: Option<Outcome> = output.json().ok().and_then(|json| serde_json::from_value(json).ok());
    let result = result.with_context(|| format!("no outcome at the end of its output\n{output}"))?;
    ensure!(output.code == chapter.code, "exit code {} was expected\n{output}", chapter.code);
    let why = why(slipway, &result).await?;
    say(&format!("  {version}: {}. {why}", result.outcome.replace('_', " ")));

    let after = load.map(LoadHandle::snapshot);
    let count = |report: &Option<Report>, of: fn(&Report) -> u64| report.as_ref().map_or(0, of);
    let during = |of| count(&after, of) - count(&before, of);
    Ok(Release {
        version,
        wanted: chapter.wanted,
        result,
        why,
        users: after.as_ref().and_then(|report| report.versions.get(version)).map_or(0, |seen| seen.users),
        failed_by_service: during(|report| report.failures.by_service),
        failed_by_slipway: during(|report| report.failures.by_slipway),
    })
}

/// An artifact is kept by its digest; its files are not needed any more.
fn remove(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Tells of every change of the split until it is dropped.
async fn follow(slipway: &Slipway, load: Option<&LoadHandle>, version: &str) -> std::convert::Infallible {
    let mut told = None;
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        ticks.tick().await;
        let Ok(Some(lane)) = slipway.lane("shop", "production").await else { continue };
        let split = lane["split"].as_array().into_iter().flatten();
        let weight =
            split.into_iter().find(|part| part["version"] == version).and_then(|part| part["weight_bp"].as_u64());
        if weight == told {
            continue;
        }
        if let (Some(bp), Some(load)) = (weight, load) {
            let seen = load.snapshot();
            let (users, failed) = seen.versions.get(version).map_or((0, 0), |seen| (seen.users, seen.failed));
            let percent = bp as f64 / 100.0;
            say(&format!(
                "  {percent:>3}% of the traffic to {version}; {users} users have met it, {failed} requests failed"
            ));
        }
        told = weight;
    }
}

/// Why it ended as it did: the sentence of the judgement that decided, or else the cause.
async fn why(slipway: &Slipway, outcome: &Outcome) -> anyhow::Result<String> {
    let explained = slipway.json(&["explain", &outcome.rollout]).await?;
    let verdict = if outcome.outcome == "rolled_back" { "fail" } else { "pass" };
    let mut found = Vec::new();
    judgements(&explained, &mut found);
    let decided = found.iter().rev().find(|judgement| judgement["verdict"] == verdict);
    let sentence = decided.and_then(|judgement| judgement["sentence"].as_str()).map(str::to_string);
    let cause = outcome.cause.clone().filter(|cause| !cause.is_empty());
    Ok(sentence.or(cause).unwrap_or_else(|| "Health and smoke tests held to the end.".into()))
}

/// Every object with a verdict and a sentence, in the order in which they stand.
fn judgements<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("verdict") && fields.contains_key("sentence") {
                found.push(value);
            }
            fields.values().for_each(|field| judgements(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| judgements(item, found)),
        _ => {}
    }
}
