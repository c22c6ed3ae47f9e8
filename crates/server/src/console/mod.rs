//! The console: pages for people, made on the server from what the API gives.
//!
//! It can do nothing that the API cannot: every page asks what a route asks, every button does what a route does, and
//! a page's `View` is a pure function of wire types. Pages work without script; the script only fetches them again
//! when `live` says that something changed. What is common to all pages is in `frame`; who looks is known from
//! `session`.

mod acts;
mod assets;
mod chart;
mod forms;
mod frame;
mod live;
mod overview;
mod palette;
mod refusal;
mod rollout;
mod session;
mod sign_in;
mod when;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state, map_response_with_state};
use axum::routing::{get, post};
use slipway_core::rights::Right;

use crate::auth;
use crate::state::App;

/// Largest form in bytes.
const FORM_LIMIT: usize = 64 << 10;

/// What needs no session.
fn open() -> Router<App> {
    Router::new().route("/sign-in", get(sign_in::page).post(sign_in::enter)).route("/assets/{name}", get(assets::read))
}

/// What anybody who is signed in may see.
fn looking() -> Router<App> {
    Router::new()
        .route("/", get(overview::page))
        .route("/rollouts/{id}", get(rollout::page))
        .route("/palette", get(palette::read))
        .route("/live", get(live::stream))
        .route("/sign-out", post(sign_in::leave))
}

/// What needs a right.
fn acting() -> Vec<(Right, Router<App>)> {
    let operate = Router::new()
        .route("/rollouts/{id}/pause", post(acts::pause))
        .route("/rollouts/{id}/resume", post(acts::resume))
        .route("/rollouts/{id}/promote", post(acts::promote));
    let rollback = Router::new()
        .route("/rollouts/{id}/abort", post(acts::abort))
        .route("/services/{service}/environments/{environment}/rollback", post(acts::rollback));
    let drill = Router::new().route("/services/{service}/environments/{environment}/drill", post(acts::drill));
    let approve = Router::new().route("/rollouts/{id}/approve", post(acts::approve));
    vec![(Right::Operate, operate.merge(drill)), (Right::Rollback, rollback), (Right::Approve, approve)]
}

/// The console.
pub(crate) fn router(app: &App) -> Router<App> {
    let guarded = |(right, routes): (Right, Router<App>)| routes.layer(from_fn_with_state(right, auth::need_right));
    let acting = acting().into_iter().map(guarded).fold(Router::new(), Router::merge);
    let inside = looking().merge(acting).layer(from_fn_with_state(app.clone(), session::need_session));
    open()
        .merge(inside)
        .layer(from_fn(forms::same_origin))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(map_response_with_state(app.clone(), refusal::as_page))
        .layer(axum::middleware::map_response(frame::safe))
}
