//! Services: what runs where, and what happened to it.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use slipway_core::names::{EnvironmentName, ServiceName};

use crate::body::Asked;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{HistoryEntry, LaneStatus, history_entry, lane_status};

/// What runs where: one entry for each service in an environment.
#[utoipa::path(get, path = "/api/v1/services", tag = "services", responses((status = 200, body = Vec<LaneStatus>)))]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<LaneStatus>>, Problem> {
    Ok(Json(app.control.lanes().await?.iter().map(lane_status).collect()))
}

/// The same for one service.
#[utoipa::path(get, path = "/api/v1/services/{service}", tag = "services", params(("service" = String, Path)),
    responses((status = 200, body = Vec<LaneStatus>), (status = 404, body = WireProblem)))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(service): Path<String>,
) -> Result<Json<Vec<LaneStatus>>, Problem> {
    let service: ServiceName = service.parse()?;
    let found: Vec<LaneStatus> = app.control.lanes_of_service(&service).await?.iter().map(lane_status).collect();
    match found.is_empty() {
        true => Err(Problem::not_found(format!("no service {service} was ever released here"))),
        false => Ok(Json(found)),
    }
}

/// Which part of a history.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Only in this environment.
    environment: Option<String>,
    /// At most so many; 50 if absent.
    limit: Option<u32>,
}

/// The rollouts of a service, newest first.
#[utoipa::path(get, path = "/api/v1/services/{service}/history", tag = "services", params(("service" = String, Path), HistoryQuery),
    responses((status = 200, body = Vec<HistoryEntry>)))]
pub(crate) async fn history(
    State(app): State<App>,
    Path(service): Path<String>,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Json<Vec<HistoryEntry>>, Problem> {
    let environment = query.environment.map(|e| e.parse::<EnvironmentName>()).transpose()?;
    let limit = query.limit.unwrap_or(50).min(1_000);
    let rollouts = app.control.history(&service.parse()?, environment.as_ref(), limit).await?;
    let now = app.control.now();
    Ok(Json(rollouts.iter().map(|(lane, rollout)| history_entry(lane, rollout, now)).collect()))
}
