//! Rollouts.

use axum::Json;
use axum::extract::{Path, State};
use slipway_core::names::RolloutId;
use slipway_store::Filter;

use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{Explanation, WireBeside, WireRollout, WireSample, explanation, rollout};

/// Kinds of the journal that an explanation tells beside steps and decisions.
const BESIDE: [&str; 3] = ["rollout.approved", "gates.overridden", "schema"];

/// A rollout for the wire.
pub(crate) async fn find(app: &App, id: &RolloutId) -> Result<WireRollout, Problem> {
    let found = app.control.rollout(id).await?;
    found.as_ref().and_then(rollout).ok_or_else(|| Problem::not_found(format!("there is no rollout {id}")))
}

/// A rollout as it stands: the plan's steps, what is waited for, the split, the evidence.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", tag = "rollouts", params(("id" = String, Path)),
    responses((status = 200, body = WireRollout), (status = 404, body = WireProblem)))]
pub(crate) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Json<WireRollout>, Problem> {
    Ok(Json(find(&app, &id.parse()?).await?))
}

/// Why a rollout went as it did: every decision with its numbers.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/explanation", tag = "rollouts", params(("id" = String, Path)),
    responses((status = 200, body = Explanation), (status = 404, body = WireProblem)))]
pub(crate) async fn explain(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Explanation>, Problem> {
    Ok(Json(explained(&app, &id.parse()?).await?))
}

/// Why a rollout went as it did, for the wire.
pub(crate) async fn explained(app: &App, id: &RolloutId) -> Result<Explanation, Problem> {
    let found = app.control.rollout(id).await?;
    let none = || Problem::not_found(format!("there is no rollout {id}, or it has not begun"));
    let mut told = found.as_ref().and_then(explanation).ok_or_else(none)?;
    for kind in BESIDE {
        let filter = Filter { rollout: Some(id.clone()), kind: Some(kind.to_string()), ..Filter::default() };
        told.beside.extend(app.control.store().entries(&filter).await?.into_iter().map(WireBeside::from));
    }
    told.beside.sort_by_key(|entry| entry.at);
    Ok(told)
}

/// What a rollout looked like as it went, oldest first: the judge's numbers, the split, what was waited for.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/samples", tag = "rollouts", params(("id" = String, Path)),
    responses((status = 200, body = Vec<WireSample>), (status = 404, body = WireProblem)))]
pub(crate) async fn samples(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Vec<WireSample>>, Problem> {
    let id: RolloutId = id.parse()?;
    find(&app, &id).await?;
    Ok(Json(sampled(&app, &id).await?))
}

/// The samples of a rollout, for the wire.
pub(crate) async fn sampled(app: &App, id: &RolloutId) -> Result<Vec<WireSample>, Problem> {
    Ok(app.control.store().samples(id).await?.into_iter().map(WireSample::from).collect())
}
