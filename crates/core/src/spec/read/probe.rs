//! `probe`: what Slipway asks of both versions where users ask too little.

use std::collections::BTreeMap;

use super::super::mistake::{Wrong, quoted};
use super::super::probe::{Probe, ProbeRequest};
use super::super::reader::{Keys, Reader};
use super::super::scalar;
use super::request_path;
use super::smoke::{headers, method};
use crate::units::Millis;

const KEYS: Keys = Keys { known: &["rate", "request", "timeout"], later: &["expect", "environments"] };
const REQUEST_KEYS: Keys = Keys { known: &["method", "path", "headers", "body"], later: &["json", "expect"] };
const EXAMPLE: &str = "write probe: { rate: 5/s, request: { path: / } }";
/// Default time for the head of an answer.
const TIMEOUT: Millis = Millis::from_secs(5);

pub(super) fn probe(reader: &Reader) -> Option<Probe> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let per_second = fields.required("rate", "says nothing of how often", "for example rate: 5/s");
    let per_second = per_second.and_then(|r| r.typed("a rate", "for example 5/s", rate));
    let sent = fields.required("request", "says nothing of what to send", "for example request: { path: / }");
    let sent = sent.and_then(request);
    let timeout = fields.or("timeout", TIMEOUT, |r| r.typed("a duration", "for example 5s", timeout));
    Some(Probe { rate: per_second?, request: sent?, timeout })
}

fn request(reader: &Reader) -> Option<ProbeRequest> {
    let fields = reader.fields(&REQUEST_KEYS, "write request: { path: / }")?;
    let method = fields.or("method", "GET".to_string(), |r| r.typed("a method", "GET or POST", method));
    let headers = fields.or("headers", BTreeMap::new(), headers);
    let body = fields.get("body").and_then(|r| r.text("write \"\" for an empty body")).map(str::to_string);
    if let (Some(declared), "GET" | "HEAD") = (fields.get("body"), method.as_str()) {
        declared.warn(Wrong::new(format!("most services ignore the body of a {method}")).hint("add method: POST"));
    }
    let path = fields.required("path", "says nothing of what to ask for", "for example path: /")?;
    let path = path.typed("a path", "for example /", |text| request_path(text, true))?;
    Some(ProbeRequest { method, path, headers, body })
}

fn rate(text: &str) -> Result<f64, Wrong> {
    let wrong = || Wrong::new(format!("{} is not a rate", quoted(text))).hint("for example 5/s or 0.5/s");
    let number = text.trim().strip_suffix("/s").ok_or_else(wrong)?;
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match number.parse::<f64>() {
        Ok(rate) if plain && (Probe::SLOWEST..=Probe::FASTEST).contains(&rate) => Ok(rate),
        Ok(_) if plain => {
            Err(Wrong::new(format!("{} is not between {}/s and {}/s", quoted(text), Probe::SLOWEST, Probe::FASTEST))
                .hint("probes are for quiet services; users are the better judges of busy ones"))
        }
        _ => Err(wrong()),
    }
}

fn timeout(text: &str) -> Result<Millis, Wrong> {
    match scalar::duration(text)? {
        time if time.0 == 0 || time > Millis::from_secs(60) => {
            Err(Wrong::new("an answer has above 0s and at most 60s").hint("for example 5s"))
        }
        time => Ok(time),
    }
}
