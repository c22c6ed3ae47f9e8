//! What is wrong with a declared file, said so that a person can mend it: where, what, why, and what to write instead.
//!
//! Collects; decides nothing. Filled by the tree builder and the readers, handed out by [`super::parse`].

use std::cell::RefCell;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::named::Named;

/// How many mistakes are told at once; a file that has more is not what it was meant to be.
pub(super) const TOLD: usize = 200;

/// A place in the declared file that is wrong, or that is doubtful where it is a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// `environments.production.strategy.canary.steps[2]`, items counted from 0; empty for the file as a whole.
    pub field: String,
    /// What is wrong and why.
    pub message: String,
    /// What to do: the nearest valid key, an example.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    /// `12:5: field: message (hint)`. Whoever knows the file's name puts it in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A position: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub const START: Position = Position { line: 1, column: 1 };
}

/// What is wrong with a value, before it is known where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

impl Wrong {
    pub fn new(message: impl Into<String>) -> Self {
        Wrong { message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything found so far. Shared by the readers of one file.
#[derive(Debug)]
pub(super) struct Findings {
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Mistake>>,
    places: fn(&str) -> Vec<String>,
    /// The files that are named, where whoever reads will look them up.
    named: Option<RefCell<Vec<Named>>>,
}

impl Default for Findings {
    fn default() -> Findings {
        Findings::with_places(super::schema::places)
    }
}

impl Findings {
    /// Findings in a file of which `places` says in which sections a key is known.
    pub fn with_places(places: fn(&str) -> Vec<String>) -> Findings {
        Findings { mistakes: RefCell::default(), warnings: RefCell::default(), places, named: None }
    }

    /// Findings for somebody who looks up the files that are named.
    pub fn looked_up() -> Findings {
        Findings { named: Some(RefCell::default()), ..Findings::default() }
    }

    /// Notes a file that is named; `false` where nobody looks it up.
    pub fn name(&self, named: Named) -> bool {
        self.named.as_ref().map(|all| all.borrow_mut().push(named)).is_some()
    }

    /// The files that were named, taken out.
    pub fn named(&self) -> Vec<Named> {
        self.named.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// The sections of the file in which `key` is known.
    pub fn places(&self, key: &str) -> Vec<String> {
        (self.places)(key)
    }

    pub fn mistake(&self, at: Position, field: &str, wrong: Wrong) {
        self.mistakes.borrow_mut().push(place(at, field, wrong));
    }

    pub fn warning(&self, at: Position, field: &str, wrong: Wrong) {
        self.warnings.borrow_mut().push(place(at, field, wrong));
    }

    pub fn any(&self) -> bool {
        !self.mistakes.borrow().is_empty()
    }

    /// Mistakes and warnings, each in the order of the file.
    pub fn into_parts(self) -> (Vec<Mistake>, Vec<Mistake>) {
        (in_order(self.mistakes.into_inner()), in_order(self.warnings.into_inner()))
    }
}

pub(super) fn place(at: Position, field: &str, wrong: Wrong) -> Mistake {
    let Wrong { message, hint } = wrong;
    Mistake { line: at.line, column: at.column, field: field.to_string(), message, hint }
}

fn in_order(mut found: Vec<Mistake>) -> Vec<Mistake> {
    found.sort_by(|a, b| (a.line, a.column, &a.field).cmp(&(b.line, b.column, &b.field)));
    if found.len() > TOLD {
        let left = found.len() - TOLD;
        found.truncate(TOLD);
        if let Some(last) = found.last().cloned() {
            found.push(Mistake {
                field: String::new(),
                message: format!("and {left} more; mend the first ones and check again"),
                hint: None,
                ..last
            });
        }
    }
    found
}

/// `text` in quotes, shortened and with control characters escaped, so that no file can flood or confuse a terminal.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The one of `known` that was most likely meant by `given`, if one is close.
pub fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Beyond this length no key is near, and the comparison would be quadratic in what a stranger wrote.
    if given.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let given = plain(given);
    known
        .into_iter()
        .map(|key| (strsim::damerau_levenshtein(&given, &plain(key)), key))
        .filter(|(distance, key)| *distance <= (given.chars().count().max(key.chars().count()) / 3).max(1))
        .filter(|(distance, key)| *distance < key.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_suggested() {
        let known = ["interval", "timeout", "healthy_after", "unhealthy_after", "http", "tcp"];
        for (given, near) in [
            ("intervall", Some("interval")),
            ("timout", Some("timeout")),
            ("healthyAfter", Some("healthy_after")),
            ("healthy-after", Some("healthy_after")),
            ("HTTP", Some("http")),
            ("https", Some("http")),
            ("path", None),
            ("x", None),
            ("", None),
            (&"interval".repeat(100), None),
        ] {
            assert_eq!(nearest(given, known), near, "{given}");
        }
    }

    #[test]
    fn a_flood_is_cut_off_with_a_count() {
        let findings = Findings::default();
        for line in 0..500 {
            findings.mistake(Position { line, column: 1 }, "a", Wrong::new("no"));
        }
        let (mistakes, _) = findings.into_parts();
        assert_eq!(mistakes.len(), TOLD + 1);
        assert!(mistakes[TOLD].message.starts_with("and 300 more"));
    }

    #[test]
    fn texts_of_others_are_shortened_and_escaped() {
        assert_eq!(quoted("a\u{1b}[31m"), r#""a\u{1b}[31m""#);
        assert_eq!(quoted(&"ä".repeat(61)), format!("\"{}\"…", "ä".repeat(60)));
    }
}
