//! What people ask of that which serves, without releasing anything.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use slipway_control::By;
use slipway_core::names::LaneId;
use slipway_core::traffic::Maintenance;
use slipway_core::units::Millis;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::routes::lane;
use crate::state::App;
use crate::wire::{LaneStatus, NewMaintenance, NewScale, NewSettlement, lane_status};

/// Most instances that a service may be scaled to.
pub(crate) const MOST_INSTANCES: u32 = 1_000;
/// The longest that requests may be held.
pub(crate) const LONGEST_HOLD_MS: u64 = 60_000;
/// The largest page in bytes.
const PAGE_LIMIT: usize = 64 << 10;

pub(super) async fn status(app: &App, lane: &LaneId) -> Result<Json<LaneStatus>, Problem> {
    let now = app.control.lane(lane).await?;
    let none = || Problem::not_found(format!("nothing was ever released to {lane}"));
    Ok(Json(lane_status(&now.ok_or_else(none)?)))
}

/// Wants another number of instances, until a release declares more.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/scale", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewScale,
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn scale(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewScale>,
) -> Result<Json<LaneStatus>, Problem> {
    if new.instances == 0 || new.instances > MOST_INSTANCES {
        return Err(Problem::bad_request(format!("instances must be 1 to {MOST_INSTANCES}, not {}", new.instances)));
    }
    let lane = lane(&path.0, &path.1)?;
    app.control.scale(&lane, new.instances, &by).await?;
    status(&app, &lane).await
}

/// Replaces every instance, one after the other, each healthy and tested before its elder goes.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/restart", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn restart(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
) -> Result<Json<LaneStatus>, Problem> {
    let lane = lane(&path.0, &path.1)?;
    app.control.restart(&lane, &by).await?;
    status(&app, &lane).await
}

/// Begins maintenance: requests are held for a while, then answered with a page.
#[utoipa::path(put, path = "/api/v1/services/{service}/environments/{environment}/maintenance", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewMaintenance,
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn begin(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewMaintenance>,
) -> Result<Json<LaneStatus>, Problem> {
    if new.hold_ms > LONGEST_HOLD_MS {
        return Err(Problem::bad_request(format!("requests are held for {LONGEST_HOLD_MS} ms at the most")));
    }
    if new.page.as_ref().is_some_and(|page| page.len() > PAGE_LIMIT) {
        let detail = format!("the page is larger than {PAGE_LIMIT} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_body", detail));
    }
    let lane = lane(&path.0, &path.1)?;
    let maintenance = Maintenance {
        hold: Millis(new.hold_ms),
        page: new.page,
        retry_after: Millis(new.retry_after_ms.unwrap_or(30_000)),
    };
    app.control.maintain(&lane, Some(maintenance), &by).await?;
    status(&app, &lane).await
}

/// Ends maintenance.
#[utoipa::path(delete, path = "/api/v1/services/{service}/environments/{environment}/maintenance", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn end(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
) -> Result<Json<LaneStatus>, Problem> {
    let lane = lane(&path.0, &path.1)?;
    app.control.maintain(&lane, None, &by).await?;
    status(&app, &lane).await
}

/// Says what a migration has done that was cut off, after having looked at the database.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/migration", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewSettlement,
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn settle(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewSettlement>,
) -> Result<Json<LaneStatus>, Problem> {
    let lane = lane(&path.0, &path.1)?;
    app.control.settle_migration(&lane, new.applied, &by).await?;
    status(&app, &lane).await
}
