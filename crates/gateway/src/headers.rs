//! Which headers pass through, and what the gateway adds, in both directions.
//!
//! Headers that belong to one connection go no further (RFC 9110, section 7.6.1); where a request came from is added
//! as `X-Forwarded-*` and `Forwarded` (RFC 7239); everything else, `Host` and `traceparent` included, stays as it is.

use std::net::IpAddr;

use crate::cookies;
use crate::grpc;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What tells a service that a request is no user's: Slipway's own word, so nobody else's is passed on.
pub(crate) const SYNTHETIC: &str = "slipway-synthetic";

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The host that the client asked for, as it wrote it.
    pub(crate) host: &'a str,
    /// `http` or `https`.
    pub(crate) proto: &'static str,
    /// The version of HTTP that it came by, and the gateway.
    pub(crate) via: &'static str,
}

/// The protocol that a request asks its connection to be switched to.
pub(crate) fn upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = version == Version::HTTP_11 && names_in_connection(headers).any(|name| name == "upgrade");
    let values = headers.get_all(header::UPGRADE).into_iter().filter(|_| asked);
    let named: Vec<&[u8]> = values.flat_map(|value| protocols(value.as_bytes())).collect();
    HeaderValue::from_bytes(&named.join(&b", "[..])).ok().filter(|value| !value.is_empty())
}

/// The protocols that a value of `Upgrade` names. An offer of HTTP/2 over an open connection is left out: many offer it,
/// and nobody changes to it that way any more (RFC 9113, section 3.1).
pub(crate) fn protocols(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_two = |name: &&[u8]| [&b"h2c"[..], b"h2"].iter().any(|two| name.eq_ignore_ascii_case(two));
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(move |name| !name.is_empty() && !is_two(name))
}

