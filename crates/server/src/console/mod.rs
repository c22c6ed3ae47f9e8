//! The console: pages for people, made on the server from what the API gives.
//!
//! It can do nothing that the API cannot: every page asks what a route asks, every button does what a route does, and
//! a page's `View` is a pure function of wire types. Pages work without script; the script only fetches them again
//! when `live` says that something changed. What is common to all pages is in `frame`; who looks is known from
//! `session`.

mod acts;
mod asking;
mod assets;
mod button;
mod chart;
mod environment;
mod forms;
mod frame;
mod journal;
mod live;
mod overview;
mod palette;
#[cfg(test)]
mod phases;
mod refusal;
mod rollout;
mod service;
mod session;
mod sign_in;
mod tries;
mod when;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use slipway_core::rights::Right;

use crate::auth;
use crate::problem::{self, Problem};
use crate::state::App;

/// Largest form in bytes.
const FORM_LIMIT: usize = 64 << 10;

/// What whoever goes somewhere has to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Session,
    May(Right),
}

/// A page or a button.
struct Place {
    method: &'static str,
    path: &'static str,
    needs: Needs,
    at: MethodRouter<App>,
}

/// The map of the console: every page and button with what it needs.
fn places() -> Vec<Place> {
    let place = |method, path, needs, at| Place { method, path, needs, at };
    let open = |path, at| place("GET", path, Needs::Nothing, at);
    let page = |path, at| place("GET", path, Needs::Session, at);
    let button = |path, right, at| place("POST", path, Needs::May(right), at);
    vec![
        open("/sign-in", get(sign_in::page)),
        place("POST", "/sign-in", Needs::Nothing, post(sign_in::enter)),
        open("/assets/{name}", get(assets::read)),
        page("/", get(overview::page)),
        page("/services/{service}", get(service::page)),
        page("/rollouts/{id}", get(rollout::page)),
        page("/environments", get(environment::list)),
        page("/environments/{environment}", get(environment::page)),
        page("/journal", get(journal::page)),
        page("/journal/export", get(journal::export)),
        page("/palette", get(palette::read)),
        page("/live", get(live::stream)),
        button("/rollouts/{id}/pause", Right::Operate, post(acts::pause)),
        button("/rollouts/{id}/resume", Right::Operate, post(acts::resume)),
        button("/rollouts/{id}/promote", Right::Operate, post(acts::promote)),
        button("/rollouts/{id}/abort", Right::Rollback, post(acts::abort)),
        button("/rollouts/{id}/approve", Right::Approve, post(acts::approve)),
        button("/services/{service}/environments/{environment}/rollback", Right::Rollback, post(acts::rollback)),
        button("/services/{service}/environments/{environment}/drill", Right::Operate, post(acts::drill)),
        button("/services/{service}/environments/{environment}/restart", Right::Operate, post(acts::restart)),
        button("/services/{service}/environments/{environment}/scale", Right::Operate, post(acts::scale)),
        button("/services/{service}/environments/{environment}/faults/end", Right::Operate, post(acts::end_faults)),
        button("/services/{service}/environments/{environment}/maintenance/on", Right::Operate, post(acts::close)),
        button("/services/{service}/environments/{environment}/maintenance/off", Right::Operate, post(acts::open)),
        place("POST", "/sign-out", Needs::Session, post(sign_in::leave)),
    ]
}

/// Every page and button of the console with what it needs, a line each.
pub fn map() -> Vec<(&'static str, &'static str, String)> {
    let needs = |needs| match needs {
        Needs::Nothing => "nothing".to_string(),
        Needs::Session => "session".to_string(),
        Needs::May(right) => format!("session that may {right}"),
    };
    places().into_iter().map(|place| (place.method, place.path, needs(place.needs))).collect()
}

/// The console.
pub(crate) fn router(app: &App) -> Router<App> {
    let (mut outside, mut inside) = (Router::new(), Router::new());
    for place in places() {
        match place.needs {
            Needs::Nothing => outside = outside.route(place.path, place.at),
            Needs::Session => inside = inside.route(place.path, place.at),
            Needs::May(right) => {
                inside = inside.route(place.path, place.at.layer(from_fn_with_state(right, auth::need_right)));
            }
        }
    }
    let overview = Arc::new(overview::shared::Shared::new(app));
    let nowhere = Router::new().fallback(nowhere).layer(from_fn_with_state(app.clone(), session::tell_session));
    outside
        .merge(inside.layer(from_fn_with_state(app.clone(), session::need_session)))
        .method_not_allowed_fallback(problem::not_that_way)
        .merge(nowhere)
        .layer(Extension(overview))
        .layer(Extension(tries::Tries::default()))
        .layer(Extension(live::Listeners::default()))
        .layer(from_fn(forms::same_origin))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(map_response(problem::always))
        .layer(from_fn(refusal::as_page))
        .layer(map_response(frame::safe))
}

async fn nowhere(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no page at {}; the API begins at /api/v1", uri.path()))
}

/// A value as it may stand in a query.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
