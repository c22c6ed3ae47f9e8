//! `Idempotency-Key`: the same request again gets the answer that it got before.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use slipway_core::names::Digest;
use slipway_store::Remembered;

use crate::problem::Problem;
use crate::state::App;

/// Largest body that is looked at; the API's own limit is smaller.
const LIMIT: usize = 4 << 20;
/// Longest key.
const KEY_LIMIT: usize = 200;

/// Answers from memory where the key is known; remembers answers that stand.
pub(crate) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    let key = request.headers().get("idempotency-key").map(|v| v.to_str().map(str::to_string));
    let key = match key {
        None => return next.run(request).await,
        Some(Ok(key)) if !key.is_empty() && key.len() <= KEY_LIMIT => key,
        Some(_) => {
            return Problem::bad_request(format!("the idempotency key must be 1 to {KEY_LIMIT} printable bytes"))
                .into_response();
        }
    };
    match replay_or_run(app, key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn replay_or_run(app: App, key: String, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_body", "the body is too large");
    let bytes = to_bytes(body, LIMIT).await.map_err(too_large)?;
    let asked =
        Digest::of(&[parts.method.as_str().as_bytes(), b" ", parts.uri.to_string().as_bytes(), b"\n", &bytes].concat());
    let store = app.control.store();
    if let Some(before) = store.recall(&key, asked.as_str(), app.control.now()).await? {
        let status = StatusCode::from_u16(before.status).unwrap_or(StatusCode::OK);
        return Ok((status, [("content-type", "application/json"), ("idempotent-replayed", "true")], before.body)
            .into_response());
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, LIMIT)
        .await
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", e.to_string()))?;
    let answer = Remembered { status: parts.status.as_u16(), body: String::from_utf8_lossy(&bytes).into_owned() };
    store.remember(&key, asked.as_str(), &answer, app.control.now()).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
