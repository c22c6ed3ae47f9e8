//! The declared file, `slipway.yaml`: reading it, checking it, and what it means.
//!
//! [`parse`] is the way in: text to [`ServiceSpec`], or every mistake at once, each with its place. [`json_schema`]
//! describes the file as it is written, [`config_digest`] names the part of it that belongs to a version. Nothing
//! here opens a file or knows what a rollout is. Called by the command line (`check`, `schema`, `plan`, `release`) and
//! by the server, which takes nobody's word that a file was checked.

mod cohort;
mod config;
mod diff;
mod digest;
mod env_file;
pub mod environment_file;
mod group;
mod hooks;
mod migrate;
mod mirror;
mod mistake;
mod model;
mod named;
mod policy;
mod probe;
mod read;
mod reader;
mod scalar;
mod schema;
mod strategy;
mod together;
mod tree;
mod worker;

pub use cohort::Cohort;
pub use config::Config;
pub use diff::{Difference, differences};
pub use digest::config_digest;
pub use env_file::parse_env_file;
pub use group::{GroupMember, GroupSpec, parse_group};
pub use hooks::{Before, Hook, OnSilence, Pattern, Receiver, Secret};
pub use migrate::Migrate;
pub use mirror::Mirror;
pub use mistake::{Mistake, nearest};
pub use model::{
    Amount, Bad, EnvironmentSpec, Expect, HealthCheck, HealthProbe, Objective, OnInconclusive, Run, ServiceSpec,
    SmokeAction, SmokeTest, Strategy, StrategyKind, Tolerate, Traffic, TrafficOverlay,
};
pub use named::{Named, inlined};
pub use policy::{After, Approvals, DrillPolicy, Freeze, Gates, OnBreach, Readiness};
pub use probe::{Probe, ProbeRequest};
pub use schema::json_schema;
pub use strategy::UnknownStrategy;
pub use worker::{StopSignal, Unfit, Worker};

use mistake::{Findings, Position, Wrong};
use reader::Reader;

/// A declared file that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What it declares, defaults filled in.
    pub spec: ServiceSpec,
    /// What is doubtful in it, in the order of the file.
    pub warnings: Vec<Mistake>,
}

/// Reads a declared file. The error holds every mistake in it, in the order of the file.
///
/// It has to hold everything itself: a file that is named with `from` is a mistake here, see [`parse_naming`].
pub fn parse(text: &str) -> Result<Declared, Vec<Mistake>> {
    let findings = Findings::default();
    let spec = read_whole(text, &findings);
    declared(spec, findings)
}

/// Reads a declared file that may name files beside it, for somebody who looks them up and puts them in with
/// [`inlined`]. Until then what it declares has empty files in their place.
pub fn parse_naming(text: &str) -> Result<(Declared, Vec<Named>), Vec<Mistake>> {
    let findings = Findings::looked_up();
    let spec = read_whole(text, &findings);
    let named = findings.named();
    declared(spec, findings).map(|declared| (declared, named))
}

fn read_whole(text: &str, findings: &Findings) -> Option<ServiceSpec> {
    let spec = tree::build(text, findings).and_then(|root| read::service(&Reader::new(&root, findings)));
    if spec.is_none() && !findings.any() {
        let wrong = Wrong::new("the file declares nothing").hint("start with service: checkout");
        findings.mistake(Position::START, "", wrong);
    }
    spec
}

fn declared(spec: Option<ServiceSpec>, findings: Findings) -> Result<Declared, Vec<Mistake>> {
    let (mistakes, warnings) = findings.into_parts();
    match spec {
        Some(spec) if mistakes.is_empty() => Ok(Declared { spec, warnings }),
        _ => Err(mistakes),
    }
}

/// A duration as it is written in a declared file: `20s`, `1h30m`. The error says what to write instead.
pub fn duration(text: &str) -> Result<crate::units::Millis, String> {
    scalar::duration(text).map_err(said)
}

/// A share of requests, in steps of 0.01%: `5%`, `0.5%`.
pub fn weight(text: &str) -> Result<crate::units::Weight, String> {
    scalar::weight(text).map_err(said)
}

/// A size in bytes: `10MB`, `512KiB`.
pub fn size(text: &str) -> Result<u64, String> {
    scalar::size(text).map_err(said)
}

fn said(wrong: mistake::Wrong) -> String {
    match wrong.hint {
        Some(hint) => format!("{} ({hint})", wrong.message),
        None => wrong.message,
    }
}

#[cfg(test)]
mod tests;
