//! From the text of `slipway.yaml` to a [`ServiceSpec`], with every mistake at once.

use std::collections::BTreeMap;

use super::mistake::Mistake;
use super::model::{Bad, HealthCheck, HealthProbe, Objective, Run, ServiceSpec, Tolerate, Traffic};
use super::node;
use super::reader::{Field, Keys, Notes};
use super::{environments, scalars, smoke};
use crate::units::Millis;

/// A file that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What it declares.
    pub spec: ServiceSpec,
    /// Allowed, but probably not meant.
    pub warnings: Vec<Mistake>,
}

pub(super) const TOP: &[&str] =
    &["service", "owner", "run", "health", "smoke", "traffic", "objectives", "environments"];
/// Keys that later versions will know.
pub(super) const LATER: &[&str] =
    &["config", "migrate", "needs_schema", "probe", "hooks", "drill", "watch", "worker", "exclusive", "after"];

/// Reads a declared file.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn parse(text: &str) -> Result<Declared, Vec<Mistake>> {
    let mut notes = Notes::default();
    let root = node::read(text).map_err(|mistake| vec![mistake])?;
    let spec = service(&Field::new(&root, ""), &mut notes);
    let in_order = |m: &Mistake| (m.line, m.column);
    notes.mistakes.sort_by_key(in_order);
    notes.warnings.sort_by_key(in_order);
    match spec {
        Some(spec) if notes.mistakes.is_empty() => Ok(Declared { spec, warnings: notes.warnings }),
        _ => Err(notes.mistakes),
    }
}

fn service(root: &Field<'_>, notes: &mut Notes) -> Option<ServiceSpec> {
    let keys = root.map(notes, TOP, LATER)?;
    let name = keys.need(notes, "service", "service: checkout").cloned();
    let name = name.and_then(|f| f.parsed(notes, |t| t.parse().map_err(|e: crate::names::InvalidName| e.to_string())));
    let owner = keys.get("owner").and_then(|f| f.text(notes));
    let run = keys.need(notes, "run", "run: { command: [\"./checkout\", \"--port\", \"{port}\"] }").cloned();
    let run = run.and_then(|f| run_of(&f, notes));
    let health = keys.need(notes, "health", "nothing is released without a health check: health: { http: /healthz }");
    let health = health.cloned().and_then(|f| health_of(&f, notes));
    let smoke = keys.or(notes, "smoke", Vec::new(), smoke::tests);
    let traffic = keys.or(notes, "traffic", default_traffic(), traffic_of);
    let objectives = objectives(&keys, notes);
    let environments = keys.need(notes, "environments", "environments: { production: { instances: 2 } }").cloned();
    let environments = environments.and_then(|f| environments::environments(&f, notes));
    Some(ServiceSpec {
        service: name?,
        owner,
        run: run?,
        health: health?,
        smoke,
        traffic,
        objectives,
        environments: environments?,
    })
}

pub(super) const RUN: &[&str] = &["command", "env", "stop_grace"];

fn run_of(field: &Field<'_>, notes: &mut Notes) -> Option<Run> {
    let keys = field.map(notes, RUN, &[])?;
    let command = keys.need(notes, "command", "command: [\"./checkout\", \"--port\", \"{port}\"]").cloned();
    let command = command.and_then(|f| command_of(&f, notes))?;
    let env = keys.or(notes, "env", BTreeMap::new(), env_of);
    let stop_grace = keys.or(notes, "stop_grace", Millis::from_secs(10), |f, n| f.parsed(n, scalars::duration));
    let listens = command.iter().any(|w| w.contains("{port}")) || env.values().any(|v| v.contains("{port}"));
    if !listens {
        let hint = "its port is told by {port} in the command and by the variable PORT".to_string();
        notes.odd(keys.at, "run.command", "no {port} in it: the program must look at PORT by itself", Some(hint));
    }
    Some(Run { command, env, stop_grace })
}

