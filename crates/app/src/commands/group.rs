//! `--group`: planning, releasing and taking back several services at once, and `slipway group`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use slipway_core::spec::{self, GroupMember, GroupSpec};
use slipway_server::wire::{WireGroupPlan, WireGroupRun};

use crate::args::{Common, File, Release};
use crate::client::Client;
use crate::commands::check;
use crate::commands::release::{Parcel, pack};
use crate::exit::{self, Usage};
use crate::place::at;
use crate::render;

/// How often a waiting command looks.
const LOOK: Duration = Duration::from_millis(200);
/// The group's file where none is named.
const FILE: &str = "slipway.group.yaml";

/// Shows what a group release would do.
pub(crate) async fn plan(common: &Common, group: &str, release: &Release) -> Result<u8> {
    let client = Client::find(common)?;
    let (body, _) = asked(group, release).await?;
    let plan: WireGroupPlan = client.post(&at(&["groups", group, "plans"]), &body).await?;
    match common.json {
        true => outln!("{}", serde_json::to_string(&plan)?),
        false => out!("{}", render::group_plan(&plan)),
    }
    Ok(exit::OK)
}

/// Releases a group.
pub(crate) async fn release(common: &Common, group: &str, release: &Release) -> Result<u8> {
    let client = Client::find(common)?;
    let (body, parcels) = asked(group, release).await?;
    for parcel in &parcels {
        client.upload(&parcel.digest, parcel.file.clone()).await?;
    }
    drop(parcels);
    let run: WireGroupRun = client.post_once(&at(&["groups", group, "releases"]), &body).await?;
    if release.detach {
        return conclude(common, &run, exit::OK);
    }
    let end = wait(common, &client, group, &release.env).await?;
    conclude(common, &end, exit::of_outcome(end.outcome.as_deref()))
}

/// Takes the newest release of a group back.
pub(crate) async fn rollback(common: &Common, group: &str, environment: &str, detach: bool) -> Result<u8> {
    let client = Client::find(common)?;
    let place = at(&["groups", group, "environments", environment, "rollback"]);
    let run: WireGroupRun = client.post(&place, &json!({})).await?;
    if detach {
        return conclude(common, &run, exit::OK);
    }
    let end = wait(common, &client, group, environment).await?;
    // Asked for and done is a success.
    let code = match end.outcome.as_deref() {
        Some("rolled_back") => exit::OK,
        other => exit::of_outcome(other),
    };
    conclude(common, &end, code)
}

/// Shows the newest release of a group.
pub(crate) async fn show(common: &Common, group: &str, environment: &str) -> Result<u8> {
    let client = Client::find(common)?;
    let run: WireGroupRun = client.get(&at(&["groups", group, "environments", environment])).await?;
    conclude(common, &run, exit::OK)
}

async fn wait(common: &Common, client: &Client, group: &str, environment: &str) -> Result<WireGroupRun> {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let run: WireGroupRun = client.get_patiently(&at(&["groups", group, "environments", environment])).await?;
        for member in run.services.iter().filter(|_| !common.json) {
            let now = render::group_member(member);
            if told.insert(member.service.clone(), now.clone()).as_ref() != Some(&now) && member.progress != "pending" {
                outln!("{now}");
            }
        }
        if run.state == "ended" {
            return Ok(run);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn conclude(common: &Common, run: &WireGroupRun, code: u8) -> Result<u8> {
    match common.json {
        true => outln!("{}", serde_json::to_string(run)?),
        false => out!("{}", render::group_run(run)),
    }
    Ok(code)
}

/// What is asked for: every member's file and artifact, looked up beside the group's file.
async fn asked(group: &str, release: &Release) -> Result<(Value, Vec<Parcel>)> {
    let file = match release.file.file.to_str() {
        Some("slipway.yaml") => FILE.into(),
        _ => release.file.file.clone(),
    };
    let spec = sound(&file)?;
    if spec.group.as_str() != group {
        return Err(Usage(format!("{} declares the group {}, not {group}", file.display(), spec.group)).into());
    }
    let beside = file.parent().unwrap_or(Path::new("."));
    let (mut services, mut parcels) = (Vec::new(), Vec::new());
    for member in &spec.members {
        let path = member.path.as_ref().map(|path| beside.join(path));
        let parcel = pack(path.as_deref()).await?;
        services.push(json!({ "release": body(beside, member, release, parcel.as_ref())?, "after": member.after }));
        parcels.extend(parcel);
    }
    Ok((json!({ "environment": release.env, "services": services }), parcels))
}

fn body(beside: &Path, member: &GroupMember, release: &Release, parcel: Option<&Parcel>) -> Result<Value> {
    let version = member.version.as_ref().map(|v| v.to_string()).or_else(|| release.version.clone());
    let version = version.with_context(|| format!("{} has no version: give --version", member.service));
    let file = beside.join(&member.file);
    let text = check::sound(&File { file: file.clone() })?;
    let declared = spec::parse(&text).map(|declared| declared.spec.service);
    if declared.as_ref().is_ok_and(|service| *service != member.service) {
        let declared = declared.map(|service| service.to_string()).unwrap_or_default();
        return Err(Usage(format!("{} declares {declared}, not {}", file.display(), member.service)).into());
    }
    Ok(json!({
        "file": text,
        "version": version.map_err(|e| Usage(e.to_string()))?,
        "artifact": parcel.map(|p| &p.digest),
        "environment": release.env,
    }))
}

fn sound(file: &Path) -> Result<GroupSpec> {
    let text = check::read(&File { file: file.to_path_buf() })?;
    let name = file.display();
    Ok(spec::parse_group(&text).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|m| format!("{name}:{m}")).collect();
        Usage(format!("{name} has mistakes\n{}", lines.join("\n")))
    })?)
}
