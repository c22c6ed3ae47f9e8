//! What each section of the declared file means: one file per section, from reader to model, defaults filled in.
//!
//! Called by [`super::parse`]. Readers note every mistake and go on with a default; a model is only handed out when
//! nothing was noted.

mod cohort;
mod config;
mod environment;
mod health;
mod hooks;
mod json;
mod migrate;
mod mirror;
mod objective;
mod policy;
mod probe;
mod reported;
mod run;
mod service;
mod smoke;
mod strategy;
mod traffic;
mod worker;

pub(super) use cohort::cohorts;
pub(super) use hooks::environment_hooks;
#[cfg(test)]
pub(super) use json::json;
pub(super) use policy::{afters, always_within, drill, gates, require_drill};
pub(super) use service::service;

use super::mistake::{Wrong, quoted};
use super::reader::Reader;
use super::scalar;
use crate::units::Millis;

/// A duration that may be zero.
fn duration(reader: &Reader) -> Option<Millis> {
    reader.typed("a duration", "write 300ms, 2s, 10m or 1h", scalar::duration)
}

/// A duration above zero.
fn time(reader: &Reader) -> Option<Millis> {
    let length = duration(reader)?;
    if length.0 == 0 {
        reader.mistake(Wrong::new("must be longer than nothing").hint("write at least 1ms"));
        return None;
    }
    Some(length)
}

/// A name made of letters, digits, `-` and `_`, as it goes into metrics and messages.
fn label(text: &str) -> Result<String, Wrong> {
    let fits = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    match fits {
        true => Ok(text.to_string()),
        false => Err(Wrong::new(format!("{} cannot be a name here", quoted(text)))
            .hint("start with a letter; letters, digits, - and _; at most 63")),
    }
}

/// Whether `text` may name a header or a cookie (a token of RFC 9110).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The name of a header, in lower case.
fn header_name(text: &str) -> Result<String, Wrong> {
    match is_token(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err(Wrong::new(format!("{} cannot be the name of a header", quoted(text))).hint("for example x-user-id"))
        }
    }
}

/// A path of requests, `?query` included where `query` says so.
fn request_path(text: &str, query: bool) -> Result<String, Wrong> {
    let why = match () {
        () if !text.starts_with('/') => "must start with /",
        () if text.contains('#') => "must not hold a #",
        () if !query && text.contains('?') => "must not hold a query",
        () if text.len() > 2048 => "is too long",
        () if text.chars().any(|c| c.is_ascii_control() || c == ' ' || !c.is_ascii()) => {
            "must be visible ASCII; write other characters as %XX"
        }
        () => return Ok(text.to_string()),
    };
    let wrong = Wrong::new(format!("the path {} {why}", quoted(text)));
    Err(match text.starts_with('/') || text.contains(':') || text.is_empty() {
        true => wrong,
        false => wrong.hint(format!("write {}", quoted(&format!("/{text}")))),
    })
}

/// A program and its arguments: texts, none with a NUL in it, the first not empty.
fn command(reader: &Reader) -> Option<Vec<String>> {
    if let Some((text, _)) = reader.scalar().filter(|_| !reader.is_null()) {
        let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
        return reader.expected(
            "a list of program and arguments",
            &format!("no shell is involved: write {}", brief(&words.join(", "))),
        );
    }
    let items = reader.items(1000, r#"write ["./checkout", "--port", "{port}"]"#)?;
    if items.is_empty() {
        reader.mistake(Wrong::new("the command is empty").hint(r#"write ["./checkout", "--port", "{port}"]"#));
        return None;
    }
    let words: Vec<Option<String>> = items.iter().enumerate().map(|(i, item)| argument(i, item)).collect();
    words.into_iter().collect()
}

fn brief(words: &str) -> String {
    if words.chars().count() > 100 { r#"["program", "argument"]"#.to_string() } else { format!("[{words}]") }
}

fn argument(index: usize, item: &Reader) -> Option<String> {
    let text = item.text("put an empty argument in quotes: \"\"")?;
    let wrong = match () {
        () if index == 0 && text.trim().is_empty() => Wrong::new("the program is empty").hint("for example ./checkout"),
        () if text.contains('\0') => Wrong::new("an argument cannot hold a NUL character"),
        () => return Some(text.to_string()),
    };
    item.mistake(wrong);
    None
}
