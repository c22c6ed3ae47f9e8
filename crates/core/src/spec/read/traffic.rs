//! `traffic`: which requests are the service's own, and how users are told apart.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::mistake::{Wrong, quoted};
use super::super::model::{Traffic, TrafficOverlay};
use super::super::reader::{Keys, Reader};
use super::super::scalar;
use super::{duration, header_name, is_token, request_path, time};
use crate::traffic::Protocol;
use crate::units::Millis;

const KEYS: Keys = Keys {
    known: &["host", "path", "sticky", "timeout", "drain", "drain_long", "max_body", "protocol"],
    later: &["tls", "mirror", "cohorts"],
};
const STICKY_KEYS: Keys = Keys { known: &["cookie", "header"], later: &[] };
const OVERLAY_KEYS: Keys = Keys { known: &["host", "path"], later: &["tls", "mirror", "cohorts"] };
const EXAMPLE: &str = "traffic: { host: checkout.local, path: / }";
/// The gateway's own cookie.
const OWN_COOKIE: &str = "slipway";

/// What holds where nothing is declared.
pub(super) fn defaults() -> Traffic {
    Traffic {
        host: None,
        path: "/".to_string(),
        sticky_cookie: None,
        sticky_header: None,
        timeout: Millis::from_secs(60),
        drain: Millis::from_secs(30),
        drain_long: Millis::from_secs(300),
        max_body: 1 << 30,
        protocol: Protocol::Http1,
    }
}

pub(super) fn traffic(reader: &Reader) -> Option<Traffic> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let default = defaults();
    let (sticky_cookie, sticky_header) = fields.or("sticky", (None, None), sticky);
    Some(Traffic {
        host: fields.get("host").and_then(read_host),
        path: fields.or("path", default.path, read_path),
        sticky_cookie,
        sticky_header,
        timeout: fields.or("timeout", default.timeout, time),
        drain: fields.or("drain", default.drain, duration),
        drain_long: fields.or("drain_long", default.drain_long, duration),
        max_body: fields.or("max_body", default.max_body, |r| r.typed("a size", "write 10MB or 10MiB", scalar::size)),
        protocol: fields.or("protocol", default.protocol, protocol),
    })
}

fn protocol(reader: &Reader) -> Option<Protocol> {
    match reader.scalar() {
        Some(("http1", _)) => Some(Protocol::Http1),
        Some(("h2c", _)) => Some(Protocol::H2c),
        _ => reader.expected("http1 or h2c", "h2c is HTTP/2 without TLS, as gRPC servers speak it"),
    }
}

pub(super) fn overlay(reader: &Reader) -> Option<TrafficOverlay> {
    let fields = reader.fields(&OVERLAY_KEYS, EXAMPLE)?;
    Some(TrafficOverlay { host: fields.get("host").and_then(read_host), path: fields.get("path").and_then(read_path) })
}

fn sticky(reader: &Reader) -> Option<(Option<String>, Option<String>)> {
    const EXAMPLE: &str = "write sticky: { cookie: session } or sticky: { header: x-user-id }";
    let fields = reader.fields(&STICKY_KEYS, EXAMPLE)?;
    if fields.get("cookie").or(fields.get("header")).is_none() {
        reader.mistake(Wrong::new("names neither a cookie nor a header").hint(EXAMPLE));
    }
    let cookie = fields.get("cookie").and_then(|r| r.typed("the name of a cookie", "for example session", cookie));
    let header =
        fields.get("header").and_then(|r| r.typed("the name of a header", "for example x-user-id", header_name));
    Some((cookie, header))
}

fn cookie(text: &str) -> Result<String, Wrong> {
    match text {
        OWN_COOKIE => Err(Wrong::new("this is the gateway's own cookie").hint("name a cookie that the service sets")),
        _ if is_token(text) => Ok(text.to_string()),
        _ => Err(Wrong::new(format!("{} cannot be the name of a cookie", quoted(text))).hint("for example session")),
    }
}

fn read_host(reader: &Reader) -> Option<String> {
    reader.typed("a host name", "for example checkout.local", host)
}

/// A host name or IPv4 address, in lower case.
fn host(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str| Wrong::new(format!("the host {} {why}", quoted(text)));
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', ':']).next().unwrap_or_default();
    // An address of IPv6 begins with a bracket, or is one by itself.
    let address = bare.starts_with('[') || text.parse::<Ipv6Addr>().is_ok();
    if bare != text && !bare.is_empty() && !address {
        let hint = format!("write {}; the path has a key of its own", quoted(bare));
        return Err(wrong("must be a name alone, without scheme, port and path").hint(hint));
    }
    if text.contains('*') {
        return Err(wrong("has a wildcard, which is not supported yet by this version of Slipway")
            .hint("leave host out to take any host"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let all_digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match () {
        () if all_digits && text.parse::<Ipv4Addr>().is_err() => Err(wrong("is neither a name nor an address")),
        () if text.len() <= 253 && text.split('.').all(label) => Ok(text.to_ascii_lowercase()),
        () => Err(wrong("is not a host name").hint("letters, digits, - and dots: checkout.local")),
    }
}

fn read_path(reader: &Reader) -> Option<String> {
    reader.typed("a path", "for example /", path_prefix)
}

/// A prefix of paths: whole segments, nothing in it that a client's normalisation would take away.
fn path_prefix(text: &str) -> Result<String, Wrong> {
    let path = request_path(text, false)?;
    let wrong = |why: &str| Wrong::new(format!("the path {} {why}", quoted(text)));
    match () {
        () if path.contains('*') => {
            Err(wrong("has a wildcard").hint("a path covers everything below it: write /api, not /api/*"))
        }
        () if path.contains("//") || path.split('/').any(|s| s == "." || s == "..") => {
            Err(wrong("has empty or dotted segments, which no request would match").hint("write it without them"))
        }
        () => Ok(path),
    }
}
