//! Artifacts: packed folders, by digest.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use slipway_core::names::Digest;
use slipway_registry::BlobError;

use crate::problem::{Problem, WireProblem};
use crate::state::App;

fn digest(text: &str) -> Result<Digest, Problem> {
    Ok(text.parse::<Digest>()?)
}

/// Keeps an artifact: an uncompressed tar archive whose SHA-256 is the one in the path.
#[utoipa::path(put, path = "/api/v1/artifacts/{digest}", tag = "artifacts", params(("digest" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 201, body = Object), (status = 200, body = Object), (status = 422, body = WireProblem)))]
pub(crate) async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let digest = digest(&name)?;
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let reader = tokio_util::io::StreamReader::new(stream);
    let stored = app.blobs.put(reader, &digest).await.map_err(refused)?;
    let status = if stored.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "digest": digest, "size": stored.size }))))
}

fn refused(error: BlobError) -> Problem {
    let (status, code) = match &error {
        BlobError::WrongDigest { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_digest"),
        BlobError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        BlobError::BrokenOff { .. } => (StatusCode::BAD_REQUEST, "broken_off"),
        BlobError::DiskFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "artifacts_unavailable"),
    };
    Problem::new(status, code, error.to_string())
}

/// Whether an artifact is here.
#[utoipa::path(head, path = "/api/v1/artifacts/{digest}", tag = "artifacts", params(("digest" = String, Path)),
    responses((status = 200), (status = 404)))]
pub(crate) async fn head(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    Ok(if app.blobs.contains(&digest(&name)?) { StatusCode::OK } else { StatusCode::NOT_FOUND })
}
