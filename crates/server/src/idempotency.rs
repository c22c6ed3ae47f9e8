//! `Idempotency-Key`: the same request again gets the answer that it got before.
//!
//! A request that carries a key is carried out to its end even if its client goes away meanwhile, and the same key is
//! never at work twice at a time, so that whoever asks again finds the answer. A control plane that is killed between
//! the act and the note of it still knows the act: the key goes with it (see `slipway_control::By`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use slipway_control::By;
use slipway_core::names::Digest;
use slipway_store::Remembered;

use crate::problem::Problem;
use crate::state::App;

/// Largest body that is looked at; the API's own limit is smaller.
const LIMIT: usize = 4 << 20;
/// Longest key.
const KEY_LIMIT: usize = 200;

/// The keys that are at work.
#[derive(Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>);

impl Keys {
    fn gate(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        gates.entry(key.to_string()).or_default().clone()
    }
}

/// Answers from memory where the key is known; remembers answers that stand.
pub(crate) async fn once(
    State((app, keys)): State<(App, Keys)>,
    Extension(by): Extension<By>,
    request: Request,
    next: Next,
) -> Response {
    let key = match request.headers().get("idempotency-key").map(|v| v.to_str().map(str::to_string)) {
        None => return next.run(request).await,
        Some(Ok(key)) if !key.is_empty() && key.len() <= KEY_LIMIT => key,
        Some(_) => {
            let detail = format!("the Idempotency-Key must be 1 to {KEY_LIMIT} printable bytes");
            return Problem::bad_request(detail).into_response();
        }
    };
    let work = tokio::spawn(async move {
        let gate = keys.gate(&key);
        let _turn = gate.lock().await;
        replay_or_run(&app, &key, by, request, next).await
    });
    match work.await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(error) => Problem::internal(format!("the request was not carried out: {error}")).into_response(),
    }
}

async fn replay_or_run(app: &App, key: &str, by: By, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_body", "the body is too large");
    let bytes = to_bytes(body, LIMIT).await.map_err(too_large)?;
    let head = format!("{}\n{} {}\n", by.actor, parts.method, parts.uri);
    let asked = Digest::of(&[head.as_bytes(), &bytes].concat());
    let store = app.control.store();
    let before = match store.recall(key, asked.as_str(), app.control.now()).await {
        // A store that cannot be read must not keep anybody from going back; the act knows its key as well.
        Err(error @ slipway_store::Error::Unavailable(_)) => {
            tracing::warn!(%error, "what an idempotency key got before cannot be looked up");
            None
        }
        before => before?,
    };
    if let Some(before) = before {
        let status = StatusCode::from_u16(before.status).unwrap_or(StatusCode::OK);
        let headers = [("content-type", "application/json"), ("idempotent-replayed", "true")];
        return Ok((status, headers, before.body).into_response());
    }
    let repetitions = Digest::of(format!("{key}\n{asked}").as_bytes()).as_str().to_string();
    parts.extensions.insert(By { key: Some(repetitions), ..by });
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, LIMIT).await.map_err(|e| Problem::internal(e.to_string()))?;
    let answer = Remembered { status: parts.status.as_u16(), body: String::from_utf8_lossy(&bytes).into_owned() };
    if let Err(error) = store.remember(key, asked.as_str(), &answer, app.control.now()).await {
        // It is done: saying that it failed would be the one wrong answer.
        tracing::warn!(%error, "an answer could not be remembered for its idempotency key");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