/// A program with its arguments.
pub(super) fn command_of(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<String>> {
    if let node::Value::Scalar(text, _) = &field.node.value {
        let words: Vec<String> = text.split_whitespace().map(|w| format!("{w:?}")).collect();
        let hint = format!("no shell is used; write [{}]", words.join(", "));
        return field.wrong(notes, "a list of program and arguments is expected", Some(&hint));
    }
    let words: Vec<String> = field.list(notes)?.iter().filter_map(|f| f.text(notes)).collect();
    match words.first().is_none_or(|program| program.is_empty()) {
        true => field.wrong(notes, "names no program", Some("[\"./checkout\", \"--port\", \"{port}\"]")),
        false => Some(words),
    }
}

/// Environment variables. Values are kept as they are written.
pub(super) fn env_of(field: &Field<'_>, notes: &mut Notes) -> Option<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for (key, value) in field.open_map(notes)? {
        let name = key.text(notes)?;
        let fits =
            name.chars().enumerate().all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()));
        if name.is_empty() || !fits {
            key.wrong::<()>(notes, format!("{name:?} cannot be a variable's name"), Some("letters, digits and _"));
        } else if ["PORT", "VERSION", "INSTANCE"].contains(&name.as_str()) {
            key.wrong::<()>(notes, format!("{name} is set by Slipway for each instance"), Some("leave it out"));
        } else if let Some(value) = value.text(notes) {
            env.insert(name, value);
        }
    }
    Some(env)
}

pub(super) const HEALTH: &[&str] =
    &["http", "tcp", "interval", "timeout", "healthy_after", "unhealthy_after", "start_limit"];

fn health_of(field: &Field<'_>, notes: &mut Notes) -> Option<HealthCheck> {
    let keys = field.map(notes, HEALTH, &[])?;
    let http = keys.get("http").cloned();
    let tcp = keys.get("tcp").and_then(|f| f.parsed(notes, flag));
    let probe = match (http, tcp) {
        (Some(path), None) => path.parsed(notes, path_of).map(HealthProbe::Http),
        (None, Some(true)) => Some(HealthProbe::Tcp),
        (Some(_), Some(_)) => field.wrong(notes, "both http and tcp are given", Some("choose one")),
        _ => field.wrong(notes, "does not say how to ask", Some("http: /healthz, or tcp: true")),
    };
    let time = |f: &Field<'_>, n: &mut Notes| f.parsed(n, scalars::positive);
    let number = |f: &Field<'_>, n: &mut Notes| f.parsed(n, scalars::at_least_one);
    Some(HealthCheck {
        interval: keys.or(notes, "interval", Millis::from_secs(2), time),
        timeout: keys.or(notes, "timeout", Millis::from_secs(1), time),
        healthy_after: keys.or(notes, "healthy_after", 2, number),
        unhealthy_after: keys.or(notes, "unhealthy_after", 3, number),
        start_limit: keys.or(notes, "start_limit", Millis::from_secs(60), time),
        probe: probe?,
    })
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A path on the service.
pub(super) fn path_of(text: &str) -> Result<String, String> {
    match text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Ok(text.to_string()),
        false => Err(format!("{text:?} is not a path; it begins with / and holds no blanks")),
    }
}

/// A host name, in lower case.
pub(super) fn host_of(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    let fits = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|l| !l.is_empty() && l.len() <= 63)
        && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_');
    match fits {
        true => Ok(host),
        false => Err(format!("{text:?} is not a host name (without scheme and port)")),
    }
}

pub(super) const TRAFFIC: &[&str] = &["host", "path", "sticky", "timeout", "drain", "drain_long", "max_body"];
pub(super) const STICKY: &[&str] = &["cookie", "header"];

fn default_traffic() -> Traffic {
    Traffic {
        host: None,
        path: "/".to_string(),
        sticky_cookie: None,
        sticky_header: None,
        timeout: Millis::from_secs(60),
        drain: Millis::from_secs(30),
        drain_long: Millis::from_secs(300),
        max_body: 1 << 30,
    }
}

