//! What in an environment's file cannot be here: services and versions that are not known, digests that are others, a
//! Slipway that is another. Found before anything is done, each with its place in the file.

use std::collections::BTreeMap;

use slipway_core::environment::{self, Environment};
use slipway_core::names::{LaneId, ServiceName};
use slipway_core::spec::environment_file::{Declared, ServiceEntry};
use slipway_core::spec::{self, After, Mistake, ServiceSpec, nearest};

use crate::admission;
use crate::control::ReleaseRequest;
use crate::engine::Engine;
use crate::error::Error;

/// Everything in a file that cannot be here.
pub(crate) async fn mistakes(engine: &Engine, declared: &Declared) -> Result<Vec<Mistake>, Error> {
    let (file, places) = (&declared.file, &declared.places);
    let mut found = Vec::new();
    let here = engine.store.cluster();
    if let Some(other) = file.cluster.as_ref().filter(|id| *id != here) {
        let hint = "leave the line out if the file is meant for this one as well".to_string();
        found.push(places.mistake(
            &["cluster"],
            format!("the file is for another Slipway ({other}, and this is {here})"),
            Some(hint),
        ));
    }
    let known = engine.store.services().await?;
    let mut waits: BTreeMap<ServiceName, Vec<After>> = BTreeMap::new();
    for (service, entry) in &file.services {
        let at = |key: &str, message: String, hint: Option<String>| {
            places.mistake(&["services", service.as_str(), key], message, hint)
        };
        let Some(spec) = spec_of(engine, service, entry).await? else {
            let (key, message, hint) = unknown(engine, service, entry, &known).await?;
            found.push(match key {
                None => places.mistake(&["services", service.as_str()], message, hint),
                Some(key) => at(key, message, hint),
            });
            continue;
        };
        let record = engine.store.release(service, &entry.version).await?;
        for (key, pinned, is) in [
            ("artifact", &entry.artifact, record.as_ref().map(|r| &r.artifact)),
            ("config", &entry.config, record.as_ref().map(|r| &r.config)),
        ] {
            if let (Some(pinned), Some(is)) = (pinned, is)
                && pinned != is
            {
                let message = format!("version {} of {service} has another one here ({is})", entry.version);
                found.push(at(key, message, Some("release it here under a version of its own".to_string())));
            }
        }
        let lane = LaneId { service: service.clone(), environment: file.environment.clone() };
        if let Some(own) = spec.environment(&file.environment).map(|(_, own)| own) {
            let gates = own.gates.together(&environment::bound(file, service).gates);
            waits.insert(service.clone(), gates.after.clone());
            if let Some(why) = gates.never_hold() {
                let message = format!(
                    "with the gates of {} {} itself no release could ever begin: {why}",
                    service, entry.version
                );
                found.push(places.mistake(&["gates"], message, Some("change one of the two".to_string())));
            }
        }
        if let Some(error) = refused(engine, &lane, entry).await? {
            found.push(at("version", error.to_string(), None));
        }
    }
    if let Some(circle) = environment::circle(&file.environment, &waits) {
        let names = circle.iter().chain(circle.first()).map(ToString::to_string).collect::<Vec<_>>().join(" after ");
        let first = circle.first().map(ToString::to_string).unwrap_or_default();
        let message = format!("after goes round in a circle, so none could come first: {names}");
        found.push(places.mistake(&["services", &first, "after"], message, Some("take one of them out".to_string())));
    }
    found.sort_by_key(|mistake| (mistake.line, mistake.column));
    Ok(found)
}

/// What others must serve before a service: by the environment's file, and by the version that is to come.
pub(crate) async fn after(engine: &Engine, kept: &Environment, service: &ServiceName) -> Result<Vec<After>, Error> {
    let mut after = environment::bound(&kept.file, service).gates.after;
    // Whatever has arrived waits for nobody: its file need not be read.
    let Some(entry) = kept.file.services.get(service).filter(|_| kept.coming.contains(service)) else {
        return Ok(after);
    };
    let spec = spec_of(engine, service, entry).await?;
    let own = spec.and_then(|spec| spec.environment(&kept.file.environment).map(|(_, own)| own.gates.after.clone()));
    after.extend(own.into_iter().flatten());
    Ok(after)
}

async fn spec_of(engine: &Engine, service: &ServiceName, entry: &ServiceEntry) -> Result<Option<ServiceSpec>, Error> {
    let record = engine.store.release(service, &entry.version).await?;
    record.map(|record| Ok(spec::parse(&record.file).map_err(Error::Mistakes)?.spec)).transpose()
}

/// What is said of a service or a version that is not known: at which key, what, and what may have been meant.
async fn unknown(
    engine: &Engine,
    service: &ServiceName,
    entry: &ServiceEntry,
    known: &[ServiceName],
) -> Result<(Option<&'static str>, String, Option<String>), Error> {
    let versions = engine.store.releases(service).await?;
    let Some(newest) = versions.first() else {
        let near = nearest(service.as_str(), known.iter().map(ServiceName::as_str));
        let hint = match near {
            Some(near) => format!("did you mean {near}?"),
            None => {
                format!("release it first: slipway release --version {} --path FOLDER --env ENVIRONMENT", entry.version)
            }
        };
        return Ok((None, format!("no version of {service} was ever released here"), Some(hint)));
    };
    let message = format!("version {} of {service} is not known here", entry.version);
    let near = nearest(entry.version.as_str(), versions.iter().map(|r| r.version.as_str()));
    let hint = format!("did you mean {}?", near.unwrap_or(newest.version.as_str()));
    Ok((Some("version"), message, Some(hint)))
}

/// Why the version could not be released, where it does not serve already.
async fn refused(engine: &Engine, lane: &LaneId, entry: &ServiceEntry) -> Result<Option<Error>, Error> {
    let kept = if engine.knows(lane) { engine.lane(lane).await? } else { None };
    if kept.is_some_and(|kept| kept.stable_version() == Some(&entry.version)) {
        return Ok(None);
    }
    let request = request(lane, entry);
    match admission::admit(engine, &request, None).await {
        Ok(admitted) if engine.look_for_artifact(&admitted.release.artifact).await => Ok(None),
        Ok(admitted) => Ok(Some(Error::UnknownArtifact(admitted.release.artifact))),
        Err(error @ (Error::Store(_) | Error::Unavailable(_) | Error::Document(_))) => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

/// The release of what a file declares.
pub(crate) fn request(lane: &LaneId, entry: &ServiceEntry) -> ReleaseRequest {
    ReleaseRequest {
        file: None,
        service: Some(lane.service.clone()),
        version: Some(entry.version.clone()),
        artifact: None,
        config_only: false,
        environment: lane.environment.clone(),
        strategy: None,
        supersede: false,
        overriding: None,
    }
}
