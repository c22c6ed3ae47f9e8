//! Forms: read with the proof that it was our own page that sent them.

use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::session::Viewer;
use crate::problem::Problem;

/// A form that has no fields of its own.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

/// What a form of a signed-in viewer carries beside its own fields.
#[derive(Deserialize)]
struct Signed<T> {
    #[serde(default)]
    csrf: String,
    #[serde(flatten)]
    form: T,
}

/// A form that the viewer's own page has sent.
pub(super) struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Form<T>, Problem> {
        let viewer = request.extensions().get::<Viewer>().cloned();
        let sent = axum::Form::<Signed<T>>::from_request(request, state).await;
        let axum::Form(signed) = sent.map_err(|rejection| bad(&rejection))?;
        if viewer.is_none_or(|viewer| viewer.csrf != signed.csrf) {
            let detail = "this form is not from a page of your session: open the page again and press the button there";
            return Err(foreign(detail));
        }
        Ok(Form(signed.form))
    }
}

/// A form of a page that needs no session.
pub(super) struct Open<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Open<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Open<T>, Problem> {
        let sent = axum::Form::<T>::from_request(request, state).await;
        sent.map(|axum::Form(form)| Open(form)).map_err(|rejection| bad(&rejection))
    }
}

fn bad(rejection: &FormRejection) -> Problem {
    let detail = format!("the form was not understood: {}", rejection.body_text());
    Problem::new(rejection.status(), "bad_form", detail)
}

/// Refuses what another site's page sends.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let looks = request.method() == Method::GET || request.method() == Method::HEAD;
    if looks || is_ours(request.headers()) {
        return next.run(request).await;
    }
    foreign("this form comes from another site's page").into_response()
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let (host, origin) = (text(header::HOST.as_str()), text(header::ORIGIN.as_str()));
    let from_us = origin.is_none_or(|o| o.split_once("://").map(|(_, host)| host) == host);
    from_us && text("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

fn foreign(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "foreign_form", detail)
}
