//! What cannot be shown or done, as a page: the API's problem in the console's words.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use super::frame::{Frame, Here};
use super::session::Viewer;
use crate::problem::WireProblem;

/// Longest problem that is read.
const LIMIT: usize = 64 << 10;

#[derive(Template)]
#[template(path = "refusal.html")]
struct View<'a> {
    frame: &'a Frame,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
}

/// Makes a page of a problem.
pub(super) async fn as_page(response: Response) -> Response {
    let is = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == "application/problem+json");
    if !is {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, LIMIT).await.unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<WireProblem>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    // Whoever is signed in keeps the way to everywhere else.
    let frame = match parts.extensions.get::<Viewer>() {
        Some(viewer) => Frame::of(problem.title.clone(), Here::Elsewhere, viewer),
        None => Frame::outside(&problem.title),
    };
    let view = View { frame: &frame, title: &problem.title, detail: &problem.detail, code: &problem.code };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.remove(header::CONTENT_LENGTH);
    match view.render() {
        Ok(page) => (parts.status, parts.headers, Html(page)).into_response(),
        Err(_) => Response::from_parts(parts, Body::from(bytes)),
    }
}
