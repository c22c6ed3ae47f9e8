//! From what was asked to a release that can be planned: the file is read, the version is looked up or made known,
//! and what can never work is refused before anything happens.

use std::collections::BTreeSet;

use slipway_core::names::{EnvironmentName, LaneId, VersionName};
use slipway_core::rollout::{Lane, Release, claims};
use slipway_core::spec::{self, ServiceSpec, Strategy};
use slipway_store::ReleaseRecord;

use crate::control::ReleaseRequest;
use crate::engine::Engine;
use crate::error::Error;

/// A release that can be planned.
pub(crate) struct Admitted {
    pub lane: LaneId,
    pub release: Release,
    pub strategy: Strategy,
}

/// Reads and checks a request. With an actor the version becomes known; without one nothing is kept.
pub(crate) async fn admit(engine: &Engine, request: &ReleaseRequest, actor: Option<&str>) -> Result<Admitted, Error> {
    let release = match &request.file {
        Some(file) => {
            let spec = spec::parse(file).map_err(Error::Mistakes)?.spec;
            from_file(engine, request, spec, actor.is_some()).await?
        }
        None => {
            let service = request
                .service
                .clone()
                .ok_or_else(|| Error::NotFound("neither a declared file nor a service is given".to_string()))?;
            let lane = LaneId { service, environment: request.environment.clone() };
            known(engine, &lane, &request.version).await?
        }
    };
    let lane = LaneId { service: release.spec.service.clone(), environment: request.environment.clone() };
    let environment = release.environment(&lane).ok_or_else(|| Error::UnknownEnvironment {
        environment: request.environment.clone(),
        declared: declared(&release.spec),
    })?;
    no_cycle(engine, &lane, &release).await?;
    let strategy = match &request.strategy {
        None => environment.strategy.clone(),
        Some(name) => environment.strategy.with_kind(name).map_err(|_| Error::UnknownStrategy(name.clone()))?,
    };
    let empty = Lane::new(lane.clone());
    if let Some((other, what)) = engine.tables.claimed(&lane, &claims(&empty, &release)) {
        return Err(Error::Refused(slipway_core::rollout::Refusal {
            code: "traffic_taken",
            reason: format!("{what} already belongs to {other}; give {lane} another traffic.host or traffic.path"),
        }));
    }
    // Last, so that what is refused does not use a version up.
    if let (Some(actor), Some(file)) = (actor, &request.file) {
        engine
            .store
            .insert_release(&ReleaseRecord {
                service: release.spec.service.clone(),
                version: release.version.clone(),
                artifact: release.artifact.clone(),
                config: release.config.clone(),
                file: file.clone(),
                created_at: engine.clock.now(),
                actor: actor.to_string(),
            })
            .await?;
    }
    Ok(Admitted { lane, release, strategy })
}

/// Services that each wait for the other could never be released again.
async fn no_cycle(engine: &Engine, lane: &LaneId, release: &Release) -> Result<(), Error> {
    let after = |lane: &LaneId, release: &Release| -> Vec<LaneId> {
        let gates = release.environment(lane).map(|e| e.gates.after.clone()).unwrap_or_default();
        let environment = |named: Option<EnvironmentName>| named.unwrap_or_else(|| lane.environment.clone());
        gates.into_iter().map(|a| LaneId { service: a.service, environment: environment(a.environment) }).collect()
    };
    let mut open: Vec<Vec<LaneId>> = after(lane, release).into_iter().map(|next| vec![lane.clone(), next]).collect();
    let mut visited: BTreeSet<LaneId> = BTreeSet::new();
    while let Some(way) = open.pop() {
        let Some(last) = way.last().cloned() else { continue };
        if last == *lane {
            let names = way.iter().map(ToString::to_string).collect::<Vec<_>>().join(" after ");
            return Err(Error::Refused(slipway_core::rollout::Refusal {
                code: "gates_in_a_circle",
                reason: format!("gates.after goes round in a circle, so none could be released: {names}"),
            }));
        }
        if !visited.insert(last.clone()) || !engine.lanes().contains(&last) {
            continue;
        }
        let stable = engine.lane(&last).await?.and_then(|lane| lane.stable);
        for next in stable.iter().flat_map(|stable| after(&last, stable)) {
            open.push([way.as_slice(), &[next]].concat());
        }
    }
    Ok(())
}

async fn from_file(
    engine: &Engine,
    request: &ReleaseRequest,
    spec: ServiceSpec,
    in_earnest: bool,
) -> Result<Release, Error> {
    let config = spec::config_digest(&spec);
    let known = engine.store.release(&spec.service, &request.version).await?;
    let artifact = match (&request.artifact, &known) {
        (Some(artifact), _) => artifact.clone(),
        (None, Some(known)) => known.artifact.clone(),
        (None, None) => return Err(Error::UnknownVersion(request.version.clone())),
    };
    if let Some(known) = &known {
        same(&request.version, "artifact", &known.artifact, &artifact)?;
        same(&request.version, "configuration", &known.config, &config)?;
    }
    // A plan may be made before anything is uploaded; a release may not.
    if !engine.look_for_artifact(&artifact).await && in_earnest {
        return Err(Error::UnknownArtifact(artifact));
    }
    Ok(Release { version: request.version.clone(), artifact, config, spec })
}

fn same(
    version: &VersionName,
    what: &str,
    known: &slipway_core::names::Digest,
    given: &slipway_core::names::Digest,
) -> Result<(), Error> {
    if known == given {
        return Ok(());
    }
    Err(Error::VersionTaken(format!(
        "version {version} stands for another {what} ({known}, not {given}); a version never changes: choose a new one"
    )))
}

/// A version that was released before.
pub(crate) async fn known(engine: &Engine, lane: &LaneId, version: &VersionName) -> Result<Release, Error> {
    let record =
        engine.store.release(&lane.service, version).await?.ok_or_else(|| Error::UnknownVersion(version.clone()))?;
    let spec = spec::parse(&record.file).map_err(Error::Mistakes)?.spec;
    engine.look_for_artifact(&record.artifact).await;
    Ok(Release { version: record.version, artifact: record.artifact, config: record.config, spec })
}

/// The environments of a file, as a list for people.
pub(crate) fn declared(spec: &ServiceSpec) -> String {
    spec.environments.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ")
}
