//! What an environment asks for before and between releases: drills and gates, as the declared file says it.

use serde::{Deserialize, Serialize};

use crate::names::{EnvironmentName, ServiceName};
use crate::units::Millis;
use crate::window::Window;

/// When a way back is practised without being asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillPolicy {
    /// From one drill to the next.
    pub every: Millis,
    /// When one may begin; at any time where absent.
    pub window: Option<Window>,
    /// The standby is stopped first, so that its instances have to be started again. Default no.
    pub cold: bool,
}

/// What trouble after a change leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// An incident in the journal and in the status.
    #[default]
    Tell,
    /// The same, and the predecessor serves again.
    Rollback,
}

/// A day: how long after its coming trouble may be a version's doing.
pub(in crate::spec) fn default_watch() -> Millis {
    Millis::from_secs(24 * 3600)
}

/// What must hold before the first act of a release.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Gates {
    /// Other people's word.
    pub approvals: Option<Approvals>,
    /// When nothing may begin.
    pub freeze: Vec<Freeze>,
    /// What other services must serve.
    pub after: Vec<After>,
    /// What a service that goes here must have.
    pub readiness: Vec<Readiness>,
}

/// Other people's word for a release. Nobody approves their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// How many people. Default 1.
    pub count: u32,
    /// Who may; anybody with the right to approve where empty.
    pub from: Vec<String>,
    /// How long an approval holds, and how long a release waits for it. Default 24h.
    pub expire: Millis,
}

/// A time at which no release begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// When.
    pub window: Window,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What another service must serve first: `payments >= 2.1 in production`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// Which.
    pub service: ServiceName,
    /// The least version; any where absent.
    pub at_least: Option<String>,
    /// Where; the release's own environment where absent.
    pub environment: Option<EnvironmentName>,
}

/// What a service must have before it goes into an environment. A health check it has in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Somebody answers for it.
    Owner,
    /// Objectives of its own are declared.
    Objectives,
    /// Something is tested before the first user.
    Smoke,
    /// Its last drill passed, once there is something to go back to.
    Drill,
    /// Whoever is told of it or asked by hooks can be reached.
    Hooks,
}

impl Readiness {
    /// Every one, as it is written in the declared file.
    pub const NAMES: [&str; 5] = ["owner", "objectives", "smoke", "drill", "hooks"];

    /// As it is written in the declared file.
    pub fn name(self) -> &'static str {
        match self {
            Readiness::Owner => "owner",
            Readiness::Objectives => "objectives",
            Readiness::Smoke => "smoke",
            Readiness::Drill => "drill",
            Readiness::Hooks => "hooks",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Readiness> {
        [Readiness::Owner, Readiness::Objectives, Readiness::Smoke, Readiness::Drill, Readiness::Hooks]
            .into_iter()
            .find(|what| what.name() == name)
    }
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.service)?;
        if let Some(version) = &self.at_least {
            write!(f, " >= {version}")?;
        }
        match &self.environment {
            Some(environment) => write!(f, " in {environment}"),
            None => Ok(()),
        }
    }
}
