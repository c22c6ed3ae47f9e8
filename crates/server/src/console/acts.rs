//! Buttons: each does what a route of the API does, and leads to the page that shows it.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Redirect;
use serde::Deserialize;
use slipway_control::{By, Command};
use slipway_core::names::RolloutId;

use super::forms::{Form, Nothing};
use crate::problem::Problem;
use crate::routes::{lane, rollouts};
use crate::state::App;

type Done = Result<Redirect, Problem>;

async fn command(app: &App, id: &str, command: Command, by: &By) -> Done {
    let id: RolloutId = id.parse()?;
    let rollout = rollouts::find(app, &id).await?;
    let lane = lane(&rollout.service, &rollout.environment)?;
    app.control.command_on(&lane, Some(&id), command, by).await?;
    Ok(to(&id))
}

fn to(id: &RolloutId) -> Redirect {
    Redirect::to(&format!("/rollouts/{id}"))
}

/// Nothing advances until resumed.
pub(super) async fn pause(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    _: Form<Nothing>,
) -> Done {
    command(&app, &id, Command::Pause, &by).await
}

/// Goes on.
pub(super) async fn resume(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    _: Form<Nothing>,
) -> Done {
    command(&app, &id, Command::Resume, &by).await
}

/// The step at hand when the button was shown.
#[derive(Debug, Deserialize)]
pub(super) struct AtHand {
    step: String,
}

/// A person answers for that step, and for no later one.
pub(super) async fn promote(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    Form(form): Form<AtHand>,
) -> Done {
    command(&app, &id, Command::Promote { step: Some(form.step) }, &by).await
}

/// Takes the rollout back.
pub(super) async fn abort(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    _: Form<Nothing>,
) -> Done {
    command(&app, &id, Command::Abort, &by).await
}

/// What serves when the button was shown.
#[derive(Debug, Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    to: String,
}

/// Brings an earlier version back.
pub(super) async fn rollback(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path((service, environment)): Path<(String, String)>,
    Form(form): Form<Back>,
) -> Done {
    let version = (!form.to.is_empty()).then(|| form.to.parse()).transpose()?;
    Ok(to(&app.control.rollback(&lane(&service, &environment)?, version, &by).await?))
}

/// How a drill goes.
#[derive(Debug, Deserialize)]
pub(super) struct Drill {
    #[serde(default)]
    cold: String,
}

/// Takes the way back on purpose, and the way forth again.
pub(super) async fn drill(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path((service, environment)): Path<(String, String)>,
    Form(form): Form<Drill>,
) -> Done {
    Ok(to(&app.control.drill(&lane(&service, &environment)?, form.cold == "on", &by).await?))
}

/// What the viewer was shown.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    shown: String,
}

/// The viewer's word for exactly what they were shown.
pub(super) async fn approve(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    Form(form): Form<Shown>,
) -> Done {
    let id: RolloutId = id.parse()?;
    app.control.approve(&id, &form.shown.parse()?, &by).await?;
    Ok(to(&id))
}
