//! Asking for releases.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use slipway_control::By;
use slipway_core::rights::{Right, Rights};

use crate::auth::allowed;
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
    Extension(rights): Extension<Rights>,
    Body(new): Body<NewRelease>,
) -> Result<(StatusCode, Json<WireRollout>), Problem> {
    if let Some(reason) = &new.overriding {
        allowed(&by, &rights, Right::Override)?;
        reasonable("override", reason)?;
    }
    let id = app.control.release(new.into(), &by).await?;
    Ok((StatusCode::CREATED, Json(rollouts::find(&app, &id).await?)))
}

/// A reason that people can read later.
pub(super) fn reasonable(what: &str, reason: &str) -> Result<(), Problem> {
    match reason.trim().is_empty() || reason.chars().count() > 500 || reason.chars().any(char::is_control) {
        true => Err(Problem::bad_request(format!("{what} takes a reason: one line of 1 to 500 characters"))),
        false => Ok(()),
    }
}
