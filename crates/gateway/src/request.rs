//! A request's head as a client sent it and as instances get it: what is refused, whom it is for, what is rewritten.
//! Chooses no instance and sends nothing.

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, request};

use crate::body::RequestBody;
use crate::fault::Fault;
use crate::guard::{MOST_FIELDS, is_host, is_target_byte};
use crate::headers::{self, Origin};
use crate::server::Tuning;

/// Whether the head is one that the gateway forwards; the host that it asks for. Heads of HTTP/2 come past no guard: what it
/// asks of hosts and targets is asked here.
pub(crate) fn check<B>(tuning: &Tuning, request: &Request<B>) -> Result<String, Fault> {
    if request.uri().path_and_query().map_or(0, |p| p.as_str().len()) > tuning.uri_bytes {
        return Err(Fault::UriTooLong);
    }
    if headers::size(request.headers()) > tuning.header_bytes || fields(request.headers()) > MOST_FIELDS {
        return Err(Fault::HeadersTooLarge);
    }
    if request.method() == Method::CONNECT {
        return Err(Fault::MethodRefused);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let is_path = request.uri().path().starts_with('/') || (target == "*" && request.method() == Method::OPTIONS);
    if !is_path || !target.bytes().all(is_target_byte) {
        return Err(Fault::Malformed("the request's target is not one that can be forwarded"));
    }
    let mut lengths = request.headers().get_all(CONTENT_LENGTH).iter();
    let digits = lengths.next().is_none_or(|v| !v.is_empty() && v.as_bytes().iter().all(u8::is_ascii_digit));
    if !digits || lengths.next().is_some() {
        return Err(Fault::Malformed("the request's Content-Length is not one number"));
    }
    if let Some(authority) = request.uri().authority() {
        let mut hosts = request.headers().get_all(HOST).iter();
        let same = hosts.all(|one| one.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
        return match (same, authority.as_str().contains('@')) {
            (true, false) => host(authority.as_str().as_bytes()),
            (false, _) => Err(Fault::Malformed("the request's target and its Host are not the same")),
            (true, true) => Err(Fault::Malformed("the request's target names a user")),
        };
    }
    let mut hosts = request.headers().get_all(HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(one), None) => host(one.as_bytes()),
        (None, None) if request.version() < Version::HTTP_11 => Ok(String::new()),
        _ => Err(Fault::Malformed("the request names no Host, or more than one")),
    }
}

/// How many fields a head has; HTTP/2 may send a cookie in pieces, which are one (RFC 9113, section 8.2.3).
fn fields(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(COOKIE).iter().count().saturating_sub(1)
}

fn host(bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_host(bytes));
    text.map(str::to_string).ok_or(Fault::Malformed("the request's Host is not a host"))
}

/// Lower case, without the port and the dot that may end a name (RFC 1034, section 3.1).
pub(crate) fn host_name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The length of the body, where the head says it.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Makes the head fit for an instance.
pub(crate) fn make_forwardable(
    parts: &mut request::Parts,
    origin: Origin<'_>,
    upgrade: Option<&HeaderValue>,
) -> Result<(), Fault> {
    const BAD: Fault = Fault::Malformed("the request's target is not one that can be forwarded");
    if let Some(authority) = parts.uri.authority() {
        // The target of an absolute request goes before its Host (RFC 9112, section 3.2.2).
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| BAD)?;
        parts.headers.insert(HOST, host);
    }
    // HTTP/1.0 needs no Host and HTTP/1.1 does; an empty one says that there is none (RFC 9110, section 7.2).
    parts.headers.entry(HOST).or_insert(HeaderValue::from_static(""));
    let target = parts.uri.path_and_query().cloned().ok_or(BAD)?;
    parts.uri = Uri::from(target);
    headers::to_instance(&mut parts.headers, origin, upgrade);
    Ok(())
}

/// The request that an instance gets.
pub(crate) fn rebuild(parts: request::Parts, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    request
}

/// The same request once more, without a body.
pub(crate) fn copy_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_without_port_and_case() {
        for (given, name) in [
            ("Shop.Local:8080", "shop.local"),
            ("shop.local", "shop.local"),
            ("shop.local.", "shop.local"),
            ("shop.local.:8080", "shop.local"),
            ("shop.local..", "shop.local."),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(given), name, "{given}");
        }
    }
}
