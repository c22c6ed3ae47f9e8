//! `health`: how an instance's health is asked for.

use super::super::mistake::Wrong;
use super::super::model::{HealthCheck, HealthProbe};
use super::super::reader::{Fields, Keys, Reader};
use super::{request_path, time};
use crate::units::Millis;

const KEYS: Keys = Keys {
    known: &["http", "tcp", "interval", "timeout", "healthy_after", "unhealthy_after", "start_limit"],
    later: &["grpc", "command"],
};
pub(super) const EXAMPLE: &str = "health: { http: /healthz }";

pub(super) fn health(reader: &Reader) -> Option<HealthCheck> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let times = |key, default| fields.or(key, default, |r| r.count(1..=1000).and_then(|n| u32::try_from(n).ok()));
    let check = HealthCheck {
        probe: HealthProbe::Tcp,
        interval: fields.or("interval", Millis::from_secs(2), time),
        timeout: fields.or("timeout", Millis::from_secs(1), time),
        healthy_after: times("healthy_after", 2),
        unhealthy_after: times("unhealthy_after", 3),
        start_limit: fields.or("start_limit", Millis::from_secs(60), time),
    };
    Some(HealthCheck { probe: probe(&fields)?, ..check })
}

fn probe(fields: &Fields) -> Option<HealthProbe> {
    match fields.one_of(&["http", "tcp"]).first() {
        Some(("http", path)) => {
            path.typed("a path", "write /healthz", |text| request_path(text, true)).map(HealthProbe::Http)
        }
        Some((_, tcp)) => tcp.only_true().map(|()| HealthProbe::Tcp),
        None => {
            let wrong = Wrong::new("says nothing of what to ask: http or tcp is missing");
            fields.section().mistake(wrong.hint("http: /healthz, or tcp: true"));
            None
        }
    }
}
