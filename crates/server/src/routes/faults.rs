//! Faults that are injected on purpose.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use slipway_control::By;
use slipway_core::names::VersionName;
use slipway_core::rollout::commands::NewFault as Wanted;
use slipway_core::units::{Millis, Weight};

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::routes::lane;
use crate::routes::operating::status;
use crate::state::App;
use crate::wire::{LaneStatus, NewEnd, NewFault};

/// The longest reason in characters.
const REASON_LIMIT: usize = 500;

/// Injects a fault into a share of a version's requests, until its time is over. Send an `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/faults", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewFault,
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn begin(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewFault>,
) -> Result<Json<LaneStatus>, Problem> {
    let bad = |detail: String| Problem::bad_request(detail);
    let what = new.kind();
    let what = what.ok_or_else(|| bad("say exactly one of latency_ms, abort, reset and slow_body".into()))?;
    let share = Weight::from_bp(new.share_bp).ok_or_else(|| bad("share_bp is 10000 at the most".into()))?;
    let version = new.version.map(|version| version.parse::<VersionName>()).transpose()?;
    let reason = reason(new.reason)?;
    let lane = lane(&path.0, &path.1)?;
    let wanted = Wanted { what, version, cohort: new.cohort, share, length: Millis(new.for_ms), reason };
    app.control.inject(&lane, wanted, &by).await?;
    status(&app, &lane).await
}

/// Ends all faults at once, before their time is over.
#[utoipa::path(post, path = "/api/v1/services/{service}/environments/{environment}/faults/end", tag = "commands",
    params(("service" = String, Path), ("environment" = String, Path)), request_body = NewEnd,
    responses((status = 200, body = LaneStatus), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn end(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(path): Path<(String, String)>,
    Body(new): Body<NewEnd>,
) -> Result<Json<LaneStatus>, Problem> {
    let lane = lane(&path.0, &path.1)?;
    app.control.end_faults(&lane, reason(new.reason)?, &by).await?;
    status(&app, &lane).await
}

fn reason(reason: Option<String>) -> Result<Option<String>, Problem> {
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_LIMIT) {
        return Err(Problem::bad_request(format!("a reason has {REASON_LIMIT} characters at the most")));
    }
    Ok(reason)
}
