//! What every page has: its title, the way to the others, who looks, and the headers that keep it safe.

use askama::Template;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use slipway_core::names::Digest;

use super::assets;
use super::session::Viewer;
use crate::problem::Problem;

/// Nothing but our own files, no inline script or style, nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every page has.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The page's own title.
    pub title: String,
    /// Where it stands in the navigation.
    pub here: Here,
    /// It is that place itself, and not a page within it.
    pub exact: bool,
    /// Who looks; nobody on the page to sign in.
    pub viewer: Option<Viewer>,
}

/// The parts of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// Services in environments.
    Overview,
    /// Environments.
    Environments,
    /// What happened.
    Journal,
    /// None of them.
    Elsewhere,
}

/// One entry of the navigation.
pub(super) struct Place {
    pub name: &'static str,
    pub href: &'static str,
    pub here: bool,
}

impl Frame {
    /// The frame of a page for somebody.
    pub fn of(title: impl Into<String>, here: Here, viewer: &Viewer) -> Frame {
        Frame { title: title.into(), here, exact: false, viewer: Some(viewer.clone()) }
    }

    /// The frame of a page that is in the navigation itself.
    pub fn at(title: impl Into<String>, here: Here, viewer: &Viewer) -> Frame {
        Frame { exact: true, ..Frame::of(title, here, viewer) }
    }

    /// The frame of a page for nobody in particular.
    pub fn outside(title: &str) -> Frame {
        Frame { title: title.to_string(), here: Here::Elsewhere, exact: false, viewer: None }
    }

    /// The navigation.
    pub fn places(&self) -> Vec<Place> {
        let place = |name, href, here| Place { name, href, here: self.here == here };
        vec![
            place("Services", "/", Here::Overview),
            place("Environments", "/environments", Here::Environments),
            place("Journal", "/journal", Here::Journal),
        ]
    }

    /// Proof for the page's forms.
    pub fn csrf(&self) -> &str {
        self.viewer.as_ref().map_or("", |viewer| &viewer.csrf)
    }

    /// Address of the style.
    pub fn style(&self) -> &'static str {
        assets::style()
    }

    /// Address of the script.
    pub fn script(&self) -> &'static str {
        assets::script()
    }

    /// Address of the sign.
    pub fn sign(&self) -> &'static str {
        assets::sign()
    }
}

/// A page of which a part lives: the script fetches it again when something changed.
pub(super) trait Living: Template {
    /// That part.
    fn living(&self) -> askama::Result<String>;
}

/// The text of a page.
pub(super) fn made(page: &impl Template) -> Result<String, Problem> {
    page.render().map_err(unmade)
}

fn unmade(error: askama::Error) -> Problem {
    Problem::internal(format!("the page cannot be made: {error}"))
}

/// What is asked of a page: the whole of it, or the part that lives.
pub(super) struct Wanted {
    live: bool,
    known: Option<String>,
}

impl Wanted {
    /// As the request's headers say.
    pub fn of(headers: &HeaderMap) -> Wanted {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).map(str::to_string);
        Wanted { live: headers.get("x-live").is_some(), known }
    }

    /// The answer: the page, or its living part where that is not what the browser has already.
    pub fn answer(&self, page: &impl Living) -> Result<Response, Problem> {
        match self.live {
            true => Ok(self.part(&Part::new(page.living().map_err(unmade)?))),
            false => Ok(Html(made(page)?).into_response()),
        }
    }

    /// The answer of a page whose living part is made already.
    pub fn answer_with<T: Template>(&self, part: &Part, page: impl FnOnce() -> T) -> Result<Response, Problem> {
        match self.live {
            true => Ok(self.part(part)),
            false => Ok(Html(made(&page())?).into_response()),
        }
    }

    fn part(&self, part: &Part) -> Response {
        let tag = [(header::ETAG, part.tag.clone())];
        if self.known.as_deref() == Some(&part.tag) {
            return (StatusCode::NOT_MODIFIED, tag).into_response();
        }
        (tag, Html(part.text.clone())).into_response()
    }
}

/// The living part of a page, and what tells it from another.
#[derive(Clone)]
pub(super) struct Part {
    text: Bytes,
    tag: String,
}

impl Part {
    /// The part with this text.
    pub fn new(text: String) -> Part {
        let digest = Digest::of(text.as_bytes());
        let tag = format!("\"{}\"", digest.as_str().rsplit(':').next().unwrap_or_default());
        Part { text: text.into(), tag }
    }
}

/// Puts the headers on a page that keep it safe.
pub(super) async fn safe(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: header::HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
