//! `run`: what is run, and the environment that it is run in.

use std::collections::BTreeMap;

use super::super::config::Config;
use super::super::mistake::{Wrong, nearest, quoted};
use super::super::model::{EnvironmentSpec, Run, SmokeTest};
use super::super::reader::{Keys, Reader};
use super::super::worker::StopSignal;
use super::smoke::texts;
use super::{command, duration};
use crate::units::Millis;

const KEYS: Keys =
    Keys { known: &["command", "env", "stop_grace", "stop_signal"], later: &["image", "limits", "secrets", "config"] };
pub(super) const EXAMPLE: &str = r#"run: { command: ["./checkout", "--port", "{port}"] }"#;
/// From the stop signal to the kill.
const GRACE: Millis = Millis::from_secs(10);
/// The same for a worker, whose jobs last longer than requests.
const WORKER_GRACE: Millis = Millis::from_secs(30);
/// Says that the instance listens on a port.
const PORT: &str = "{port}";
/// Says that it listens on a socket.
const SOCKET: &str = "{socket}";
/// Filled in by the target.
const PLACEHOLDERS: [&str; 4] = ["port", "socket", "version", "instance"];
/// Set by the target for each instance, over whatever is declared.
const SET_BY_SLIPWAY: [&str; 4] = ["PORT", "SOCKET", "VERSION", "INSTANCE"];

/// What is run. A worker has longer to end by itself, and need not listen anywhere.
pub(super) fn run(reader: &Reader, worker: bool) -> Option<Run> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let env = fields.or("env", BTreeMap::new(), env);
    let stop_grace = fields.or("stop_grace", if worker { WORKER_GRACE } else { GRACE }, duration);
    let stop_signal = fields.or("stop_signal", StopSignal::default(), stop_signal);
    let declared =
        fields.required("command", "there is nothing to run", r#"command: ["./checkout", "--port", "{port}"]"#)?;
    let command = command(declared)?;
    let socket = env.values().any(|value| value.contains(SOCKET));
    placeholders(declared, &command, worker || socket);
    Some(Run { command, env, stop_grace, stop_signal })
}

/// Warns where the port may not reach the program that needs one, and where braces look like a slip of the pen.
fn placeholders(declared: &Reader, command: &[String], no_port: bool) {
    let names: Vec<&str> = command.iter().flat_map(|word| braced(word)).collect();
    for name in names.iter().filter(|name| !PLACEHOLDERS.contains(name)) {
        if let Some(near) = nearest(name, PLACEHOLDERS) {
            declared.warn(
                Wrong::new(format!("{{{name}}} is no placeholder and is passed as it stands"))
                    .hint(format!("did you mean {{{near}}}?")),
            );
        }
    }
    if !names.contains(&"port") && !names.contains(&"socket") && !no_port {
        declared.warn(
            Wrong::new("no {port} in the command: the program must take its port from the environment variable PORT")
                .hint("pass {port} as an argument if it does not"),
        );
    }
}

/// Notes where an instance would have to listen on a port and on a socket, and warns of smoke tests that ask for a port
/// where there is none.
pub(super) fn one_place(
    reader: &Reader,
    run: &Run,
    config: &Config,
    environments: &[EnvironmentSpec],
    smoke: &[SmokeTest],
) {
    let own = run.env.values().chain(config.values.values());
    let theirs = environments.iter().flat_map(|e| e.env.values().chain(e.config.values.values()));
    let uses = |name: &str| run.command.iter().any(|word| word.contains(name));
    if !uses(SOCKET) && !own.chain(theirs).any(|value| value.contains(SOCKET)) {
        return;
    }
    if uses(PORT) {
        let wrong = Wrong::new("an instance listens on a port or on a socket, and both {port} and {socket} are used");
        reader.mistake(wrong.hint("leave one of them out"));
    }
    if smoke.iter().flat_map(|test| texts(&test.action)).any(|text| text.contains(PORT)) {
        let wrong = Wrong::new("a smoke test uses {port}, which an instance that listens on a socket does not have");
        reader.warn(wrong.hint("use {socket}"));
    }
}

fn stop_signal(reader: &Reader) -> Option<StopSignal> {
    let all = StopSignal::ALL.map(StopSignal::name);
    reader.typed("a signal", "write SIGTERM", |text| {
        let found = StopSignal::ALL.into_iter().find(|signal| signal.name() == text);
        found.ok_or_else(|| {
            let hint = nearest(text, all).map_or_else(|| all.join(", "), |near| format!("did you mean {near}?"));
            Wrong::new(format!("{} is no signal that asks a program to end", quoted(text))).hint(hint)
        })
    })
}

/// The names in braces within `text`: letters, digits, `-` and `_` only.
pub(super) fn braced(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        fits.then_some(name)
    })
}

/// Environment variables: values are kept as they were written, so that 1.10 stays 1.10 and no stays no.
pub(super) fn env(reader: &Reader) -> Option<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for (key, value) in reader.entries("write env: { LOG_LEVEL: info }")? {
        let unfit = key.text.is_empty() || key.text.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control());
        if unfit {
            key.mistake(Wrong::new(format!("{} cannot name an environment variable", quoted(key.text))));
        } else if SET_BY_SLIPWAY.contains(&key.text) {
            key.mistake(Wrong::new(format!("{} is set by Slipway for each instance", key.text)).hint("leave it out"));
        }
        match value.scalar() {
            Some((text, _)) if text.contains('\0') => value.mistake(Wrong::new("a value cannot hold a NUL character")),
            Some((text, _)) if !value.is_null() => {
                env.insert(key.text.to_string(), text.to_string());
            }
            _ => value.expected("a text, a number, true or false", "write \"\" for an empty value").unwrap_or(()),
        }
    }
    Some(env)
}
