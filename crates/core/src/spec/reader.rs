//! Walks the tree by hand: a value with its path, the fields of a section, and what is said when they do not fit.
//!
//! A reader never stops at a mistake: it notes it and gives back nothing, so that one pass finds them all. What a
//! service means by its fields is the business of `read/`.

use std::ops::RangeInclusive;
use std::rc::Rc;

use super::mistake::{Findings, Position, Wrong, nearest, quoted};
use super::named::Named;
use super::tree::{Kind, Node, item_path, key_path};

/// A value of the file, where it stands, and where to tell what is wrong with it.
#[derive(Clone)]
pub(super) struct Reader<'t> {
    node: &'t Node,
    path: String,
    findings: &'t Findings,
}

/// The keys that a section may have.
pub(super) struct Keys {
    /// What is known today.
    pub known: &'static [&'static str],
    /// What a later version will know: refused with a word of its own.
    pub later: &'static [&'static str],
}

impl<'t> Reader<'t> {
    /// A reader of the whole file.
    pub fn new(root: &'t Rc<Node>, findings: &'t Findings) -> Self {
        Reader { node: root, path: String::new(), findings }
    }

    /// Where the value starts.
    pub fn at(&self) -> Position {
        self.node.at
    }

    /// Notes that the value is wrong.
    pub fn mistake(&self, wrong: Wrong) {
        self.findings.mistake(self.node.at, &self.path, wrong);
    }

    /// Notes that the value is doubtful.
    pub fn warn(&self, wrong: Wrong) {
        self.findings.warning(self.node.at, &self.path, wrong);
    }

    /// Notes that it is doubtful to leave `key` out of this section.
    pub fn warn_of(&self, key: &str, wrong: Wrong) {
        self.findings.warning(self.node.at, &key_path(&self.path, key), wrong);
    }

    /// Whether nothing was written, or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.node.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// What the value is, for a sentence.
    fn what(&self) -> String {
        match &self.node.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing".to_string(),
            Kind::Scalar { text, .. } => quoted(text),
            Kind::Sequence(_) => "a list".to_string(),
            Kind::Mapping(_) => "keys and values".to_string(),
            Kind::Refused => "something else".to_string(),
        }
    }

    /// Notes that something else was expected here.
    pub fn expected<T>(&self, what: &str, hint: &str) -> Option<T> {
        if matches!(self.node.kind, Kind::Refused) {
            return None;
        }
        let wrong = Wrong::new(format!("expected {what}, got {}", self.what()));
        self.mistake(if hint.is_empty() { wrong } else { wrong.hint(hint) });
        None
    }

    /// The scalar as it was written, and whether it stood without quotes; says nothing where it is none.
    pub fn scalar(&self) -> Option<(&'t str, bool)> {
        match &self.node.kind {
            Kind::Scalar { text, plain } => Some((text, *plain)),
            _ => None,
        }
    }

    /// A text. Numbers and words such as `no` or `1.10` are the text that was written; only null is none.
    pub fn text(&self, example: &str) -> Option<&'t str> {
        match self.scalar() {
            Some((text, _)) if !self.is_null() => Some(text),
            _ => self.expected("a text", example),
        }
    }

    /// A text with a type of its own, `what` in a sentence.
    pub fn typed<T>(&self, what: &str, example: &str, read: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        match self.scalar() {
            Some((text, _)) if !self.is_null() => self.checked(read(text)),
            _ => self.expected(what, example),
        }
    }

    /// The value of a finished check; notes what is wrong where it failed.
    pub fn checked<T>(&self, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.mistake(wrong)).ok()
    }

    /// Notes that this section names the file `from`, whose path stands in `path`. What it stands for is known later.
    pub fn names(&self, path: &Reader<'t>, from: String) {
        let place = self.node.bytes.clone().zip(path.node.bytes.clone());
        if place.as_ref().is_some_and(|(section, of_path)| of_path.start < section.start) {
            path.mistake(Wrong::new("the path is an alias").hint("write the path itself"));
            return;
        }
        let named = place.map(|(section, of_path)| Named {
            from: from.clone(),
            at: path.at(),
            field: path.path.clone(),
            section,
            path_end: of_path.end,
        });
        if !named.is_some_and(|named| self.findings.name(named)) {
            let wrong = Wrong::new(format!("{} lies beside the declared file and was not read", quoted(&from)));
            path.mistake(wrong.hint("slipway check, plan and release read it; elsewhere write its text in its place"));
        }
    }

    /// A whole number within `range`, written without quotes.
    pub fn count(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (range.start(), range.end());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self.scalar() {
            Some((text, true)) if digits(text) && (text == "0" || !text.starts_with('0')) => {
                match text.parse().ok().filter(|n| range.contains(n)) {
                    Some(n) => Some(n),
                    None => self.expected(&format!("a number from {least} to {most}"), ""),
                }
            }
            Some((text, false)) if digits(text) => {
                self.expected("a whole number without quotes", &format!("write {text}"))
            }
            _ => self.expected(&format!("a whole number from {least} to {most}"), ""),
        }
    }

    /// `true`: what a key says that has no other value.
    pub fn only_true(&self) -> Option<()> {
        match self.scalar() {
            Some(("true", true)) => Some(()),
            _ => self.expected("true", "leave the key out to say no"),
        }
    }

    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::Sequence(_))
    }

    /// Whether the value is keys and values.
    pub fn is_section(&self) -> bool {
        matches!(self.node.kind, Kind::Mapping(_))
    }

    /// The items of a list of at most `most`.
    pub fn items(&self, most: usize, example: &str) -> Option<Vec<Reader<'t>>> {
        match &self.node.kind {
            Kind::Sequence(items) if items.len() > most => {
                self.expected(&format!("at most {most} items"), &format!("there are {}", items.len()))
            }
            Kind::Sequence(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, node)| Reader { node, path: item_path(&self.path, i), findings: self.findings })
                    .collect(),
            ),
            _ => self.expected("a list", example),
        }
    }

    /// The entries of a mapping whose keys are the user's own: the key, its place, and a reader of its value.
    pub fn entries(&self, example: &str) -> Option<Vec<(Entry<'t>, Reader<'t>)>> {
        match &self.node.kind {
            Kind::Mapping(entries) => Some(
                entries
                    .iter()
                    .map(|(key, node)| {
                        let path = key_path(&self.path, &key.text);
                        let entry = Entry { text: &key.text, at: key.at, path: path.clone(), findings: self.findings };
                        (entry, Reader { node, path, findings: self.findings })
                    })
                    .collect(),
            ),
            _ => self.expected("keys and values", example),
        }
    }

    /// The fields of a section. Every key that is not in `keys` is noted.
    pub fn fields(&self, keys: &Keys, example: &str) -> Option<Fields<'t>> {
        let entries = self.entries(example)?;
        for (key, _) in entries.iter().filter(|(key, _)| !keys.known.contains(&key.text)) {
            key.mistake(unknown(key.text, keys, self.findings));
        }
        Some(Fields { section: self.clone(), entries })
    }
}

