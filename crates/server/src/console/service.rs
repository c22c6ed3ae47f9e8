//! A service: what serves where, what happened to it with both times side by side, what differs between versions, and
//! what a next release would do.

mod buttons;
pub(super) mod view;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use slipway_control::ReleaseRequest;
use slipway_core::names::{LaneId, ServiceName};

use super::frame::Wanted;
use super::session::Viewer;
use crate::body::Asked;
use crate::problem::Problem;
use crate::state::App;
use crate::wire::{HistoryEntry, LaneStatus, WireComparison, WireGates, WireVersions, history_entry, lane_status};

/// Rollouts of the history that are shown.
const SHOWN: u32 = 50;

/// Everything that the page is made from, as the API tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The service in each of its environments.
    pub lanes: Vec<LaneStatus>,
    /// Its rollouts, newest first.
    pub history: Vec<HistoryEntry>,
    /// Its versions, newest first.
    pub versions: Vec<String>,
    /// What a next release would do and meet, in each environment.
    pub next: Vec<WireGates>,
    /// The strategies side by side for it, in each environment.
    pub compared: Vec<WireComparison>,
    /// Two versions side by side, where two were asked for, or why they cannot be.
    pub diff: Option<Result<WireVersions, String>>,
}

/// Which versions to compare.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Pair {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Path(service): Path<String>,
    Asked(pair): Asked<Pair>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service: ServiceName = service.parse()?;
    let told = told(&app, &service, &pair).await?;
    let view = view::view(&viewer, service.as_str(), &told, (&pair.from, &pair.to));
    Wanted::of(&headers).answer(&view)
}

async fn told(app: &App, service: &ServiceName, pair: &Pair) -> Result<Told, Problem> {
    let lanes = app.control.lanes_of_service(service).await?;
    if lanes.is_empty() {
        return Err(Problem::not_found(format!("no service {service} was ever released here")));
    }
    let now = app.control.now();
    let history = app.control.history(service, None, SHOWN).await?;
    let mut versions = app.control.store().releases(service).await?;
    versions.sort_by_key(|release| std::cmp::Reverse(release.created_at));
    let mut told = Told {
        lanes: lanes.iter().map(lane_status).collect(),
        history: history.iter().map(|(lane, rollout)| history_entry(lane, rollout, now)).collect(),
        versions: versions.into_iter().map(|release| release.version.to_string()).collect(),
        ..Told::default()
    };
    for lane in lanes.iter().filter(|now| now.lane.stable.is_some()) {
        told.next.push(app.control.gates(&lane.lane.id).await?.into());
        // A version whose file does not name the environment any more has nothing to be compared.
        told.compared.extend(compared(app, &lane.lane.id, &lane.lane.stable).await.ok());
    }
    if !pair.from.is_empty() && !pair.to.is_empty() {
        told.diff = Some(diff(app, service, pair).await.map_err(|problem| problem.detail().to_string()));
    }
    Ok(told)
}

async fn compared(
    app: &App,
    lane: &LaneId,
    stable: &Option<slipway_core::rollout::Release>,
) -> Result<WireComparison, Problem> {
    let request = ReleaseRequest {
        file: None,
        service: Some(lane.service.clone()),
        version: stable.as_ref().map(|release| release.version.clone()),
        artifact: None,
        config_only: false,
        environment: lane.environment.clone(),
        strategy: None,
        supersede: false,
        overriding: None,
    };
    crate::routes::plans::compared(app, request).await
}

async fn diff(app: &App, service: &ServiceName, pair: &Pair) -> Result<WireVersions, Problem> {
    Ok(app.control.compare(service, &pair.from.parse()?, &pair.to.parse()?).await?.into())
}
