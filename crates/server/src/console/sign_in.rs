//! Signing in with a token, and out.

use std::net::SocketAddr;

use askama::Template;
use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use slipway_core::units::Millis;
use slipway_store::Error;

use super::forms::{Form, Nothing, Open};
use super::frame::{Frame, made};
use super::session::{self, LENGTH_SECS};
use super::tries::Tries;
use crate::auth;
use crate::body::Asked;
use crate::problem::Problem;
use crate::proxied;
use crate::state::App;

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct View {
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
    Ok((status, Html(made(&view_for(&next, wrong.as_deref()))?)).into_response())
}

/// The page on the way to another, with what was wrong the last time.
pub(super) fn view_for(next: &str, wrong: Option<&str>) -> View {
    View { frame: Frame::outside("Sign in"), next: next.to_string(), wrong: wrong.map(str::to_string) }
}

/// Begins a session.
pub(super) async fn enter(
    State(app): State<App>,
    Extension(tries): Extension<Tries>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Open(given): Open<Given>,
) -> Result<Response, Problem> {
    let now = app.control.now();
    let client = proxied::client(peer.map(|Extension(ConnectInfo(address))| address), &headers);
    if tries.too_many(client, now) {
        let detail = "too many wrong tokens from your address: wait a minute and try again";
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", detail).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
        return Ok(response);
    }
    let token = given.token.trim();
    let Some(record) = app.known.or_before(token, app.control.store().token(token).await)? else {
        tries.wrong(client, now);
        let wrong = "That token is not known. The first one is in the data folder's file token; others are made with \
                     slipway token create.";
        return shown(StatusCode::UNAUTHORIZED, given.next, Some(wrong.to_string()));
    };
    let secret = auth::secret();
    let until = now.plus(Millis::from_secs(LENGTH_SECS));
    match app.control.store().begin_session(&secret, token, now, until).await {
        // Whoever signs in again has done with the session of before.
        Ok(()) => end(&app, &headers).await?,
        // A full disk must not keep anybody from the button that takes it back.
        Err(Error::Unavailable(why)) => {
            tracing::warn!(why, name = record.name, "a session could not be written down; it lasts an hour");
            app.known.keep(&secret, &record, now);
        }
        Err(error) => return Err(error.into()),
    }
    let cookie = session::cookie(&secret, &headers);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(within(&given.next))).into_response())
}

/// Ends the session.
pub(super) async fn leave(State(app): State<App>, headers: HeaderMap, _: Form<Nothing>) -> Result<Response, Problem> {
    end(&app, &headers).await?;
    Ok(([(header::SET_COOKIE, session::cookie("", &headers))], Redirect::to("/sign-in")).into_response())
}

/// Ends the session that a request came with, if it did.
async fn end(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(secret) = session::secret(headers) {
        // First: one that is known here must not outlive a store that is away.
        app.known.forget_secret(&secret);
        app.control.store().end_session(&secret).await?;
    }
    Ok(())
}

/// Only to a page of ours: `//elsewhere` is another site's, and browsers leave out control characters before they look.
fn within(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let ours = next.starts_with('/') && !next.starts_with("//") && plain;
    if ours { next } else { "/" }
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
}
