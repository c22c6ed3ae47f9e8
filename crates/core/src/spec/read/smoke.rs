//! `smoke`: what must work before the first user.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::mistake::{Wrong, nearest, quoted};
use super::super::model::{Expect, SmokeAction, SmokeTest};
use super::super::reader::{Fields, Keys, Reader};
use super::json::json;
use super::run::braced;
use super::{command, header_name, request_path, time};
use crate::units::Millis;

const KEYS: Keys =
    Keys { known: &["name", "http", "tcp", "command", "timeout", "capture"], later: &["grpc", "retries"] };
const HTTP_KEYS: Keys = Keys { known: &["method", "path", "headers", "json", "expect"], later: &[] };
const EXPECT_KEYS: Keys = Keys { known: &["status", "headers", "json", "body"], later: &[] };
const EXAMPLE: &str = "for example - { name: it answers, http: { path: /ready } }";
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Known to every test without being captured.
const GIVEN: [&str; 3] = ["url", "port", "socket"];
/// Written by whoever sends the request.
const SET_BY_SLIPWAY: [&str; 3] = ["content-length", "transfer-encoding", "connection"];

pub(super) fn smoke(reader: &Reader) -> Option<Vec<SmokeTest>> {
    let items = reader.items(200, EXAMPLE)?;
    let tests: Vec<(&Reader, Option<SmokeTest>)> = items.iter().map(|item| (item, test(item))).collect();
    let mut names = BTreeSet::new();
    for (item, test) in tests.iter().filter_map(|(item, test)| Some((item, test.as_ref()?))) {
        if !names.insert(test.name.as_str()) {
            item.mistake(
                Wrong::new(format!("a second smoke test is called {}", quoted(&test.name))).hint("name it anew"),
            );
        }
    }
    order_of_captures(&tests);
    Some(tests.into_iter().filter_map(|(_, test)| test).collect())
}

fn test(reader: &Reader) -> Option<SmokeTest> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let name = fields.required("name", "a smoke test needs a name", "for example name: a user can log in");
    let name = name.and_then(|r| r.typed("a name", "for example a user can log in", title));
    let timeout = fields.or("timeout", Millis::from_secs(10), time);
    let capture = fields.or("capture", BTreeMap::new(), capture);
    let action = action(&fields);
    if let (Some(declared), Some(SmokeAction::Tcp)) = (fields.get("capture"), &action) {
        declared.mistake(Wrong::new("a connection alone has no answer to capture from").hint("use http or command"));
    }
    Some(SmokeTest { name: name?, action: action?, timeout, capture })
}

fn title(text: &str) -> Result<String, Wrong> {
    match () {
        () if text.trim().is_empty() => Err(Wrong::new("the name is empty").hint("for example a user can log in")),
        () if text.chars().count() > 120 => Err(Wrong::new("the name is longer than 120 characters")),
        () if text.chars().any(char::is_control) => Err(Wrong::new("the name must be one line of text")),
        () => Ok(text.to_string()),
    }
}

fn action(fields: &Fields) -> Option<SmokeAction> {
    match fields.one_of(&["http", "tcp", "command"]).first() {
        Some(("http", declared)) => http(declared),
        Some(("tcp", declared)) => declared.only_true().map(|()| SmokeAction::Tcp),
        Some((_, declared)) => command(declared).map(SmokeAction::Command),
        None => {
            let wrong = Wrong::new("says nothing of what to do: http, tcp or command is missing");
            fields.section().mistake(wrong.hint("for example http: { path: /ready }"));
            None
        }
    }
}

fn http(reader: &Reader) -> Option<SmokeAction> {
    let fields = reader.fields(&HTTP_KEYS, "write http: { path: /ready, expect: { status: 200 } }")?;
    let method = fields.or("method", "GET".to_string(), |r| r.typed("a method", "GET or POST", method));
    let headers = fields.or("headers", BTreeMap::new(), headers);
    let body = fields.get("json").and_then(json);
    let expect = fields.or("expect", Expect::default(), expect);
    if let (Some(declared), "GET" | "HEAD") = (fields.get("json"), method.as_str()) {
        declared.warn(Wrong::new(format!("most services ignore the body of a {method}")).hint("add method: POST"));
    }
    let path = fields.required("path", "says nothing of what to ask for", "for example path: /ready")?;
    let path = path.typed("a path", "for example /ready", |text| request_path(text, true))?;
    Some(SmokeAction::Http { method, path, headers, json: body, expect })
}

pub(super) fn method(text: &str) -> Result<String, Wrong> {
    match METHODS.contains(&text) {
        true => Ok(text.to_string()),
        false => {
            let upper = text.to_ascii_uppercase();
            let wrong = Wrong::new(format!("{} is not a method", quoted(text)));
            Err(match METHODS.contains(&upper.as_str()) {
                true => wrong.hint(format!("write {upper}")),
                false => wrong.hint(METHODS.join(", ")),
            })
        }
    }
}

