//! Gates: how they stand, and giving one's word.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use slipway_control::By;
use slipway_core::names::RolloutId;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::routes::{lane, rollouts};
use crate::state::App;
use crate::wire::{NewApproval, WireGates, WireRollout};

/// How the gates of a service in an environment stand: for the release that waits, or for the next one.
#[utoipa::path(get, path = "/api/v1/services/{service}/environments/{environment}/gates", tag = "gates",
    params(("service" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = WireGates), (status = 404, body = WireProblem)))]
pub(crate) async fn of_lane(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Json<WireGates>, Problem> {
    Ok(Json(app.control.gates(&lane(&path.0, &path.1)?).await?.into()))
}

/// How the gates of a release that waits stand, with its plan: what an approver must see.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/gates", tag = "gates", params(("id" = String, Path)),
    responses((status = 200, body = WireGates), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn of_rollout(State(app): State<App>, Path(id): Path<String>) -> Result<Json<WireGates>, Problem> {
    Ok(Json(app.control.gates_of_rollout(&id.parse()?).await?.into()))
}

/// Gives the caller's word for exactly what they were shown.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/approvals", tag = "gates", params(("id" = String, Path)),
    request_body = NewApproval,
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn approve(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    Body(new): Body<NewApproval>,
) -> Result<Json<WireRollout>, Problem> {
    let id: RolloutId = id.parse()?;
    app.control.approve(&id, &new.shown, &by).await?;
    Ok(Json(rollouts::find(&app, &id).await?))
}
