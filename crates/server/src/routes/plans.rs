//! What a release would do.

use axum::extract::State;
use axum::{Extension, Json};
use slipway_control::By;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{NewRelease, WirePlan};

/// The plan of a release, without doing anything.
#[utoipa::path(post, path = "/api/v1/plans", tag = "releases", request_body = NewRelease,
    responses((status = 200, body = WirePlan), (status = 422, body = WireProblem)))]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Body(new): Body<NewRelease>,
) -> Result<Json<WirePlan>, Problem> {
    let (plan, gates) = app.control.plan(new.into(), &by).await?;
    Ok(Json(WirePlan::from(plan).behind(&gates)))
}
