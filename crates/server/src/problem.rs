//! Errors as problem details (RFC 9457), made in one place.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use slipway_control::Error;
use slipway_core::spec::Mistake;

/// Longest refusal of the framework's that is passed on.
const REFUSAL_LIMIT: usize = 16 << 10;

/// A problem, as it is sent.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WireProblem {
    /// Where it is explained.
    pub r#type: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, why, and what to do.
    pub detail: String,
    /// A short code, stable.
    pub code: String,
    /// The mistakes of a declared file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub mistakes: Vec<Mistake>,
}

/// Why a request was not answered.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    mistakes: Vec<Mistake>,
}

impl Problem {
    /// A problem with a status, a code and a sentence.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
        Problem { status, code: code.to_string(), detail: detail.into(), mistakes: Vec::new() }
    }

    /// What happened, why, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether it may work later: something that is needed is away.
    pub fn is_away(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// A thing that is not there.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// Something inside failed.
    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// A request that makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }
}

/// Makes a problem of what the framework refuses in plain text: a path or a body that is not UTF-8, a body too large.
pub(crate) async fn always(response: Response) -> Response {
    let status = response.status();
    let is_told = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.contains("json") || v.contains("html"));
    let told = response.headers().get(header::CONTENT_TYPE).is_some_and(is_told);
    if told || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, REFUSAL_LIMIT).await.unwrap_or_default();
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "bad_body",
        StatusCode::NOT_FOUND => "not_found",
        _ if status.is_client_error() => "bad_request",
        _ => "internal",
    };
    let mut problem = Problem::new(status, code, String::from_utf8_lossy(&bytes)).into_response();
    *problem.extensions_mut() = parts.extensions;
    problem
}

/// Answers a method that a route does not take.
pub(crate) async fn not_that_way(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let wire = WireProblem {
            r#type: format!("urn:slipway:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_string(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            mistakes: self.mistakes,
        };
        let mut response = (self.status, Json(wire)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match &error {
            Error::Mistakes(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Refused(_) => StatusCode::CONFLICT,
            Error::UnknownEnvironment { .. } | Error::UnknownStrategy(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::UnknownVersion(_) | Error::UnknownArtifact(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::VersionTaken(_) => StatusCode::CONFLICT,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Store(store) => return Problem::from_store(store),
            Error::Document(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut problem = Problem::new(status, error.code(), error.to_string());
        if let Error::Mistakes(mistakes) = error {
            problem.mistakes = mistakes;
        }
        problem
    }
}

impl Problem {
    fn from_store(error: &slipway_store::Error) -> Problem {
        use slipway_store::Error as E;
        let (status, code) = match error {
            E::Conflict { .. } => (StatusCode::CONFLICT, "conflict"),
            E::VersionTaken { .. } => (StatusCode::CONFLICT, "version_taken"),
            E::KeyReused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            E::Unavailable(_) | E::Fenced { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            E::InUse { .. } | E::Newer { .. } | E::Damaged(_) | E::Unfit(_) | E::Moved { .. } | E::OnServer { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "store_damaged")
            }
        };
        Problem::new(status, code, error.to_string())
    }
}

impl From<slipway_store::Error> for Problem {
    fn from(error: slipway_store::Error) -> Problem {
        Problem::from_store(&error)
    }
}

impl From<slipway_core::names::InvalidName> for Problem {
    fn from(error: slipway_core::names::InvalidName) -> Problem {
        Problem::bad_request(error.to_string())
    }
}
