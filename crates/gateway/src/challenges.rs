//! What proves to an issuer of certificates that a host is served here (HTTP-01, RFC 8555, section 8.3). The control plane,
//! which asks for the certificate, knows the answer; a service that obtains its own is asked as ever.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::api;
use crate::gateway::Gateway;
use crate::response::ResponseBody;

/// Where issuers look.
pub(crate) const PREFIX: &str = "/.well-known/acme-challenge/";
/// Longest token: they have 43 characters or fewer.
const TOKEN_LIMIT: usize = 128;
/// Longest answer in bytes: a token, a dot, a digest.
const ANSWER_LIMIT: usize = 1 << 10;
/// How long the control plane may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The control plane's answer; `None` where it has none, so that the service is asked.
pub(crate) async fn answer<B>(gateway: &Gateway, request: &Request<B>) -> Option<Response<ResponseBody>> {
    let token = token(request).filter(|_| gateway.certificates.get().is_some_and(|held| held.obtained))?;
    let _place = gateway.proofs.place()?;
    let asked = Request::get(format!("{PREFIX}{token}")).body(Full::new(Bytes::new())).ok()?;
    let answer = tokio::time::timeout(LIMIT, api::ask(api::address(gateway)?, asked, ANSWER_LIMIT)).await.ok()?;
    let answer = answer.inspect_err(|error| tracing::debug!(%error, "the control plane was not reached")).ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    let mut response = Response::new(ResponseBody::own(answer.into_body()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Some(response)
}

/// The token that is asked for, in the letters of RFC 8555, section 8.1.
fn token<B>(request: &Request<B>) -> Option<&str> {
    let token = request.uri().path().strip_prefix(PREFIX).filter(|_| request.method() == Method::GET)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    ((1..=TOKEN_LIMIT).contains(&token.len()) && token.bytes().all(fits)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_are_asked_for() {
        let asked = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).expect("a request");
            token(&request).map(str::to_string)
        };
        assert_eq!(asked("GET", "/.well-known/acme-challenge/aZ0-_").as_deref(), Some("aZ0-_"));
        assert_eq!(asked("POST", "/.well-known/acme-challenge/a"), None);
        for path in ["", "a/b", "a%2e", "..", "a.b", &"x".repeat(129)] {
            assert_eq!(asked("GET", &format!("/.well-known/acme-challenge/{path}")), None, "{path}");
        }
        assert_eq!(asked("GET", "/other"), None);
    }
}
