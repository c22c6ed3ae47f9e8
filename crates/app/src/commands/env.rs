//! `slipway env`: environments as files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use slipway_core::spec::{Mistake, environment_file};
use slipway_server::wire::{WireEnvironment, WireEnvironmentDiff, WireEnvironmentFile, WireRollout, WireServiceInFile};

use crate::args::{Common, EnvCommand, File};
use crate::client::{Client, Failure};
use crate::commands::check;
use crate::exit::{self, Usage};
use crate::place::at;
use crate::render;

/// How often a waiting command looks.
const LOOK: Duration = Duration::from_millis(200);

/// Applies, compares or writes down an environment.
pub(crate) async fn run(common: &Common, command: EnvCommand) -> Result<u8> {
    match command {
        EnvCommand::Apply { file, detach } => apply(common, &file, detach).await,
        EnvCommand::Diff { environment, file, exit_code } => {
            let diff = match environment {
                Some(environment) => drift(common, &environment).await?,
                None => compare(common, file.as_deref()).await?,
            };
            show(common, &diff, exit_code)
        }
        EnvCommand::Export { environment } => export(common, &environment).await,
        EnvCommand::Schema => {
            outln!("{}", environment_file::json_schema());
            Ok(exit::OK)
        }
    }
}

/// Reads a file that has no mistakes that can be seen without a server.
fn sound(file: &Path) -> Result<String> {
    let text = check::read(&File { file: file.to_path_buf() })?;
    let name = file.display();
    match environment_file::parse(&text) {
        Ok(declared) => {
            declared.warnings.iter().for_each(|warning| eprintln!("{name}:{warning} [warning]"));
            Ok(text)
        }
        Err(mistakes) => Err(mistaken(file, &mistakes).into()),
    }
}

/// What the server finds wrong with a file, told as what is found here is. As JSON it stays what the server said.
fn placed(common: &Common, file: &Path, error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Problem(problem)) if !problem.mistakes.is_empty() && !common.json => {
            mistaken(file, &problem.mistakes).into()
        }
        _ => error,
    }
}

fn mistaken(file: &Path, mistakes: &[Mistake]) -> Usage {
    let name = file.display();
    let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{name}:{mistake}")).collect();
    Usage(format!("{name} has mistakes\n{}", lines.join("\n")))
}

async fn apply(common: &Common, file: &Path, detach: bool) -> Result<u8> {
    let text = sound(file)?;
    let client = Client::find(common)?;
    let applied = client.post_once(&at(&["environments"]), &json!({ "file": text })).await;
    let mut now: WireEnvironment = applied.map_err(|error| placed(common, file, error))?;
    let mut told = BTreeMap::new();
    while now.coming && !detach {
        if !common.json {
            tell(&now, &mut told);
        }
        if let Some(code) = held(&client, &now).await? {
            return conclude(common, &now, code);
        }
        tokio::time::sleep(LOOK).await;
        now = client.get_patiently(&at(&["environments", &now.environment])).await?;
    }
    if !common.json && !detach {
        tell(&now, &mut told);
    }
    let code = if detach { exit::OK } else { stopped(&client, &now).await? };
    conclude(common, &now, code)
}

/// Tells of each service whose standing has changed.
fn tell(now: &WireEnvironment, told: &mut BTreeMap<String, String>) {
    for service in &now.services {
        let line = render::in_file(service);
        if told.insert(service.service.clone(), line.clone()).as_ref() != Some(&line) {
            outln!("{line}");
        }
    }
}

/// The exit code where a rollout needs a person: nobody may come for hours.
async fn held(client: &Client, now: &WireEnvironment) -> Result<Option<u8>> {
    for service in now.services.iter().filter(|service| service.standing == "waiting") {
        if let Some(rollout) = rollout(client, service).await?
            && rollout.outcome.as_deref() == Some("held")
        {
            return Ok(Some(exit::HELD));
        }
    }
    Ok(None)
}

/// The exit code of what did not come: that of the first rollout that did not succeed.
async fn stopped(client: &Client, now: &WireEnvironment) -> Result<u8> {
    let Some(service) = now.services.iter().find(|service| service.standing == "stopped") else { return Ok(exit::OK) };
    let rollout = rollout(client, service).await?;
    Ok(match rollout.and_then(|rollout| rollout.outcome) {
        Some(outcome) if outcome != "succeeded" => exit::of_outcome(Some(&outcome)),
        _ => exit::BLOCKED,
    })
}

async fn rollout(client: &Client, service: &WireServiceInFile) -> Result<Option<WireRollout>> {
    match &service.rollout {
        Some(id) => Ok(Some(client.get_patiently(&at(&["rollouts", id])).await?)),
        None => Ok(None),
    }
}

fn conclude(common: &Common, now: &WireEnvironment, code: u8) -> Result<u8> {
    match common.json {
        true => outln!("{}", serde_json::to_string(now)?),
        false => outln!("{}", render::environment(now)),
    }
    Ok(code)
}

async fn drift(common: &Common, environment: &str) -> Result<WireEnvironmentDiff> {
    let now: WireEnvironment = Client::find(common)?.get(&at(&["environments", environment])).await?;
    Ok(WireEnvironmentDiff { environment: now.environment, differences: now.differences })
}

async fn compare(common: &Common, file: Option<&Path>) -> Result<WireEnvironmentDiff> {
    let Some(file) = file else {
        return Err(Usage("name an environment that has a file, or a file with -f".to_string()).into());
    };
    let text = sound(file)?;
    let diff = Client::find(common)?.post(&at(&["environments", "diff"]), &json!({ "file": text })).await;
    diff.map_err(|error| placed(common, file, error))
}

fn show(common: &Common, diff: &WireEnvironmentDiff, by_code: bool) -> Result<u8> {
    match common.json {
        true => outln!("{}", serde_json::to_string(diff)?),
        false => out!("{}", render::environment_diff(diff)),
    }
    Ok(if by_code && !diff.differences.is_empty() { exit::DIFFERS } else { exit::OK })
}

async fn export(common: &Common, environment: &str) -> Result<u8> {
    let file: WireEnvironmentFile = Client::find(common)?.get(&at(&["environments", environment, "file"])).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&file)?),
        false => out!("{}", file.file),
    }
    Ok(exit::OK)
}
