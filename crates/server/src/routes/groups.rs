//! Groups: several services with one plan and one way back.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use slipway_control::By;
use slipway_core::names::{EnvironmentName, GroupName};

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{NewGroupRelease, WireGroupPlan, WireGroupRun};

/// Most services in a group.
const MOST: usize = 50;

/// What a group release would do, without doing anything.
#[utoipa::path(post, path = "/api/v1/groups/{group}/plans", tag = "groups", params(("group" = String, Path)),
    request_body = NewGroupRelease,
    responses((status = 200, body = WireGroupPlan), (status = 409, body = WireProblem), (status = 422, body = WireProblem)))]
pub(crate) async fn plan(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(group): Path<String>,
    Body(new): Body<NewGroupRelease>,
) -> Result<Json<WireGroupPlan>, Problem> {
    let (group, environment) = (bounded(&group, &new)?, new.environment.to_string());
    let planned = app.control.plan_group(new.request(group.clone()), &by).await?;
    Ok(Json(WireGroupPlan::new(group.to_string(), environment, planned)))
}

/// Asks for the release of a group. Refused whole where any of its services could not begin. Send an `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/groups/{group}/releases", tag = "groups", params(("group" = String, Path)),
    request_body = NewGroupRelease,
    responses((status = 201, body = WireGroupRun), (status = 409, body = WireProblem), (status = 422, body = WireProblem)))]
pub(crate) async fn release(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(group): Path<String>,
    Body(new): Body<NewGroupRelease>,
) -> Result<(StatusCode, Json<WireGroupRun>), Problem> {
    let group = bounded(&group, &new)?;
    if new.services.iter().any(|service| service.release.overriding.is_some() || service.release.supersede) {
        return Err(Problem::bad_request(
            "a group takes neither override nor supersede: release the service by itself",
        ));
    }
    let run = app.control.release_group(new.request(group), &by).await?;
    Ok((StatusCode::CREATED, Json(WireGroupRun::from(&run))))
}

/// The newest release of a group into an environment.
#[utoipa::path(get, path = "/api/v1/groups/{group}/environments/{environment}", tag = "groups",
    params(("group" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = WireGroupRun), (status = 404, body = WireProblem)))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Json<WireGroupRun>, Problem> {
    let (group, environment) = named(&path)?;
    Ok(Json(WireGroupRun::from(&app.control.group(&group, &environment).await?)))
}

/// Takes the newest release of a group back, in reverse order.
#[utoipa::path(post, path = "/api/v1/groups/{group}/environments/{environment}/rollback", tag = "groups",
    params(("group" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = WireGroupRun), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn rollback(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
) -> Result<Json<WireGroupRun>, Problem> {
    let (group, environment) = named(&path)?;
    Ok(Json(WireGroupRun::from(&app.control.roll_group_back(&group, &environment, &by).await?)))
}

fn named(path: &(String, String)) -> Result<(GroupName, EnvironmentName), Problem> {
    Ok((path.0.parse()?, path.1.parse()?))
}

fn bounded(group: &str, new: &NewGroupRelease) -> Result<GroupName, Problem> {
    match new.services.len() {
        1..=MOST => Ok(group.parse()?),
        n => Err(Problem::bad_request(format!("a group has 1 to {MOST} services, not {n}"))),
    }
}
