//! From what was asked to a release that can be planned: the file is read, the version is looked up or made known,
//! and what can never work is refused before anything happens.

use std::collections::BTreeSet;

use slipway_core::names::{EnvironmentName, LaneId, VersionName};
use slipway_core::rollout::{Lane, Refusal, Release, claims, same_kind};
use slipway_core::spec::{self, ServiceSpec, Strategy};
use slipway_store::ReleaseRecord;

use crate::claims::Claim;
use crate::control::ReleaseRequest;
use crate::engine::Engine;
use crate::error::Error;

/// A release that can be planned.
pub(crate) struct Admitted {
    pub lane: LaneId,
    pub release: Release,
    pub strategy: Strategy,
    /// Until it is dropped nobody else is let in with what the release claims; absent where nothing is kept.
    pub claim: Option<Claim>,
}

/// Reads and checks a request. With an actor the version becomes known; without one nothing is kept.
pub(crate) async fn admit(engine: &Engine, request: &ReleaseRequest, actor: Option<&str>) -> Result<Admitted, Error> {
    let release = match &request.file {
        Some(file) => {
            let spec = spec::parse(file).map_err(Error::Mistakes)?.spec;
            Box::pin(from_file(engine, request, spec, actor.is_some())).await?
        }
        None => {
            let service = request
                .service
                .clone()
                .ok_or_else(|| Error::NotFound("neither a declared file nor a service is given".to_string()))?;
            let lane = LaneId { service, environment: request.environment.clone() };
            if request.config_only {
                return Err(refused("no_file", "another configuration needs the declared file that holds it".into()));
            }
            known(engine, &lane, named(request)?).await?
        }
    };
    let lane = LaneId { service: release.spec.service.clone(), environment: request.environment.clone() };
    let bound = engine.bound(&lane).unwrap_or_default();
    let release = bound.binding(&lane, release);
    let environment = release.environment(&lane).ok_or_else(|| unknown_environment(request, &release.spec))?;
    if let Some(why) = environment.gates.together(&bound.gates).never_hold() {
        let reason = format!(
            "with the gates of the file of {} no release could ever begin: {why}; change the gates in slipway.yaml",
            lane.environment
        );
        return Err(refused("gates_never_hold", reason));
    }
    no_cycle(engine, &lane, &release).await?;
    let strategy = match &request.strategy {
        None => environment.strategy.clone(),
        Some(name) => environment.strategy.with_kind(name).map_err(|_| Error::UnknownStrategy(name.clone()))?,
    };
    if let Err(unfit) = release.spec.fits(&strategy.kind) {
        return Err(refused("strategy_unfit", unfit.to_string()));
    }
    // Looking at a lane that is not known would make it known without anybody to drive it.
    if engine.knows(&lane)
        && let Some(kept) = engine.lane(&lane).await?
    {
        same_kind(&kept, &release).map_err(Error::Refused)?;
    }
    let wanted = claims(&Lane::new(lane.clone()), &release);
    let claim = match actor {
        Some(_) => Some(engine.claims.hold(&lane.service, &wanted).await),
        None => None,
    };
    let claimed = match engine.tables.claimed(&lane, &wanted) {
        None => engine.claimed(&lane, &wanted).await?,
        claimed => claimed,
    };
    if let Some((other, what)) = claimed {
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
    Ok(Admitted { lane, release, strategy, claim })
}

/// Services that each wait for the other could never be released again.
async fn no_cycle(engine: &Engine, lane: &LaneId, release: &Release) -> Result<(), Error> {
    let after = |lane: &LaneId, release: &Release| -> Vec<LaneId> {
        let mut gates = release.environment(lane).map(|e| e.gates.after.clone()).unwrap_or_default();
        gates.extend(engine.bound(lane).into_iter().flat_map(|bound| bound.gates.after));
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
        if !visited.insert(last.clone()) || !engine.knows(&last) {
            continue;
        }
        let stable = engine.lane(&last).await?.and_then(|lane| lane.stable.clone());
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
    let running = match request.config_only {
        true => Some(running(engine, request, &spec).await?),
        false => None,
    };
    let version = match (&request.version, &running) {
        (Some(version), _) => version.clone(),
        (None, Some(running)) => derived(running, &config)?,
        (None, None) => named(request)?.clone(),
    };
    let known = engine.store.release(&spec.service, &version).await?;
    let artifact = match (running.as_ref().map(|r| &r.artifact).or(request.artifact.as_ref()), &known) {
        (Some(artifact), _) => artifact.clone(),
        (None, Some(known)) => known.artifact.clone(),
        (None, None) => return Err(Error::UnknownVersion(version)),
    };
    if let Some(known) = &known {
        same(&version, "artifact", &known.artifact, &artifact)?;
        same(&version, "configuration", &known.config, &config)?;
    }
    // A plan may be made before anything is uploaded; a release may not.
    if !engine.look_for_artifact(&artifact).await && in_earnest {
        return Err(Error::UnknownArtifact(artifact));
    }
    Ok(Release { version, artifact, config, spec })
}

fn named(request: &ReleaseRequest) -> Result<&VersionName, Error> {
    request.version.as_ref().ok_or_else(|| refused("no_version", "say which version is to be released".into()))
}

fn unknown_environment(request: &ReleaseRequest, spec: &ServiceSpec) -> Error {
    Error::UnknownEnvironment { environment: request.environment.clone(), declared: declared(spec) }
}

fn refused(code: &'static str, reason: String) -> Error {
    Error::Refused(slipway_core::rollout::Refusal { code, reason })
}

/// The version whose artifact gets another configuration.
async fn running(engine: &Engine, request: &ReleaseRequest, spec: &ServiceSpec) -> Result<Release, Error> {
    if let Some(artifact) = &request.artifact {
        let reason = format!("another configuration is for the artifact that runs; leave {artifact} out");
        return Err(refused("config_only", reason));
    }
    if spec.environment(&request.environment).is_none() {
        return Err(unknown_environment(request, spec));
    }
    let lane = LaneId { service: spec.service.clone(), environment: request.environment.clone() };
    let kept = match engine.knows(&lane) {
        true => engine.lane(&lane).await?,
        false => None,
    };
    kept.and_then(|kept| kept.stable.clone()).ok_or_else(|| {
        let reason = format!("no version serves {lane}, so there is no artifact to configure; release one with --path");
        refused("nothing_serves", reason)
    })
}

/// What stands between the name of a version and the beginning of the digest of the configuration that it got later.
const CONFIGURED: &str = "-config-";
/// Digits of that digest in a name.
const DIGITS: usize = 8;

/// The name of `running` with another configuration: the same for the same, however often it is asked for.
fn derived(running: &Release, config: &slipway_core::names::Digest) -> Result<VersionName, Error> {
    if running.config == *config {
        return Ok(running.version.clone());
    }
    let name = running.version.as_str();
    let base = match name.rsplit_once(CONFIGURED) {
        Some((base, digits)) if digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()) => base,
        _ => name,
    };
    let digits: String = config.as_str().trim_start_matches("sha256:").chars().take(DIGITS).collect();
    VersionName::new(format!("{base}{CONFIGURED}{digits}"))
        .map_err(|e| refused("no_version", format!("no name can be derived from {name} ({e}); give --version")))
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

/// A version that has served a lane, with its own file. Going back is going to where one was: no gate stands before it,
/// so a version that was never let in here is not brought in by it.
pub(crate) async fn served_before(engine: &Engine, lane: &LaneId, version: &VersionName) -> Result<Release, Error> {
    let release = known(engine, lane, version).await?;
    if engine.store.has_served(lane, version).await? {
        return Ok(release);
    }
    Err(Error::Refused(Refusal {
        code: "never_served",
        reason: format!("{version} has never served {lane}: release it, then its gates are looked at"),
    }))
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

#[cfg(test)]
mod tests {
    use slipway_core::names::Digest;

    use super::*;

    const FILE: &str = "service: shop\nrun: { command: [\"./shop\"] }\nhealth: { tcp: true }\n\
                        environments: { production: { instances: 1 } }\n";

    fn running(version: &str) -> Release {
        let spec = spec::parse(FILE).unwrap().spec;
        let (artifact, config) = (Digest::of(b"artifact"), spec::config_digest(&spec));
        Release { version: version.parse().unwrap(), artifact, config, spec }
    }

    #[test]
    fn a_derived_name_says_what_it_is_and_does_not_grow() {
        let config = Digest::of(b"abc");
        for (serves, name) in [
            ("1.0.0", "1.0.0-config-ba7816bf"),
            ("1.0.0-config-01234567", "1.0.0-config-ba7816bf"),
            ("1.0.0-config-final", "1.0.0-config-final-config-ba7816bf"),
        ] {
            assert_eq!(derived(&running(serves), &config).unwrap().as_str(), name);
        }
        let same = running("1.0.0");
        assert_eq!(derived(&same, &same.config).unwrap(), same.version, "nothing else is configured");
    }

    #[test]
    fn a_name_that_would_be_too_long_is_asked_for() {
        let said = derived(&running(&"1".repeat(128)), &Digest::of(b"abc")).unwrap_err().to_string();
        assert!(said.contains("give --version"), "{said}");
    }
}