/// What is said of a key that is not known.
fn unknown(key: &str, keys: &Keys, findings: &Findings) -> Wrong {
    if keys.later.contains(&key) {
        return Wrong::new("not supported yet by this version of Slipway").hint("leave it out");
    }
    if key == "<<" {
        return Wrong::new("YAML merge keys are not used here").hint("write the keys out, or alias a whole value");
    }
    let wrong = Wrong::new(format!("unknown key {}", quoted(key)));
    match nearest(key, keys.known.iter().copied()) {
        Some(near) => wrong.hint(format!("did you mean {near}?")),
        None => match findings.places(key).as_slice() {
            [] => wrong.hint(format!("known keys here: {}", keys.known.join(", "))),
            places => wrong.hint(format!("it belongs in {}", places.join(" or "))),
        },
    }
}

/// A key of the user's own.
pub(super) struct Entry<'t> {
    /// The key as it was written.
    pub text: &'t str,
    at: Position,
    path: String,
    findings: &'t Findings,
}

impl Entry<'_> {
    /// Notes that the key is wrong.
    pub fn mistake(&self, wrong: Wrong) {
        self.findings.mistake(self.at, &self.path, wrong);
    }
}

/// The fields of a section whose keys are known.
pub(super) struct Fields<'t> {
    section: Reader<'t>,
    entries: Vec<(Entry<'t>, Reader<'t>)>,
}

impl<'t> Fields<'t> {
    /// The section itself.
    pub fn section(&self) -> &Reader<'t> {
        &self.section
    }

    /// Whether nothing at all is declared.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`, where it is declared.
    pub fn get(&self, key: &str) -> Option<&Reader<'t>> {
        self.entries.iter().find(|(entry, _)| entry.text == key).map(|(_, reader)| reader)
    }

    /// The value of `key`; its absence is noted with the reason and an example.
    pub fn required(&self, key: &str, why: &str, example: &str) -> Option<&Reader<'t>> {
        let found = self.get(key);
        if found.is_none() {
            let path = key_path(&self.section.path, key);
            self.section.findings.mistake(self.section.at(), &path, Wrong::new(why).hint(example));
        }
        found
    }

    /// What `read` makes of `key`, or `default` where it is absent or wrong.
    pub fn or<T>(&self, key: &str, default: T, read: impl FnOnce(&Reader<'t>) -> Option<T>) -> T {
        self.get(key).and_then(read).unwrap_or(default)
    }

    /// The declared ones of `keys`. Notes where more than one of them is there.
    pub fn one_of(&self, keys: &[&'static str]) -> Vec<(&'static str, &Reader<'t>)> {
        let found: Vec<_> = keys.iter().filter_map(|key| Some((*key, self.get(key)?))).collect();
        if let [(first, _), .., (_, last)] = found.as_slice() {
            last.mistake(Wrong::new(format!("stands beside {first}, and only one of them can be")).hint("keep one"));
        }
        found
    }
}
