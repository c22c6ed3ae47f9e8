//! What must hold after every cell, whatever has happened in it.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;
use slipway_load::Report;

use crate::stage::Stage;

/// What is recorded at most once of a rollout.
const ONCE: [&str; 5] = ["rollout.planned", "step.entered", "step.done", "rollout.ended", "traffic.returned"];
/// What is recorded at most once of an instance: ids are never used twice.
const ONCE_EACH: [&str; 3] = ["instance.starting", "instance.ready", "instance.stopped"];
/// What nobody may suffer.
const NEVER: [&str; 6] = [
    "instance.exited",
    "instance.lost",
    "instance.not_started",
    "instance.unhealthy",
    "instance.ejected",
    "journal.unanchored",
];

/// The chain holds, and nothing was done twice.
pub async fn journal(stage: &Stage, after: u64) -> anyhow::Result<()> {
    stage.slipway.cli(&["journal", "verify"]).await?.expect(0)?;
    let entries = stage.recorded(after).await.context("a journal")?;
    let mut seen = BTreeSet::new();
    let mut asked = 0;
    for entry in &entries {
        let kind = entry["kind"].as_str().unwrap_or_default();
        ensure!(!NEVER.contains(&kind), "{entry:#}");
        asked += u32::from(kind == "rollout.asked");
        let of = if ONCE.contains(&kind) {
            format!("{} {}", entry["rollout"], entry["cause"])
        } else if ONCE_EACH.contains(&kind) {
            entry["evidence"]["instance"].to_string()
        } else {
            continue;
        };
        ensure!(seen.insert((kind, of)), "recorded twice: {entry:#}\namong {:#}", Value::from(entries.clone()));
    }
    ensure!(asked == 1, "it was asked for {asked} times: {:#}", Value::from(entries));
    Ok(())
}

/// No instance runs twice, and none that nobody knows.
pub fn processes(stage: &Stage) -> anyhow::Result<()> {
    let programs = stage.programs();
    ensure!(programs.len() == stage.kind.instances(), "{programs:#?}");
    Ok(())
}

/// No request failed, by Slipway's doing or otherwise: no instance is bad.
pub fn client(report: &Report) -> anyhow::Result<()> {
    ensure!(report.requests > 0, "nobody asked anything");
    ensure!(report.failures.total() == 0, "requests failed: {:?} {:?}", report.failures, report.first_failures);
    Ok(())
}
