//! What people ask of a service in an environment.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use slipway_control::{By, Command};
use slipway_core::names::RolloutId;

use crate::body::{Asked, Body};
use crate::problem::{Problem, WireProblem};
use crate::routes::releases::reasonable;
use crate::routes::{lane, rollouts};
use crate::state::App;
use crate::wire::{NewDrill, NewRollback, WireRollout};

async fn command(app: &App, path: &(String, String), command: Command, by: &By) -> Result<Json<WireRollout>, Problem> {
    command_on(app, path, None, command, by).await
}

/// The same, and only for this rollout.
async fn command_on(
    app: &App,
    path: &(String, String),
    only: Option<&RolloutId>,
    command: Command,
    by: &By,
) -> Result<Json<WireRollout>, Problem> {
    let id = app.control.command_on(&lane(&path.0, &path.1)?, only, command, by).await?;
    Ok(Json(rollouts::find(app, &id).await?))
}

/// Nothing advances until resumed; the fail rule goes on.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/pause", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn pause(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
) -> Result<Json<WireRollout>, Problem> {
    command(&app, &path, Command::Pause, &by).await
}

/// A paused rollout goes on; a held one starts its step afresh.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/resume", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn resume(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
) -> Result<Json<WireRollout>, Problem> {
    command(&app, &path, Command::Resume, &by).await
}

/// Which step is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteQuery {
    /// The step that was looked at: refused where another one is at hand.
    step: Option<String>,
}

/// A person answers for the step at hand.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/promote", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path), PromoteQuery),
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn promote(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Asked(query): Asked<PromoteQuery>,
) -> Result<Json<WireRollout>, Problem> {
    command(&app, &path, Command::Promote { step: query.step }, &by).await
}

/// Which one is taken back, and how.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AbortQuery {
    /// Why instances that stable lacks are not to be waited for; they are where absent.
    force: Option<String>,
    /// The rollout that is meant: the open one, or one that waits, which is withdrawn. Absent: the open one, or the first that
    /// waits where none is open.
    rollout: Option<String>,
}

/// Takes the open rollout back, or withdraws one that waits.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/abort", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path), AbortQuery),
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn abort(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Asked(query): Asked<AbortQuery>,
) -> Result<Json<WireRollout>, Problem> {
    let word = match query.force {
        Some(reason) => {
            reasonable("force", &reason)?;
            Command::Force { reason }
        }
        None => Command::Abort,
    };
    let only = query.rollout.map(|id| id.parse()).transpose()?;
    command_on(&app, &path, only.as_ref(), word, &by).await
}

/// Takes the open rollout back, or brings an earlier version back. Send an `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/rollback", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewRollback,
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn rollback(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewRollback>,
) -> Result<Json<WireRollout>, Problem> {
    let id = app.control.rollback(&lane(&path.0, &path.1)?, new.to, &by).await?;
    Ok(Json(rollouts::find(&app, &id).await?))
}

/// Takes the way back on purpose and the way forth again, timed and judged. Send an `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/drill", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewDrill,
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn drill(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewDrill>,
) -> Result<Json<WireRollout>, Problem> {
    let id = app.control.drill(&lane(&path.0, &path.1)?, new.cold, &by).await?;
    Ok(Json(rollouts::find(&app, &id).await?))
}
