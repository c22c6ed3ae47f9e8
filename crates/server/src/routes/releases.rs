//! Asking for releases.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use slipway_control::By;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::routes::rollouts;
use crate::state::App;
use crate::wire::{NewRelease, WireRollout};

/// Asks for a release. Send an `Idempotency-Key`, so that asking again after a broken connection is not two releases.
#[utoipa::path(post, path = "/api/v1/releases", tag = "releases", request_body = NewRelease,
    responses((status = 201, body = WireRollout), (status = 409, body = WireProblem), (status = 422, body = WireProblem)))]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Body(new): Body<NewRelease>,
) -> Result<(StatusCode, Json<WireRollout>), Problem> {
    let id = app.control.release(new.into(), &by).await?;
    Ok((StatusCode::CREATED, Json(rollouts::find(&app, &id).await?)))
}
