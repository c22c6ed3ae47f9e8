//! Who looks: a session, known by a cookie, worth what the token is worth that it was begun with.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use slipway_control::By;
use slipway_core::names::Digest;
use slipway_core::rights::{Right, Rights};
use slipway_core::traffic::CONSOLE_COOKIE;
use slipway_store::{Error, TokenRecord};

use crate::auth;
use crate::problem::Problem;
use crate::proxied;
use crate::state::App;

/// How long a session lasts, in seconds.
pub(super) const LENGTH_SECS: u64 = 7 * 24 * 3600;

/// Whoever is signed in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    /// The token's name.
    pub name: String,
    /// What they may.
    pub rights: Rights,
    /// What their forms carry, so that nobody else's form can act for them.
    pub csrf: String,
}

impl Viewer {
    /// Why a button is not theirs to press, if it is not.
    pub fn refused(&self, right: Right) -> Option<String> {
        let may = self.rights.may(right);
        (!may).then(|| format!("your token may {}, and this needs one that may {right}", self.rights))
    }
}

/// The secret of a request's session.
pub(super) fn secret(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    let mut pairs = cookies.filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(name, _)| *name == CONSOLE_COOKIE)
        .map(|(_, value)| value.to_string())
        .filter(|value| !value.is_empty())
}

/// What a session's forms carry.
pub(super) fn csrf(secret: &str) -> String {
    Digest::of(format!("csrf of {secret}").as_bytes()).as_str().trim_start_matches("sha256:").to_string()
}

/// The cookie of a session; an empty secret takes it away. Secure where whoever stands before Slipway speaks TLS. Lax, so
/// that a link from a chat leads to the page: nothing is changed by a GET, and every form carries its own proof.
pub(super) fn cookie(secret: &str, headers: &HeaderMap) -> HeaderValue {
    let age = if secret.is_empty() { 0 } else { LENGTH_SECS };
    let secure = if proxied::speaks_tls(headers) { "; Secure" } else { "" };
    let text = format!("{CONSOLE_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Lets through whoever is signed in; others are asked to sign in, and come back to where they wanted to go.
pub(super) async fn need_session(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match holder(&app, request.headers()).await {
        Ok(Some((viewer, record))) => {
            request.extensions_mut().insert(viewer.clone());
            request.extensions_mut().insert(By::once(&auth::actor(&record)));
            request.extensions_mut().insert(record.rights);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(viewer);
            response
        }
        Ok(None) if is_page(&request) => {
            let wanted = request.uri().path_and_query().map_or("/", |p| p.as_str());
            Redirect::to(&super::sign_in::address(wanted)).into_response()
        }
        Ok(None) => {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "sign in first, at /sign-in").into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Whoever is signed in with the session that a request came with, and the token that it was begun with.
async fn holder(app: &App, headers: &HeaderMap) -> Result<Option<(Viewer, TokenRecord)>, Error> {
    let Some(secret) = secret(headers) else { return Ok(None) };
    let now = app.control.now();
    let record = match app.known.kept(&secret, now) {
        Some(record) => Some(record),
        None => app.known.or_before(&secret, app.control.store().session(&secret, now).await)?,
    };
    Ok(record.map(|record| {
        (Viewer { name: record.name.clone(), rights: record.rights.clone(), csrf: csrf(&secret) }, record)
    }))
}

/// Says who is signed in where that makes no difference to the answer: to the page that says that there is none.
pub(super) async fn tell_session(State(app): State<App>, request: Request, next: Next) -> Response {
    let viewer = holder(&app, request.headers()).await.ok().flatten().map(|(viewer, _)| viewer);
    let mut response = next.run(request).await;
    if let Some(viewer) = viewer {
        response.extensions_mut().insert(viewer);
    }
    response
}

/// A page that a browser goes to, and not something that the script fetches or a form that was sent.
fn is_page(request: &Request) -> bool {
    request.method() == axum::http::Method::GET
        && request.headers().get("x-live").is_none()
        && request.headers().get(header::ACCEPT).is_none_or(|v| v.to_str().is_ok_and(|v| !v.contains("event-stream")))
}
