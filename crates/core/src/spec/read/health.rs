//! `health`: how an instance's health is asked for.

use super::super::mistake::Wrong;
use super::super::model::{HealthCheck, HealthProbe};
use super::super::reader::{Fields, Keys, Reader};
use super::{command, request_path, time};
use crate::units::Millis;

const KEYS: Keys = Keys {
    known: &[
        "http",
        "tcp",
        "command",
        "running_for",
        "interval",
        "timeout",
        "healthy_after",
        "unhealthy_after",
        "start_limit",
    ],
    later: &["grpc"],
};
pub(super) const EXAMPLE: &str = "health: { http: /healthz }";

/// What an instance is asked. A worker may be asked nothing but whether it still runs.
pub(super) fn health(reader: &Reader, worker: bool) -> Option<HealthCheck> {
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
    Some(HealthCheck { probe: probe(&fields, worker, check.start_limit)?, ..check })
}

fn probe(fields: &Fields, worker: bool, start_limit: Millis) -> Option<HealthProbe> {
    match fields.one_of(&["http", "tcp", "command", "running_for"]).first() {
        Some(("http", path)) => {
            path.typed("a path", "write /healthz", |text| request_path(text, true)).map(HealthProbe::Http)
        }
        Some(("command", words)) => command(words).map(HealthProbe::Command),
        Some(("running_for", length)) => running_for(length, worker, start_limit),
        Some((_, tcp)) => tcp.only_true().map(|()| HealthProbe::Tcp),
        None => {
            let (missing, hint) = match worker {
                true => ("http, tcp, command or running_for", "running_for: 5s, or command: [./healthy.sh]"),
                false => ("http, tcp or command", "http: /healthz, or tcp: true"),
            };
            let wrong = Wrong::new(format!("says nothing of what to ask: {missing} is missing"));
            fields.section().mistake(wrong.hint(hint));
            None
        }
    }
}

/// Still running is all that can be asked of some workers; a service with users has to answer.
fn running_for(reader: &Reader, worker: bool, start_limit: Millis) -> Option<HealthProbe> {
    let length = time(reader)?;
    if !worker {
        let wrong = Wrong::new("says nothing of whether the service answers: it is for workers");
        reader.mistake(wrong.hint("ask with http, tcp or command, or declare kind: worker"));
        return None;
    }
    if length >= start_limit {
        let message = format!("{length} is not below start_limit, {start_limit}: it would be given up before");
        reader.mistake(Wrong::new(message).hint("write less, or declare a longer start_limit"));
        return None;
    }
    Some(HealthProbe::Running(length))
}
