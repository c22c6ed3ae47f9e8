//! Buttons: each does what a route of the API does, and leads to the page that shows it.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use serde::Deserialize;
use slipway_control::{By, Command};
use slipway_core::names::RolloutId;

use super::forms::{Form, Nothing};
use crate::body::Body;
use crate::problem::Problem;
use crate::routes::{faults, lane, operating, rollouts};
use crate::state::App;
use crate::wire::{NewEnd, NewMaintenance, NewScale};

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

/// What comes back, as the button said.
#[derive(Debug, Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    to: String,
    /// What served when the button was shown.
    #[serde(default)]
    from: String,
}

/// Brings an earlier version back.
pub(super) async fn rollback(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path((service, environment)): Path<(String, String)>,
    Form(form): Form<Back>,
) -> Done {
    let version = (!form.to.is_empty()).then(|| form.to.parse()).transpose()?;
    let lane = lane(&service, &environment)?;
    let serves = app.control.lane(&lane).await?.and_then(|now| now.lane.stable_version().cloned());
    if let Some(serves) = serves.filter(|serves| serves.as_str() != form.from) {
        let detail = format!("{serves} serves now, and not {} as the page said: look again", form.from);
        return Err(Problem::new(StatusCode::CONFLICT, "changed_meanwhile", detail));
    }
    Ok(to(&app.control.rollback(&lane, version, &by).await?))
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

/// A service in an environment, by its path.
type At = Path<(String, String)>;

fn to_service(service: &str) -> Redirect {
    Redirect::to(&format!("/services/{service}"))
}

fn whole(field: &str, text: &str) -> Result<u64, Problem> {
    text.trim().parse().map_err(|_| Problem::bad_request(format!("{field} must be a whole number, not {text:?}")))
}

/// How many instances.
#[derive(Debug, Deserialize)]
pub(super) struct Scale {
    instances: String,
}

/// Another number of instances.
pub(super) async fn scale(app: State<App>, by: Extension<By>, at: At, Form(form): Form<Scale>) -> Done {
    let instances = u32::try_from(whole("instances", &form.instances)?).unwrap_or(u32::MAX);
    let to = to_service(&at.0.0);
    operating::scale(app, by, at, Body(NewScale { instances })).await.map(|_| to)
}

/// Replaces every instance.
pub(super) async fn restart(app: State<App>, by: Extension<By>, at: At, _: Form<Nothing>) -> Done {
    let to = to_service(&at.0.0);
    operating::restart(app, by, at).await.map(|_| to)
}

/// How long requests are held.
#[derive(Debug, Deserialize)]
pub(super) struct Hold {
    hold: String,
}

/// Begins maintenance.
pub(super) async fn close(app: State<App>, by: Extension<By>, at: At, Form(form): Form<Hold>) -> Done {
    let hold_ms = whole("hold", &form.hold)?.saturating_mul(1_000);
    let to = to_service(&at.0.0);
    operating::begin(app, by, at, Body(NewMaintenance { hold_ms, ..NewMaintenance::default() })).await.map(|_| to)
}

/// Ends maintenance.
pub(super) async fn open(app: State<App>, by: Extension<By>, at: At, _: Form<Nothing>) -> Done {
    let to = to_service(&at.0.0);
    operating::end(app, by, at).await.map(|_| to)
}

/// Ends injected faults.
pub(super) async fn end_faults(app: State<App>, by: Extension<By>, at: At, _: Form<Nothing>) -> Done {
    let to = to_service(&at.0.0);
    faults::end(app, by, at, Body(NewEnd::default())).await.map(|_| to)
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
