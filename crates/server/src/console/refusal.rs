//! What cannot be shown or done, as a page: the API's problem in the console's words.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
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
    /// The page that what was refused belongs to: where it leads, and what it is about.
    page: Option<(String, String)>,
}

/// Makes a page of a problem.
pub(super) async fn as_page(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_string();
    let response = next.run(request).await;
    let is = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == "application/problem+json");
    if !is {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, LIMIT).await.unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<WireProblem>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    let page = page_for(&path, &problem, parts.extensions.get::<Viewer>());
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.remove(header::CONTENT_LENGTH);
    match page {
        Ok(page) => (parts.status, parts.headers, Html(page)).into_response(),
        Err(_) => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// The page of a problem at `path`.
pub(super) fn page_for(path: &str, problem: &WireProblem, viewer: Option<&Viewer>) -> askama::Result<String> {
    // Whoever is signed in keeps the way to everywhere else.
    let frame = match viewer {
        Some(viewer) => Frame::of(problem.title.clone(), Here::Elsewhere, viewer),
        None => Frame::outside(&problem.title),
    };
    let (title, detail, code) = (&problem.title, &problem.detail, &problem.code);
    View { frame: &frame, title, detail, code, page: page_of(path) }.render()
}

/// The page on which the button at `path` is; none where `path` is no button.
fn page_of(path: &str) -> Option<(String, String)> {
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let (kind, name, _) = (parts.next()?, parts.next()?, parts.next()?);
    ["rollouts", "services", "environments"].contains(&kind).then(|| (format!("/{kind}/{name}"), name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_button_leads_back_to_its_page() {
        let leads = |path: &str| page_of(path).map(|(to, _)| to);
        assert_eq!(leads("/rollouts/ro-7/promote").as_deref(), Some("/rollouts/ro-7"));
        assert_eq!(leads("/services/shop/environments/production/drill").as_deref(), Some("/services/shop"));
        assert_eq!([leads("/rollouts/ro-7"), leads("/sign-in"), leads("//evil.example/x/y")], [None, None, None]);
    }
}