fn traffic_of(field: &Field<'_>, notes: &mut Notes) -> Option<Traffic> {
    let keys = field.map(notes, TRAFFIC, &["cohorts"])?;
    let sticky = keys.get("sticky").and_then(|f| f.map(notes, STICKY, &[]));
    let name = |keys: &Option<Keys<'_>>, key: &str, notes: &mut Notes| {
        keys.as_ref().and_then(|k| k.get(key)).cloned().and_then(|f| f.parsed(notes, token))
    };
    let time = |f: &Field<'_>, n: &mut Notes| f.parsed(n, scalars::positive);
    let defaults = default_traffic();
    Some(Traffic {
        host: keys.get("host").and_then(|f| f.parsed(notes, host_of)),
        path: keys.or(notes, "path", defaults.path, |f, n| f.parsed(n, path_of)),
        sticky_cookie: name(&sticky, "cookie", notes),
        sticky_header: name(&sticky, "header", notes).map(|h| h.to_ascii_lowercase()),
        timeout: keys.or(notes, "timeout", defaults.timeout, time),
        drain: keys.or(notes, "drain", defaults.drain, time),
        drain_long: keys.or(notes, "drain_long", defaults.drain_long, time),
        max_body: keys.or(notes, "max_body", defaults.max_body, |f, n| f.parsed(n, scalars::size)),
    })
}

/// A name of a cookie or a header (RFC 9110, token).
fn token(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match !text.is_empty() && text.chars().all(fits) {
        true => Ok(text.to_string()),
        false => Err(format!("{text:?} cannot be the name of a cookie or a header")),
    }
}

pub(super) const OBJECTIVE: &[&str] = &["name", "bad", "at_most", "tolerate"];

fn objectives(keys: &Keys<'_>, notes: &mut Notes) -> Vec<Objective> {
    let mut objectives: Vec<Objective> = Vec::new();
    for field in keys.get("objectives").and_then(|f| f.list(notes)).unwrap_or_default() {
        let Some(objective) = objective(&field, notes) else { continue };
        if objectives.iter().any(|o| o.name == objective.name) {
            field.wrong::<()>(notes, format!("there are two objectives named {:?}", objective.name), None);
        }
        objectives.push(objective);
    }
    if keys.get("objectives").is_none() {
        let hint = "objectives: [{ name: errors, bad: failed, at_most: 1% }]".to_string();
        notes.odd(keys.at, "objectives", "none are declared: at most 1% failed requests is assumed", Some(hint));
        objectives.push(Objective {
            name: "errors".to_string(),
            bad: Bad::Failed,
            at_most: 0.01,
            tolerate: Tolerate::Share(0.005),
        });
    }
    objectives
}

fn objective(field: &Field<'_>, notes: &mut Notes) -> Option<Objective> {
    let keys = field.map(notes, OBJECTIVE, &[])?;
    let hint = "{ name: errors, bad: failed, at_most: 1% }";
    let name = keys.need(notes, "name", hint).cloned().and_then(|f| f.text(notes));
    let bad = keys.need(notes, "bad", hint).cloned().and_then(|f| f.parsed(notes, bad_of));
    let at_most = keys.need(notes, "at_most", hint).cloned().and_then(|f| f.parsed(notes, scalars::share));
    if let Some(all) = keys.get("at_most").filter(|_| at_most == Some(1.0)) {
        all.wrong::<()>(notes, "100% would accept anything", None);
    }
    let tolerate = keys.get("tolerate").map(|f| f.parsed(notes, tolerate_of));
    let at_most = at_most?;
    let tolerate = match tolerate {
        None => Tolerate::Share(at_most / 2.0),
        Some(tolerate) => tolerate?,
    };
    Some(Objective { name: name?, bad: bad?, at_most, tolerate })
}

fn bad_of(text: &str) -> Result<Bad, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["failed"] => Ok(Bad::Failed),
        ["slower_than", time] => scalars::positive(time).map(Bad::SlowerThan),
        ["outcome" | "missing" | "complaint", ..] => {
            Err(format!("{text:?} is not supported yet by this version of Slipway"))
        }
        _ => Err(format!("{text:?} is not known; write failed, or slower_than 300ms")),
    }
}

fn tolerate_of(text: &str) -> Result<Tolerate, String> {
    let multiple = text.strip_suffix('x').is_some_and(|n| n.parse::<f64>().is_ok());
    match multiple {
        true => Err(format!("{text:?}: multiples are not supported yet; write a share like 0.5%")),
        false => scalars::share(text).map(Tolerate::Share),
    }
}
