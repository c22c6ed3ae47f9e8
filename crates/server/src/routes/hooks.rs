//! Hooks: who is told, and how far.

use axum::Json;
use axum::extract::{Path, State};

use crate::problem::{Problem, WireProblem};
use crate::routes::lane;
use crate::state::App;
use crate::wire::WireHook;

/// The hooks of a service in an environment, and how far each was told.
#[utoipa::path(get, path = "/api/v1/services/{service}/environments/{environment}/hooks", tag = "hooks",
    params(("service" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = Vec<WireHook>), (status = 404, body = WireProblem)))]
pub(crate) async fn list(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Json<Vec<WireHook>>, Problem> {
    let hooks = app.control.hooks(&lane(&path.0, &path.1)?).await?;
    Ok(Json(hooks.into_iter().map(WireHook::from).collect()))
}

/// The hooks of an environment's file, and how far each was told of what belongs to no service.
#[utoipa::path(get, path = "/api/v1/environments/{environment}/hooks", tag = "hooks",
    params(("environment" = String, Path)),
    responses((status = 200, body = Vec<WireHook>), (status = 404, body = WireProblem)))]
pub(crate) async fn of_environment(
    State(app): State<App>,
    Path(environment): Path<String>,
) -> Result<Json<Vec<WireHook>>, Problem> {
    let hooks = app.control.environment_hooks(&environment.parse()?).await?;
    Ok(Json(hooks.into_iter().map(WireHook::from).collect()))
}
