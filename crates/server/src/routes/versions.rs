//! Versions that are known.

use axum::Json;
use axum::extract::{Path, State};

use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::WireVersions;

/// What differs between two versions of a service.
#[utoipa::path(get, path = "/api/v1/services/{service}/versions/{from}/diff/{to}", tag = "services",
    params(("service" = String, Path), ("from" = String, Path), ("to" = String, Path)),
    responses((status = 200, body = WireVersions), (status = 404, body = WireProblem)))]
pub(crate) async fn diff(
    State(app): State<App>,
    Path((service, from, to)): Path<(String, String, String)>,
) -> Result<Json<WireVersions>, Problem> {
    let compared = app.control.compare(&service.parse()?, &from.parse()?, &to.parse()?).await?;
    Ok(Json(compared.into()))
}
