//! Environments: what waits for somebody's word and for whose, which gates stand, what is frozen, what has drifted.

pub(super) mod view;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use slipway_core::names::{EnvironmentName, LaneId};

use super::frame::Wanted;
use super::overview::{self, shared::Shared};
use super::session::Viewer;
use crate::problem::Problem;
use crate::state::App;
use crate::wire::{WireEnvironment, WireGates};

/// Services whose gates are looked up for one page, besides those in which something waits.
const LOOKED_UP: usize = 50;

/// Everything that the page is made from, as the API tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Services there, with their open rollouts.
    pub lanes: Vec<overview::Told>,
    /// How the gates of each stand, as far as they were looked up.
    pub gates: Vec<WireGates>,
    /// What its file says, where it has one.
    pub file: Option<WireEnvironment>,
}

/// The list of them.
pub(super) async fn list(
    State(app): State<App>,
    Extension(shared): Extension<Arc<Shared>>,
    Extension(viewer): Extension<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let told: Vec<_> = shared.told(&app).await?.iter().map(|told| overview::Told::clone(told)).collect();
    let view = view::list(&viewer, &told);
    Wanted::of(&headers).answer(&view)
}

/// One of them.
pub(super) async fn page(
    State(app): State<App>,
    Extension(shared): Extension<Arc<Shared>>,
    Extension(viewer): Extension<Viewer>,
    Path(environment): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let environment: EnvironmentName = environment.parse()?;
    let told = told(&app, &shared, &environment).await?;
    let view = view::view(&viewer, environment.as_str(), &told);
    Wanted::of(&headers).answer(&view)
}

async fn told(app: &App, shared: &Shared, environment: &EnvironmentName) -> Result<Told, Problem> {
    let all = shared.told(app).await?;
    let here = all.iter().filter(|told| told.0.environment == environment.as_str());
    let lanes: Vec<_> = here.map(|told| overview::Told::clone(told)).collect();
    let file = app.control.environment(environment).await.ok().map(|now| WireEnvironment::from(&now));
    if lanes.is_empty() && file.is_none() {
        return Err(Problem::not_found(format!("nothing was ever released to {environment}")));
    }
    let mut told = Told { gates: Vec::new(), file, lanes };
    let (waiting, calm): (Vec<_>, Vec<_>) = told.lanes.iter().partition(|(lane, _)| !lane.queue.is_empty());
    for (lane, _) in waiting.into_iter().chain(calm.into_iter().take(LOOKED_UP)) {
        let id = LaneId { service: lane.service.parse()?, environment: environment.clone() };
        told.gates.extend(app.control.gates(&id).await.ok().map(WireGates::from));
    }
    Ok(told)
}
