//! The handlers: one file for each noun. They parse, call and wrap.

pub(crate) mod artifacts;
pub(crate) mod commands;
pub(crate) mod environments;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod files;
pub(crate) mod gates;
pub(crate) mod gateways;
pub(crate) mod groups;
pub(crate) mod hooks;
pub(crate) mod journal;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod operating;
pub(crate) mod outcomes;
pub(crate) mod plans;
pub(crate) mod releases;
pub(crate) mod rollouts;
pub(crate) mod services;
pub(crate) mod system;
pub(crate) mod tokens;
pub(crate) mod versions;

use slipway_core::names::{EnvironmentName, LaneId, ServiceName};

use crate::problem::Problem;

/// The lane of a path.
pub(crate) fn lane(service: &str, environment: &str) -> Result<LaneId, Problem> {
    Ok(LaneId { service: service.parse::<ServiceName>()?, environment: environment.parse::<EnvironmentName>()? })
}
