//! The declared file: checking it, and its schema.

use axum::Json;
use serde_json::{Value, json};
use slipway_core::spec;

use crate::problem::{Problem, WireProblem};

/// Checks a declared file: every mistake at once.
#[utoipa::path(post, path = "/api/v1/check", tag = "files", request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = Object), (status = 422, body = WireProblem)))]
pub(crate) async fn check(text: String) -> Result<Json<Value>, Problem> {
    let declared = spec::parse(&text).map_err(slipway_control::Error::Mistakes)?;
    Ok(Json(json!({ "service": declared.spec.service, "warnings": declared.warnings })))
}

/// The JSON Schema of the declared file.
#[utoipa::path(get, path = "/api/v1/schema", tag = "files", responses((status = 200, body = Object)))]
pub(crate) async fn schema() -> Json<Value> {
    Json(spec::json_schema())
}
