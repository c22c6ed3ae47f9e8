//! Environments that have a file, for the wire.

use serde::{Deserialize, Serialize};
use slipway_control::views::{EnvironmentNow, ServiceNow};
use slipway_core::environment::{Difference, Next};
use slipway_core::names::EnvironmentName;
use slipway_core::spec::environment_file::EnvironmentFile;
use utoipa::ToSchema;

/// The file of an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnvironmentFile {
    /// Its text.
    pub file: String,
}

/// An environment as its file says and as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireEnvironment {
    /// Which.
    pub environment: String,
    /// Who applied the file.
    pub applied_by: String,
    /// When, milliseconds since 1970.
    pub applied_at: u64,
    /// One more each time that a file is applied.
    pub generation: u64,
    /// What is no longer as the file says is brought back by itself.
    pub heal: bool,
    /// Whether something is still on its way since the file was applied.
    pub coming: bool,
    /// Each service that the file names.
    pub services: Vec<WireServiceInFile>,
    /// Everything that is not as the file says, and what it does not name.
    pub differences: Vec<WireDiffering>,
}

/// A service that an environment's file names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireServiceInFile {
    /// Which.
    pub service: String,
    /// The version that the file says.
    pub version: String,
    /// `as_declared`, `coming`, `waiting`, `stopped` or `drifted`.
    pub standing: String,
    /// What it waits for, or why it stopped, or what is not as declared.
    pub sentence: Option<String>,
    /// The rollout that was asked for last in order to bring it there.
    pub rollout: Option<String>,
}

/// One thing that is not as a file says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireDiffering {
    /// The service; null where it is about all of them.
    pub service: Option<String>,
    /// Which key of the file: `services.shop.version`.
    pub place: String,
    /// What the file says; null where it does not speak of it.
    pub declared: Option<String>,
    /// What is; null where nothing is.
    pub found: Option<String>,
    /// Both, for people.
    pub sentence: String,
}

/// What differs between a file and what is there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireEnvironmentDiff {
    /// Which environment.
    pub environment: String,
    /// Everything that differs; empty where applying the file would change nothing.
    pub differences: Vec<WireDiffering>,
}

/// An environment written down.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireEnvironmentFile {
    /// Which.
    pub environment: String,
    /// The text of its file.
    pub file: String,
}

impl From<&Difference> for WireDiffering {
    fn from(difference: &Difference) -> WireDiffering {
        WireDiffering {
            service: difference.service.as_ref().map(ToString::to_string),
            place: difference.place.clone(),
            declared: difference.declared.clone(),
            found: difference.found.clone(),
            sentence: difference.sentence(),
        }
    }
}

impl WireEnvironmentDiff {
    /// What differs in `environment`.
    pub fn new(environment: &EnvironmentName, differences: &[Difference]) -> WireEnvironmentDiff {
        let differences = differences.iter().map(WireDiffering::from).collect();
        WireEnvironmentDiff { environment: environment.to_string(), differences }
    }
}

impl From<&EnvironmentFile> for WireEnvironmentFile {
    fn from(file: &EnvironmentFile) -> WireEnvironmentFile {
        WireEnvironmentFile { environment: file.environment.to_string(), file: file.to_yaml() }
    }
}

impl From<&EnvironmentNow> for WireEnvironment {
    fn from(now: &EnvironmentNow) -> WireEnvironment {
        let kept = &now.kept;
        WireEnvironment {
            environment: kept.file.environment.to_string(),
            applied_by: kept.applied_by.clone(),
            applied_at: kept.applied_at.0,
            generation: kept.generation,
            heal: kept.file.heal,
            coming: !kept.coming.is_empty(),
            services: now.services.iter().map(|one| service(now, one)).collect(),
            differences: now.differences.iter().map(WireDiffering::from).collect(),
        }
    }
}

fn service(now: &EnvironmentNow, one: &ServiceNow) -> WireServiceInFile {
    let drift = || one.drift.iter().map(Difference::sentence).collect::<Vec<_>>().join("; ");
    let (standing, sentence) = match &one.next {
        _ if one.drift.is_empty() && !one.coming => ("as_declared", None),
        Next::Wait(on) => ("waiting", Some(on.clone())),
        Next::Stopped(why) => ("stopped", Some(why.clone())),
        Next::Release { .. } | Next::Scale { .. } | Next::Arrived => ("coming", Some(drift())),
        Next::Nothing => ("drifted", Some(drift())),
    };
    let entry = now.kept.file.services.get(&one.service);
    WireServiceInFile {
        service: one.service.to_string(),
        version: entry.map(|entry| entry.version.to_string()).unwrap_or_default(),
        standing: standing.to_string(),
        sentence: sentence.filter(|sentence| !sentence.is_empty()),
        rollout: one.tried.as_ref().and_then(|tried| tried.rollout.as_ref()).map(ToString::to_string),
    }
}
