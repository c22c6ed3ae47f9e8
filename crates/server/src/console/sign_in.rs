//! Signing in with a token, and out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{LazyLock, Mutex, PoisonError};

use askama::Template;
use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use slipway_core::units::{Millis, Timestamp};

use super::forms::{Form, Nothing};
use super::frame::{Frame, made};
use super::session::{self, LENGTH_SECS};
use crate::auth;
use crate::body::Asked;
use crate::problem::Problem;
use crate::state::App;

/// Wrong tokens that one address may try within [`WINDOW`].
const TRIES: usize = 10;
const WINDOW: Millis = Millis::from_secs(60);
/// Addresses that are remembered at the most.
const ADDRESSES: usize = 10_000;

static WRONG: LazyLock<Mutex<HashMap<Option<IpAddr>, Vec<Timestamp>>>> = LazyLock::new(Mutex::default);

#[derive(Template)]
#[template(path = "sign_in.html")]
struct View {
    frame: Frame,
    next: String,
    wrong: Option<String>,
}

/// Where to go afterwards.
#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// A token.
#[derive(Debug, Deserialize)]
pub(super) struct Given {
    token: String,
    #[serde(default)]
    next: String,
}

/// Where one signs in on the way to a page.
pub(super) fn address(wanted: &str) -> String {
    format!("/sign-in?next={}", super::encoded(wanted))
}

/// The page.
pub(super) async fn page(Asked(query): Asked<Next>) -> Result<Response, Problem> {
    shown(StatusCode::OK, query.next, None)
}

fn shown(status: StatusCode, next: String, wrong: Option<String>) -> Result<Response, Problem> {
    let view = View { frame: Frame::outside("Sign in"), next, wrong };
    Ok((status, Html(made(&view)?)).into_response())
}

/// Begins a session.
pub(super) async fn enter(
    State(app): State<App>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    axum::Form(given): axum::Form<Given>,
) -> Result<Response, Problem> {
    let (now, peer) = (app.control.now(), peer.map(|Extension(ConnectInfo(address))| address.ip()));
    if too_often(peer, now) {
        let detail = "too many wrong tokens from your address: wait a minute and try again";
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", detail).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
        return Ok(response);
    }
    let token = given.token.trim();
    if app.control.store().token(token).await?.is_none() {
        note_wrong(peer, now);
        let wrong = "That token is not known. The first one is in the data folder's file token; others are made with \
                     slipway token create.";
        return shown(StatusCode::UNAUTHORIZED, given.next, Some(wrong.to_string()));
    }
    let secret = auth::secret();
    let until = now.plus(Millis::from_secs(LENGTH_SECS));
    app.control.store().begin_session(&secret, token, now, until).await?;
    let cookie = session::cookie(&secret, &headers);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(within(&given.next))).into_response())
}

/// Ends the session.
pub(super) async fn leave(State(app): State<App>, headers: HeaderMap, _: Form<Nothing>) -> Result<Response, Problem> {
    if let Some(secret) = session::secret(&headers) {
        app.control.store().end_session(&secret).await?;
        app.known.forget_secret(&secret);
    }
    Ok(([(header::SET_COOKIE, session::cookie("", &headers))], Redirect::to("/sign-in")).into_response())
}

/// Only to a page of ours: `//elsewhere` is another site's, and browsers leave out control characters before they look.
fn within(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let ours = next.starts_with('/') && !next.starts_with("//") && plain;
    if ours { next } else { "/" }
}

fn too_often(peer: Option<IpAddr>, now: Timestamp) -> bool {
    let mut wrong = WRONG.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(tries) = wrong.get_mut(&peer) else { return false };
    tries.retain(|at| now.since(*at) < WINDOW);
    tries.len() >= TRIES
}

fn note_wrong(peer: Option<IpAddr>, now: Timestamp) {
    let mut wrong = WRONG.lock().unwrap_or_else(PoisonError::into_inner);
    if wrong.len() >= ADDRESSES {
        wrong.retain(|_, tries| tries.last().is_some_and(|at| now.since(*at) < WINDOW));
    }
    if wrong.len() < ADDRESSES {
        wrong.entry(peer).or_default().push(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for elsewhere in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "javascript:alert(1)",
            "/\t/evil.example/x",
            "/\u{1}",
            "/\n/evil.example",
        ] {
            assert_eq!(within(elsewhere), "/", "{elsewhere}");
        }
        assert_eq!(within("/rollouts/ro-3?moment=7"), "/rollouts/ro-3?moment=7");
    }

    #[test]
    fn the_wanted_page_survives_the_detour() {
        assert_eq!(address("/journal?kind=a b&x=1"), "/sign-in?next=/journal%3Fkind%3Da%20b%26x%3D1");
    }

    #[test]
    fn an_address_that_guesses_has_to_wait_and_others_do_not() {
        let (guesser, other) = (Some("192.0.2.7".parse().unwrap()), Some("192.0.2.8".parse().unwrap()));
        for i in 0..TRIES as u64 {
            assert!(!too_often(guesser, Timestamp(i)));
            note_wrong(guesser, Timestamp(i));
        }
        assert!(too_often(guesser, Timestamp(1_000)) && !too_often(other, Timestamp(1_000)));
        assert!(!too_often(guesser, Timestamp(61_000)), "a minute later it may try again");
    }
}
