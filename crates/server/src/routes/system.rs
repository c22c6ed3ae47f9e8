//! The control plane itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::problem::{Problem, WireProblem};
use crate::state::{App, Farewell};

/// Whether the control plane answers and can use its store. Needs no token.
#[utoipa::path(get, path = "/api/v1/healthz", tag = "system", responses((status = 200, body = Object), (status = 503, body = WireProblem)))]
pub(crate) async fn healthz(State(app): State<App>) -> Result<Json<Value>, Problem> {
    app.control.store().ping().await?;
    Ok(Json(json!({ "ok": true })))
}

/// What is running.
#[utoipa::path(get, path = "/api/v1/version", tag = "system", responses((status = 200, body = Object)))]
pub(crate) async fn version() -> Json<Value> {
    Json(json!({ "name": "slipway", "version": env!("CARGO_PKG_VERSION") }))
}

/// Stops everything: gateway, instances, control plane. What should run is remembered.
#[utoipa::path(post, path = "/api/v1/down", tag = "system", responses((status = 202, body = Object)))]
pub(crate) async fn down(State(app): State<App>) -> Result<(StatusCode, Json<Value>), Problem> {
    let gone = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the control plane is ending already");
    app.farewell.try_send(Farewell).map_err(gone)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "stopping": true, "pid": std::process::id() }))))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "system", responses((status = 200, body = Object)))]
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::router::document())
}
