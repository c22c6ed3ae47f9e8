//! `cohorts`: who meets a release first, in the order in which they are declared.

use super::super::cohort::Cohort;
use super::super::mistake::{Wrong, quoted};
use super::super::reader::{Keys, Reader};
use super::{header_name, label};
use crate::traffic::CohortRule;

const KEYS: Keys = Keys { known: &["name", "header", "cookie"], later: &["users", "percent"] };
const EXAMPLE: &str = "for example - { name: internal, header: \"X-Internal: 1\" }";
/// How many cohorts one environment may have.
const MOST: usize = 10;

pub(in crate::spec) fn cohorts(reader: &Reader) -> Option<Vec<Cohort>> {
    let items = reader.items(MOST, EXAMPLE)?;
    let mut all: Vec<Cohort> = Vec::new();
    for item in &items {
        let Some(cohort) = cohort(item) else { continue };
        if all.iter().any(|other| other.name == cohort.name) {
            item.mistake(
                Wrong::new(format!("a second cohort is called {}", quoted(&cohort.name))).hint("name it anew"),
            );
        }
        if let Some(other) = all.iter().find(|other| other.rule == cohort.rule) {
            let wrong =
                Wrong::new(format!("{} is for the same users as {}", quoted(&cohort.name), quoted(&other.name)));
            item.mistake(wrong.hint("nobody would be left for it: leave one of them out"));
        }
        all.push(cohort);
    }
    Some(all)
}

fn cohort(reader: &Reader) -> Option<Cohort> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let name = fields.required("name", "a cohort needs a name", "for example name: internal");
    let name = name.and_then(|r| r.typed("a name", "for example internal", label));
    let rule = match fields.one_of(&["header", "cookie"]).first() {
        Some(("header", declared)) => declared.typed("a header and its value", "for example \"X-Internal: 1\"", header),
        Some((_, declared)) => declared.typed("a cookie and its value", "for example beta=1", cookie),
        None => {
            let wrong = Wrong::new("nothing says who is in it: header or cookie is missing");
            reader.mistake(wrong.hint("header: \"X-Internal: 1\", or cookie: beta=1"));
            None
        }
    };
    Some(Cohort { name: name?, rule: rule? })
}

fn header(text: &str) -> Result<CohortRule, Wrong> {
    let hint = "for example \"X-Internal: 1\"";
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| Wrong::new(format!("{} is not a header and its value", quoted(text))).hint(hint))?;
    let value = value.trim();
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(Wrong::new("the header needs a value, one line of text").hint(hint));
    }
    Ok(CohortRule::Header { name: header_name(name.trim())?, value: value.to_string() })
}

fn cookie(text: &str) -> Result<CohortRule, Wrong> {
    let hint = "for example beta=1";
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"=;,\"".contains(&b));
    match text.trim().split_once('=') {
        Some((name, value)) if plain(name) && plain(value) => {
            Ok(CohortRule::Cookie { name: name.to_string(), value: value.to_string() })
        }
        _ => Err(Wrong::new(format!("{} is not a cookie and its value", quoted(text))).hint(hint)),
    }
}