/// Makes a client's headers fit for an instance.
pub(crate) fn to_instance(headers: &mut HeaderMap, origin: Origin<'_>, upgrade: Option<&HeaderValue>) {
    let trailers = grpc::is(headers) && names_trailers(headers);
    remove_hop_by_hop(headers);
    remove_aliases(headers);
    join_cookies(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // The gateway itself answers `100 Continue`, once it has an instance that takes the body.
    headers.remove(header::EXPECT);
    headers.remove(header::PROXY_AUTHORIZATION);
    headers.remove(SYNTHETIC);
    cookies::withhold(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    append_to_list(headers, X_FORWARDED_FOR, &origin.client.to_string());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(origin.proto));
    let quoted = origin.host.replace(['"', '\\'], "");
    if let Ok(host) = HeaderValue::try_from(origin.host) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let client = match origin.client {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    append_to_list(headers, header::FORWARDED, &format!("for={client};host=\"{quoted}\";proto={}", origin.proto));
    append_to_list(headers, header::VIA, origin.via);
}

/// Makes an instance's headers fit for a client.
pub(crate) fn to_client(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    remove_hop_by_hop(headers);
    cookies::refuse(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

/// Whether sending the request twice does no more than sending it once (RFC 9110, section 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE)
}

/// Whether a response is a stream of server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}

/// What the header fields take up on the wire.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let named: Vec<HeaderName> =
        names_in_connection(headers).filter_map(|name| HeaderName::try_from(name).ok()).collect();
    for name in named {
        // Nobody gets to strip what frames the message or says whom it is for.
        if name != header::HOST && name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TE, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers.remove(HTTP2_SETTINGS);
    headers.remove(header::UPGRADE);
    headers.remove(header::PROXY_AUTHENTICATE);
    if chunked {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// Some servers take `_` for `-`; nobody gets to say by that who the client is or how the message is framed.
fn remove_aliases(headers: &mut HeaderMap) {
    let aliases = |name: &&HeaderName| {
        let dashed = name.as_str().contains('_').then(|| name.as_str().replace('_', "-"));
        dashed.is_some_and(|n| {
            ["content-length", "transfer-encoding", SYNTHETIC].contains(&&*n) || n.starts_with("x-forwarded-")
        })
    };
    let named: Vec<HeaderName> = headers.keys().filter(aliases).cloned().collect();
    named.iter().for_each(|name| drop(headers.remove(name)));
}

/// HTTP/2 may send cookies one by one, which HTTP/1.1 must not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// Trailers of a request that may go on: nor any that says who the client is, which is said in the head.
pub(crate) fn fit_request_trailers(trailers: &mut HeaderMap) {
    fit_trailers(trailers);
    let dashed = |name: &HeaderName| name.as_str().replace('_', "-");
    let speaks = |name: &&HeaderName| {
        let name = dashed(name);
        ["forwarded", "via", SYNTHETIC].contains(&&*name) || name.starts_with("x-forwarded-")
    };
    let named: Vec<HeaderName> = trailers.keys().filter(speaks).cloned().collect();
    named.iter().for_each(|name| drop(trailers.remove(name)));
    remove_aliases(trailers);
}

/// Trailers that may go on: none that frames the message or belongs to a connection.
pub(crate) fn fit_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in [header::CONTENT_LENGTH, header::HOST, header::TRAILER, header::CONTENT_TYPE, header::CONTENT_ENCODING]
    {
        trailers.remove(name);
    }
    for name in [header::AUTHORIZATION, header::COOKIE, header::SET_COOKIE, header::PROXY_AUTHORIZATION] {
        trailers.remove(name);
    }
}

fn names_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|name| name.trim().eq_ignore_ascii_case("trailers"))
}

fn names_in_connection(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty())
}

/// Adds an element to a comma-separated list, keeping it in one field.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let earlier = headers.get_all(&name).into_iter().filter_map(|v| v.to_str().ok());
    let list: Vec<&str> = earlier.filter(|v| !v.trim().is_empty()).chain([element]).collect();
    if let Ok(value) = HeaderValue::try_from(list.join(", ")) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn origin(client: &str) -> Origin<'_> {
        Origin { client: client.parse().unwrap(), host: "shop.local:8080", proto: "http", via: "1.1 slipway" }
    }

    #[test]
    fn what_belongs_to_the_connection_goes_no_further() {
        let mut given = headers(&[
            ("connection", "keep-alive, X-Secret, host, content-length"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("host", "shop.local"),
            ("content-length", "3"),
            ("traceparent", "00-abc-def-01"),
        ]);
        to_instance(&mut given, origin("10.0.0.9"), None);
        let mut left: Vec<&str> = given.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let kept = ["content-length", "forwarded", "host", "traceparent", "via"];
        assert_eq!(left, [&kept[..], &["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]].concat());
    }

    #[test]
    fn the_chain_of_proxies_grows_and_the_rest_is_set_anew() {
        let mut given = headers(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "gopher"),
            ("forwarded", "for=1.1.1.1"),
        ]);
        to_instance(&mut given, origin("::1"), None);
        assert_eq!(given["x-forwarded-for"], "1.1.1.1, 2.2.2.2, ::1");
        assert_eq!(given["x-forwarded-proto"], "http");
        assert_eq!(given["x-forwarded-host"], "shop.local:8080");
        assert_eq!(given["forwarded"], "for=1.1.1.1, for=\"[::1]\";host=\"shop.local:8080\";proto=http");
    }

    #[test]
    fn an_upgrade_needs_both_headers_and_http_11() {
        let asked = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade(Version::HTTP_11, &asked).unwrap(), "websocket");
        assert_eq!(upgrade(Version::HTTP_10, &asked), None);
        assert_eq!(upgrade(Version::HTTP_11, &headers(&[("upgrade", "websocket")])), None);
    }

    #[test]
    fn te_goes_on_where_grpc_asks_for_trailers_and_aliases_of_our_own_headers_do_not() {
        let mut given = headers(&[
            ("content-type", "application/grpc+proto"),
            ("te", "trailers"),
            ("x_forwarded_for", "6.6.6.6"),
            ("content_length", "9"),
            ("my_own", "1"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        to_instance(&mut given, origin("10.0.0.9"), None);
        assert_eq!(
            (&given["te"], &given["cookie"], &given["my_own"]),
            (&"trailers".parse().unwrap(), &"a=1; b=2".parse().unwrap(), &"1".parse().unwrap())
        );
        assert!(!given.contains_key("x_forwarded_for") && !given.contains_key("content_length"));
    }

    #[test]
    fn an_offer_of_http_2_is_left_alone() {
        let offered =
            headers(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")]);
        assert_eq!(upgrade(Version::HTTP_11, &offered), None);
    }

    #[test]
    fn an_offer_of_http_2_is_left_out_of_a_list() {
        let upgrade = |value: &'static str| {
            super::upgrade(Version::HTTP_11, &headers(&[("connection", "upgrade"), ("upgrade", value)]))
        };
        assert_eq!(upgrade("h2c, websocket").unwrap(), "websocket");
        assert_eq!(upgrade("words/1,H2, other").unwrap(), "words/1, other");
        assert_eq!((upgrade("h2c,h2"), upgrade(" , ")), (None, None));
        let two = headers(&[("connection", "upgrade"), ("upgrade", "h2c"), ("upgrade", "words")]);
        assert_eq!(super::upgrade(Version::HTTP_11, &two).unwrap(), "words");
    }

    #[test]
    fn a_requests_trailers_do_not_say_who_the_client_is() {
        let mut given = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_host", "b"),
            ("forwarded", "for=6.6.6.6"),
            ("via", "1.1 x"),
            ("slipway-synthetic", "1"),
            ("slipway_synthetic", "1"),
            ("content_length", "9"),
            ("x-checksum", "1"),
        ]);
        fit_request_trailers(&mut given);
        assert_eq!(given.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    }

    #[test]
    fn a_length_beside_chunks_is_dropped() {
        let mut given = headers(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        to_client(&mut given, None);
        assert!(given.is_empty());
    }
}
