//! What is done next to bring a service to what its environment's file says.

use super::{Environment, drift, first};
use crate::names::{ServiceName, VersionName};
use crate::rollout::{Lane, Outcome};
use crate::spec::After;

/// What becomes of one service now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is as the file says, or nobody asked for it to be.
    Nothing,
    /// It is as the file says since the file was applied.
    Arrived,
    /// Nothing more is done before the file is applied again: the reason.
    Stopped(String),
    /// Something has to happen first.
    Wait(String),
    /// This version is released.
    Release {
        /// Which.
        version: VersionName,
        /// What was found, as a sentence.
        found: String,
    },
    /// It gets another number of instances.
    Scale {
        /// How many.
        instances: u32,
        /// What was found, as a sentence.
        found: String,
    },
}

/// How the rollout ended that was asked for last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub cause: String,
}

/// What is done next about `service`. `after` is what others must serve before it, by the file and by the version that is
/// to come; `last` is how the rollout ended that was asked for last, where it has.
pub fn next(
    environment: &Environment,
    service: &ServiceName,
    lane: Option<&Lane>,
    after: &[After],
    last: Option<&Last>,
) -> Next {
    let Some(entry) = environment.file.services.get(service) else { return Next::Nothing };
    let coming = environment.coming.contains(service);
    let found = drift(service, entry, lane);
    // Instances that are missing are started by the lane itself.
    let Some(drifted) = found.iter().find(|difference| !difference.place.ends_with(".ready")) else {
        return if coming { Next::Arrived } else { Next::Nothing };
    };
    if !coming && !environment.file.heal {
        return Next::Nothing;
    }
    if let Some(open) = lane.and_then(|lane| lane.open.as_ref()) {
        return Next::Wait(format!("{} is open", open.id));
    }
    if let Some(asked) = lane.and_then(|lane| lane.queue.first()) {
        return Next::Wait(format!("{} waits", asked.id));
    }
    let found = drifted.sentence();
    let serves = lane.and_then(Lane::stable_version) == Some(&entry.version);
    if let (true, Some(instances)) = (serves, entry.instances) {
        return Next::Scale { instances, found };
    }
    if let Some(stopped) = hindered(environment, service, lane, last) {
        return stopped;
    }
    if let Some(before) = first(environment, service, after) {
        return Next::Wait(format!("{before} comes first"));
    }
    Next::Release { version: entry.version.clone(), found }
}

/// Why the version is not asked for, or not now.
fn hindered(
    environment: &Environment,
    service: &ServiceName,
    lane: Option<&Lane>,
    last: Option<&Last>,
) -> Option<Next> {
    let entry = environment.file.services.get(service)?;
    let coming = environment.coming.contains(service);
    let tried = environment.tried.get(service).filter(|tried| tried.version == entry.version);
    if let Some(refused) = tried.and_then(|tried| tried.refused.as_ref()) {
        return Some(Next::Stopped(refused.clone()));
    }
    match (tried.and_then(|tried| tried.rollout.as_ref()), last) {
        (None, _) | (Some(_), Some(Last { outcome: Outcome::Succeeded, .. })) => {}
        (Some(rollout), None) => return Some(Next::Wait(format!("{rollout} has not ended"))),
        (Some(rollout), Some(Last { outcome, cause })) => {
            let how = outcome.as_str().replace('_', " ");
            return Some(Next::Stopped(format!("{rollout} has ended as {how}: {cause}")));
        }
    }
    // Whoever went back knew why. Only a person's word, a file that is applied, brings it again.
    let mut went_back = lane.into_iter().flat_map(|lane| lane.went_back.iter().chain(&lane.undone));
    if let Some(back) = went_back.find(|back| back.from == entry.version && (tried.is_some() || !coming)) {
        return Some(Next::Stopped(format!("{} went back from {} to {}", back.rollout, back.from, back.to)));
    }
    let incident = lane.filter(|_| !coming).and_then(|lane| lane.watching.incident.as_ref())?;
    Some(Next::Wait(format!("incident {} is open", incident.number)))
}
