//! Environments as files.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use slipway_control::By;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{NewEnvironmentFile, WireEnvironment, WireEnvironmentDiff, WireEnvironmentFile};

/// Applies a file: what the environment it names is to be. All of it or, where anything in it cannot be, nothing.
/// Answers at once; `coming` says whether something is still on its way.
#[utoipa::path(post, path = "/api/v1/environments", tag = "environments", request_body = NewEnvironmentFile,
    responses((status = 201, body = WireEnvironment), (status = 422, body = WireProblem)))]
pub(crate) async fn apply(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Body(new): Body<NewEnvironmentFile>,
) -> Result<(StatusCode, Json<WireEnvironment>), Problem> {
    let now = app.control.apply_environment(&new.file, &by).await?;
    Ok((StatusCode::CREATED, Json(WireEnvironment::from(&now))))
}

/// Every environment that has a file, as the file says and as it is.
#[utoipa::path(get, path = "/api/v1/environments", tag = "environments",
    responses((status = 200, body = Vec<WireEnvironment>)))]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<WireEnvironment>>, Problem> {
    Ok(Json(app.control.environments().await?.iter().map(WireEnvironment::from).collect()))
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/environments/{environment}", tag = "environments",
    params(("environment" = String, Path)),
    responses((status = 200, body = WireEnvironment), (status = 404, body = WireProblem)))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(environment): Path<String>,
) -> Result<Json<WireEnvironment>, Problem> {
    Ok(Json(WireEnvironment::from(&app.control.environment(&environment.parse()?).await?)))
}

/// The file of an environment as it is now. Applied, it changes nothing.
#[utoipa::path(get, path = "/api/v1/environments/{environment}/file", tag = "environments",
    params(("environment" = String, Path)),
    responses((status = 200, body = WireEnvironmentFile), (status = 404, body = WireProblem)))]
pub(crate) async fn export(
    State(app): State<App>,
    Path(environment): Path<String>,
) -> Result<Json<WireEnvironmentFile>, Problem> {
    Ok(Json(WireEnvironmentFile::from(&app.control.export_environment(&environment.parse()?).await?)))
}

/// What differs between a file and what is there, without doing anything.
#[utoipa::path(post, path = "/api/v1/environments/diff", tag = "environments", request_body = NewEnvironmentFile,
    responses((status = 200, body = WireEnvironmentDiff), (status = 422, body = WireProblem)))]
pub(crate) async fn compare(
    State(app): State<App>,
    Body(new): Body<NewEnvironmentFile>,
) -> Result<Json<WireEnvironmentDiff>, Problem> {
    let (environment, differences) = app.control.compare_environment(&new.file).await?;
    Ok(Json(WireEnvironmentDiff::new(&environment, &differences)))
}
