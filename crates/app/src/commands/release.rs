//! `slipway release` and `slipway plan`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use slipway_server::wire::{WireComparison, WirePlan, WireRollout};

use crate::args::{Common, Release};
use crate::client::Client;
use crate::commands::{check, group};
use crate::exit::{self, Usage};
use crate::place::at;
use crate::render;

/// How often a waiting command looks.
const LOOK: Duration = Duration::from_millis(200);

/// A packed artifact on its way to the server.
pub(crate) struct Parcel {
    pub(crate) digest: String,
    _folder: tempfile::TempDir,
    pub(crate) file: std::path::PathBuf,
}

/// Shows what a release would do.
pub(crate) async fn plan(common: &Common, release: Release) -> Result<u8> {
    if let Some(group) = &release.group {
        return group::plan(common, group, &release).await;
    }
    let client = Client::find(common)?;
    let parcel = pack(release.path.as_deref()).await?;
    if release.compare {
        let comparison: WireComparison =
            client.post(&at(&["plans", "comparison"]), &asked(&release, parcel.as_ref())?).await?;
        match common.json {
            true => outln!("{}", serde_json::to_string(&comparison)?),
            false => out!("{}", render::comparison(&comparison)),
        }
        return Ok(exit::OK);
    }
    let plan: WirePlan = client.post(&at(&["plans"]), &asked(&release, parcel.as_ref())?).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&plan)?),
        false => out!("{}", render::plan(&plan)),
    }
    Ok(exit::OK)
}

/// Releases.
pub(crate) async fn run(common: &Common, release: Release) -> Result<u8> {
    if let Some(group) = &release.group {
        return group::release(common, group, &release).await;
    }
    if release.compare {
        return Err(Usage("--compare releases nothing: slipway plan --compare".to_string()).into());
    }
    let client = Client::find(common)?;
    let body_file = release.file.file.clone();
    let parcel = pack(release.path.as_deref()).await?;
    let body = asked(&release, parcel.as_ref())?;
    if let Some(parcel) = &parcel {
        client.upload(&parcel.digest, parcel.file.clone()).await?;
    }
    drop(parcel);
    let rollout: WireRollout = client
        .post_once(&at(&["releases"]), &body)
        .await
        .with_context(|| format!("{} was not released", body_file.display()))
        .map_err(unwrap_context)?;
    if release.detach {
        return detached(common, &rollout);
    }
    let view = if common.json {
        View::Silent
    } else if release.watch {
        View::Live
    } else {
        View::Lines
    };
    let end = wait(&client, &rollout.rollout, view).await?;
    conclude(common, &end, exit::of_outcome(end.outcome.as_deref()))
}

/// The failure itself says enough.
fn unwrap_context(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<crate::client::Failure>() {
        Ok(failure) => failure.into(),
        Err(error) => error,
    }
}

fn detached(common: &Common, rollout: &WireRollout) -> Result<u8> {
    match common.json {
        true => outln!("{}", serde_json::to_string(rollout)?),
        false => outln!(
            "{}: {} {} goes to {}; slipway explain {}",
            rollout.rollout,
            rollout.service,
            rollout.version,
            rollout.environment,
            rollout.rollout
        ),
    }
    Ok(match rollout.outcome.as_deref() {
        Some("blocked") => exit::BLOCKED,
        _ => exit::OK,
    })
}

pub(crate) async fn pack(path: Option<&Path>) -> Result<Option<Parcel>> {
    let Some(path) = path.map(Path::to_path_buf) else { return Ok(None) };
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let file = folder.path().join("artifact.tar");
    let out = file.clone();
    let packed = tokio::task::spawn_blocking(move || slipway_registry::pack(&path, &out)).await?;
    let packed = packed.map_err(|e| Usage(e.to_string()))?;
    Ok(Some(Parcel { digest: packed.digest.to_string(), _folder: folder, file }))
}

fn asked(release: &Release, parcel: Option<&Parcel>) -> Result<Value> {
    let file = check::sound(&release.file)?;
    let version = release.version.as_deref().map(str::parse::<slipway_core::names::VersionName>).transpose();
    let version = version.map_err(|e| Usage(e.to_string()))?;
    Ok(json!({
        "file": file,
        "version": version,
        "artifact": parcel.map(|p| &p.digest),
        "config_only": release.config_only || (release.compare && release.version.is_none()),
        "environment": release.env,
        "strategy": release.strategy,
        "supersede": release.supersede,
        "override": release.overriding,
    }))
}

/// What is shown while waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Nothing.
    Silent,
    /// A line for each step.
    Lines,
    /// A picture that changes in place.
    Live,
}

/// Waits until a rollout has ended or needs a person.
pub(crate) async fn wait(client: &Client, id: &str, view: View) -> Result<WireRollout> {
    let mut lines = render::Lines::default();
    let mut live = render::Live::new();
    loop {
        let rollout: WireRollout = client.get_patiently(&at(&["rollouts", id])).await?;
        match view {
            View::Silent => {}
            View::Live if live.possible() => live.show(&rollout),
            View::Live | View::Lines => lines.show(&rollout),
        }
        if rollout.outcome.is_some() {
            return Ok(rollout);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells how it ended.
pub(crate) fn conclude(common: &Common, end: &WireRollout, code: u8) -> Result<u8> {
    match common.json {
        true => outln!("{}", serde_json::to_string(end)?),
        false => outln!("{}", render::conclusion(end)),
    }
    Ok(code)
}
