//! The file of an environment: which services run there, in which versions and numbers, and what every release into it
//! must meet. Reading it, and writing it as an export.
//!
//! [`parse`] reads as [`super::parse`] does: every mistake at once, each with its place. What the file means for what
//! runs is the business of [`crate::environment`].

mod places;
mod read;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use places::Places;
pub(crate) use write::{afters, cohorts, drill, duration, gates, hook};

use super::cohort::Cohort;
use super::hooks::Hook;
use super::mistake::{Findings, Mistake, Position, Wrong};
use super::policy::{After, DrillPolicy, Gates};
use super::reader::Reader;
use super::{schema, tree};
use crate::names::{Digest, EnvironmentName, ServiceName, VersionName};
use crate::units::Millis;

/// An environment as its file declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentFile {
    /// The environment.
    pub environment: EnvironmentName,
    /// The Slipway that the file is for; any where absent.
    #[serde(default)]
    pub cluster: Option<String>,
    /// What is no longer as the file says is brought back by itself.
    #[serde(default)]
    pub heal: bool,
    /// What must hold before the first act of every release into the environment, beside what the release declares.
    #[serde(default)]
    pub gates: Gates,
    /// How old the last drill of a service may be when a release begins.
    #[serde(default)]
    pub require_drill: Option<Millis>,
    /// Who meets a canary of any of its services first, before the cohorts that releases bring.
    #[serde(default)]
    pub cohorts: Vec<Cohort>,
    /// When the way back is practised by itself, of services that say nothing of it themselves.
    #[serde(default)]
    pub drill: Option<DrillPolicy>,
    /// Who is told of what happens to any of its services, and who is asked before it does, beside what releases bring.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// What runs there.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, ServiceEntry>,
}

/// A service as an environment's file declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// The version that serves.
    pub version: VersionName,
    /// How many instances; as its own file says where absent.
    #[serde(default)]
    pub instances: Option<u32>,
    /// What other services must serve first: a gate, and the order in which the environment comes up.
    #[serde(default)]
    pub after: Vec<After>,
    /// What the version's artifact must be.
    #[serde(default)]
    pub artifact: Option<Digest>,
    /// What the version's configuration must be.
    #[serde(default)]
    pub config: Option<Digest>,
}

impl EnvironmentFile {
    /// A file that declares nothing yet.
    pub fn empty(environment: EnvironmentName) -> EnvironmentFile {
        EnvironmentFile {
            environment,
            cluster: None,
            heal: false,
            gates: Gates::default(),
            require_drill: None,
            cohorts: Vec::new(),
            drill: None,
            hooks: Vec::new(),
            services: BTreeMap::new(),
        }
    }
}

/// A file that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What it declares, defaults filled in.
    pub file: EnvironmentFile,
    /// What is doubtful in it, in the order of the file.
    pub warnings: Vec<Mistake>,
    /// Where everything stands, for what only the server can find wrong.
    pub places: Places,
}

/// Reads the file of an environment. The error holds every mistake in it, in the order of the file.
pub fn parse(text: &str) -> Result<Declared, Vec<Mistake>> {
    let findings = Findings::with_places(schema::environment_file_places);
    let root = tree::build(text, &findings);
    let file = root.as_ref().and_then(|root| read::file(&Reader::new(root, &findings)));
    if file.is_none() && !findings.any() {
        let wrong = Wrong::new("the file declares nothing").hint("start with environment: production");
        findings.mistake(Position::START, "", wrong);
    }
    let places = root.map(|root| Places::of(&root)).unwrap_or_default();
    let (mistakes, warnings) = findings.into_parts();
    match file {
        Some(file) if mistakes.is_empty() => Ok(Declared { file, warnings, places }),
        _ => Err(mistakes),
    }
}

/// The JSON Schema (draft 2020-12) of the file, printed by `slipway env schema`.
pub fn json_schema() -> serde_json::Value {
    schema::environment_file()
}
