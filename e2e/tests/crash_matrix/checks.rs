//! What must hold after every cell, whatever has happened in it.

use anyhow::{Context, ensure};
use serde_json::Value;
use slipway_e2e::nothing_twice;
use slipway_load::Report;

use crate::stage::Stage;

/// The chain holds, and nothing was done twice.
pub async fn journal(stage: &Stage, after: u64) -> anyhow::Result<()> {
    stage.slipway.cli(&["journal", "verify"]).await?.expect(0)?;
    let entries = stage.recorded(after).await.context("a journal")?;
    nothing_twice(&entries)?;
    let asked = entries.iter().filter(|entry| stage.kind.asked_by(entry)).count();
    ensure!(asked == 1, "it was asked for {asked} times: {:#}", Value::from(entries));
    Ok(())
}

/// No instance runs twice, and none that nobody knows.
pub fn processes(stage: &Stage) -> anyhow::Result<()> {
    let programs = stage.slipway.shops();
    ensure!(programs.len() == stage.kind.after().instances, "{programs:#?}");
    Ok(())
}

/// No request failed, by Slipway's doing or otherwise: no instance is bad.
pub fn client(report: &Report) -> anyhow::Result<()> {
    ensure!(report.requests > 0, "nobody asked anything");
    ensure!(report.failures.total() == 0, "requests failed: {:?} {:?}", report.failures, report.first_failures);
    Ok(())
}
