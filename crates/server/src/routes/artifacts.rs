//! Artifacts: packed folders, by digest.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use slipway_core::names::Digest;
use slipway_registry::BlobError;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::problem::{Problem, WireProblem};
use crate::state::App;

/// Of an upload that is refused, so many bytes are read all the same, and for so long.
const HEARD_OUT: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

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
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let mut reader = tokio_util::io::StreamReader::new(stream);
    let stored = match digest(&name) {
        Ok(digest) => app.blobs.put(&mut reader, &digest).await.map_err(refused).map(|stored| (digest, stored)),
        Err(problem) => Err(problem),
    };
    let (digest, stored) = match stored {
        Ok(stored) => stored,
        Err(problem) => {
            hear_out(reader).await;
            return Err(problem);
        }
    };
    let status = if stored.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "digest": digest, "size": stored.size }))))
}

/// Reads what still comes, for a while: a client that is cut off in the middle of its upload never reads why.
async fn hear_out(reader: impl AsyncRead + Unpin) {
    let mut rest = reader.take(HEARD_OUT);
    let _ = tokio::time::timeout(PATIENCE, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
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
