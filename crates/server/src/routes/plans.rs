//! What a release would do.

use axum::extract::State;
use axum::{Extension, Json};
use slipway_control::{By, ReleaseRequest};

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{NewRelease, WireComparison, WirePlan};

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

/// The strategies side by side for a release, without doing anything.
#[utoipa::path(post, path = "/api/v1/plans/comparison", tag = "releases", request_body = NewRelease,
    responses((status = 200, body = WireComparison), (status = 422, body = WireProblem)))]
pub(crate) async fn compare(
    State(app): State<App>,
    Body(new): Body<NewRelease>,
) -> Result<Json<WireComparison>, Problem> {
    Ok(Json(compared(&app, new.into()).await?))
}

/// The strategies side by side, for the wire.
pub(crate) async fn compared(app: &App, request: ReleaseRequest) -> Result<WireComparison, Problem> {
    let compared = app.control.compare_strategies(request).await?;
    let names =
        (compared.lane.service.to_string(), compared.lane.environment.to_string(), compared.version.to_string());
    Ok(WireComparison::new(names, compared.instances, compared.rate, compared.comparison))
}
