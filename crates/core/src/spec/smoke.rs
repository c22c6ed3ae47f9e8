//! Smoke tests in the declared file.

use std::collections::BTreeMap;

use super::model::{Expect, SmokeAction, SmokeTest};
use super::parse::{command_of, path_of};
use super::reader::{Field, Keys, Notes};
use super::scalars;
use crate::units::Millis;

pub(super) const TEST: &[&str] = &["name", "http", "tcp", "command", "timeout", "capture"];
pub(super) const HTTP: &[&str] = &["method", "path", "headers", "json", "expect"];
pub(super) const EXPECT: &[&str] = &["status", "headers", "json", "body"];

/// The tests, in order.
pub(super) fn tests(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<SmokeTest>> {
    let mut tests: Vec<SmokeTest> = Vec::new();
    for item in field.list(notes)? {
        let Some(test) = test(&item, notes) else { continue };
        if tests.iter().any(|t| t.name == test.name) {
            item.wrong::<()>(notes, format!("there are two tests named {:?}", test.name), None);
        }
        tests.push(test);
    }
    Some(tests)
}

fn test(field: &Field<'_>, notes: &mut Notes) -> Option<SmokeTest> {
    let keys = field.map(notes, TEST, &[])?;
    let name = keys.need(notes, "name", "name: a user can log in").cloned().and_then(|f| f.text(notes));
    let action = action(field, &keys, notes);
    let timeout = keys.or(notes, "timeout", Millis::from_secs(10), |f, n| f.parsed(n, scalars::positive));
    let capture = keys.or(notes, "capture", BTreeMap::new(), pointers);
    Some(SmokeTest { name: name?, action: action?, timeout, capture })
}

fn action(field: &Field<'_>, keys: &Keys<'_>, notes: &mut Notes) -> Option<SmokeAction> {
    let given: Vec<&str> = ["http", "tcp", "command"].into_iter().filter(|k| keys.get(k).is_some()).collect();
    match given.as_slice() {
        ["http"] => keys.get("http").cloned().and_then(|f| http(&f, notes)),
        ["tcp"] => Some(SmokeAction::Tcp),
        ["command"] => keys.get("command").cloned().and_then(|f| command_of(&f, notes)).map(SmokeAction::Command),
        [] => {
            field.wrong(notes, "does not say what to do", Some("http: { path: /ready }, tcp: true, or command: [...]"))
        }
        _ => field.wrong(notes, format!("{} are given", given.join(" and ")), Some("choose one")),
    }
}

fn http(field: &Field<'_>, notes: &mut Notes) -> Option<SmokeAction> {
    let keys = field.map(notes, HTTP, &[])?;
    let path = keys.need(notes, "path", "path: /ready").cloned().and_then(|f| f.parsed(notes, path_of));
    let method = keys.or(notes, "method", "GET".to_string(), |f, n| f.parsed(n, method));
    let headers = keys.or(notes, "headers", BTreeMap::new(), headers);
    let json = keys.get("json").map(|f| f.node.json());
    let expect = keys.or(notes, "expect", Expect::default(), expect);
    Some(SmokeAction::Http { method, path: path?, headers, json, expect })
}

fn method(text: &str) -> Result<String, String> {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    match KNOWN.contains(&text.to_ascii_uppercase().as_str()) {
        true => Ok(text.to_ascii_uppercase()),
        false => Err(format!("{text:?} is not a method; there are {}", KNOWN.join(", "))),
    }
}

fn headers(field: &Field<'_>, notes: &mut Notes) -> Option<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    for (key, value) in field.open_map(notes)? {
        headers.insert(key.text(notes)?, value.text(notes)?);
    }
    Some(headers)
}

fn pointers(field: &Field<'_>, notes: &mut Notes) -> Option<BTreeMap<String, String>> {
    let pointer = |text: &str| match text.starts_with('/') {
        true => Ok(text.to_string()),
        false => Err(format!("{text:?} is not a JSON pointer; it begins with /, like /token")),
    };
    let mut capture = BTreeMap::new();
    for (key, value) in field.open_map(notes)? {
        let name = key.text(notes)?;
        if let Some(value) = value.parsed(notes, pointer) {
            capture.insert(name, value);
        }
    }
    Some(capture)
}

fn expect(field: &Field<'_>, notes: &mut Notes) -> Option<Expect> {
    let keys = field.map(notes, EXPECT, &[])?;
    let status = |text: &str| match text.parse::<u16>() {
        Ok(status) if (100..600).contains(&status) => Ok(status),
        _ => Err(format!("{text:?} is not an HTTP status")),
    };
    let pattern = |text: &str| match regex::Regex::new(text) {
        Ok(_) => Ok(text.to_string()),
        Err(error) => Err(format!("not a regular expression: {}", error.to_string().lines().last().unwrap_or(""))),
    };
    Some(Expect {
        status: keys.get("status").and_then(|f| f.parsed(notes, status)),
        headers: keys.or(notes, "headers", BTreeMap::new(), headers),
        json: keys.get("json").map(|f| f.node.json()),
        body: keys.get("body").and_then(|f| f.parsed(notes, pattern)),
    })
}
