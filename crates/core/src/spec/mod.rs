//! The declared file, `slipway.yaml`: reading it, checking it, and what it means.
//!
//! Reads text that somebody else has loaded. Says every mistake at once, each with line, column, key and what to do.

mod digest;
mod environments;
mod mistake;
mod model;
mod node;
mod parse;
mod reader;
mod scalars;
mod schema;
mod smoke;
#[cfg(test)]
mod tests;

pub use digest::config_digest;
pub use environments::UnknownStrategy;
pub use mistake::Mistake;
pub use model::{
    Amount, Bad, EnvironmentSpec, Expect, HealthCheck, HealthProbe, Objective, OnInconclusive, Run, ServiceSpec,
    SmokeAction, SmokeTest, Strategy, StrategyKind, Tolerate, Traffic, TrafficOverlay,
};
pub use parse::{Declared, parse};
pub use schema::json_schema;