pub(super) fn headers(reader: &Reader) -> Option<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    for (key, value) in reader.entries("write headers: { accept: application/json }")? {
        match header_name(key.text) {
            Err(wrong) => key.mistake(wrong),
            Ok(name) if SET_BY_SLIPWAY.contains(&name.as_str()) => {
                key.mistake(Wrong::new(format!("{name} is set by whoever sends the request")).hint("leave it out"));
            }
            Ok(name) => {
                let Some(text) = value.text("write \"\" for an empty value") else { continue };
                if text.chars().any(char::is_control) {
                    value.mistake(Wrong::new("the value of a header must be one line of text"));
                } else if headers.insert(name, text.to_string()).is_some() {
                    key.mistake(Wrong::new("this header is declared twice; case makes no difference").hint("keep one"));
                }
            }
        }
    }
    Some(headers)
}

fn expect(reader: &Reader) -> Option<Expect> {
    let fields = reader.fields(&EXPECT_KEYS, "write expect: { status: 200 }")?;
    Some(Expect {
        status: fields.get("status").and_then(|r| r.count(100..=599)).and_then(|n| u16::try_from(n).ok()),
        headers: fields.or("headers", BTreeMap::new(), headers),
        json: fields.get("json").and_then(json),
        body: fields.get("body").and_then(|r| r.typed("a regular expression", "for example \"^ok\"", pattern)),
    })
}

fn pattern(text: &str) -> Result<String, Wrong> {
    match regex::bytes::Regex::new(text) {
        Ok(_) => Ok(text.to_string()),
        // The last line says what is wrong; those before it draw the place with carets.
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            Err(Wrong::new(format!("{} is not a regular expression: {why}", quoted(text))))
        }
    }
}

fn capture(reader: &Reader) -> Option<BTreeMap<String, String>> {
    let mut captured = BTreeMap::new();
    for (key, value) in reader.entries("write capture: { token: /token }")? {
        let fits = key.text.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits {
            key.mistake(Wrong::new(format!("{} cannot name a value", quoted(key.text))).hint("for example token"));
        } else if GIVEN.contains(&key.text) {
            key.mistake(Wrong::new(format!("{{{}}} has a meaning already", key.text)).hint("choose another name"));
        }
        if let Some(pointer) = value.typed("a JSON pointer", "for example /token", pointer) {
            captured.insert(key.text.to_string(), pointer);
        }
    }
    Some(captured)
}

/// A JSON pointer (RFC 6901) to something inside of the answer.
fn pointer(text: &str) -> Result<String, Wrong> {
    let wrong = || Wrong::new(format!("{} is not a JSON pointer", quoted(text)));
    if !text.starts_with('/') {
        let path = text.trim_start_matches(['$', '.']).replace('.', "/");
        return Err(wrong().hint(format!("write {}", quoted(&format!("/{path}")))));
    }
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if escapes { Ok(text.to_string()) } else { Err(wrong().hint("write ~0 for ~ and ~1 for /")) }
}

/// Notes where a value is used in or before the test that captures it, and warns where a name is nearly a captured one.
fn order_of_captures(tests: &[(&Reader, Option<SmokeTest>)]) {
    let first: BTreeMap<&str, usize> = tests
        .iter()
        .enumerate()
        .rev()
        .flat_map(|(i, (_, test))| test.iter().flat_map(|t| t.capture.keys()).map(move |name| (name.as_str(), i)))
        .collect();
    for (i, (item, test)) in tests.iter().enumerate() {
        let Some(test) = test else { continue };
        let used: BTreeSet<&str> = texts(&test.action).into_iter().flat_map(braced).collect();
        for name in used.into_iter().filter(|name| !GIVEN.contains(name)) {
            match first.get(name) {
                Some(at) if *at >= i => item.mistake(
                    Wrong::new(format!(
                        "{{{name}}} is used here and captured only {}",
                        if *at == i { "by this test" } else { "by a later one" }
                    ))
                    .hint("capture it in a test before this one"),
                ),
                Some(_) => {}
                None => {
                    if let Some(near) = nearest(name, first.keys().copied()) {
                        item.warn(
                            Wrong::new(format!("{{{name}}} is captured by no test and is sent as it stands"))
                                .hint(format!("did you mean {{{near}}}?")),
                        );
                    }
                }
            }
        }
    }
}

/// Every text in which placeholders are filled in.
pub(super) fn texts(action: &SmokeAction) -> Vec<&str> {
    match action {
        SmokeAction::Http { path, headers, json, .. } => {
            let mut texts: Vec<&str> = headers.values().map(String::as_str).chain([path.as_str()]).collect();
            json.iter().for_each(|json| strings(json, &mut texts));
            texts
        }
        SmokeAction::Tcp => Vec::new(),
        SmokeAction::Command(words) => words.iter().map(String::as_str).collect(),
    }
}

fn strings<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(map) => map.values().for_each(|item| strings(item, into)),
        _ => {}
    }
}
