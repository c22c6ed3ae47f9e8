//! Walking a tree with a list of mistakes at hand: every reader returns what it could read and notes what it could not.

use std::collections::BTreeMap;

use super::mistake::Mistake;
use super::node::{Node, Place, Value};

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Mistake>,
}

impl Notes {
    /// Notes a mistake.
    pub fn wrong(&mut self, at: Place, field: &str, message: impl Into<String>, hint: Option<String>) {
        self.mistakes.push(note(at, field, message.into(), hint));
    }

    /// Notes something that is allowed and probably not meant.
    pub fn odd(&mut self, at: Place, field: &str, message: impl Into<String>, hint: Option<String>) {
        self.warnings.push(note(at, field, message.into(), hint));
    }
}

fn note(at: Place, field: &str, message: String, hint: Option<String>) -> Mistake {
    Mistake { line: at.line, column: at.column, field: field.to_string(), message, hint }
}

/// A value in the file with the name of its key.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub node: &'a Node,
    pub name: String,
}

impl<'a> Field<'a> {
    pub fn new(node: &'a Node, name: impl Into<String>) -> Field<'a> {
        Field { node, name: name.into() }
    }

    /// Notes a mistake at this value.
    pub fn wrong<T>(&self, notes: &mut Notes, message: impl Into<String>, hint: Option<&str>) -> Option<T> {
        notes.wrong(self.node.at, &self.name, message, hint.map(str::to_string));
        None
    }

    /// A text: any scalar, as it was written.
    pub fn text(&self, notes: &mut Notes) -> Option<String> {
        match &self.node.value {
            Value::Scalar(text, _) if !text.contains('\0') => Some(text.clone()),
            Value::Scalar(..) => self.wrong(notes, "a NUL character is in it", None),
            _ => self.wrong(notes, format!("a text is expected, {} is there", self.node.what()), None),
        }
    }

    /// Something that is written as text and understood by `read`, which says what is wrong.
    pub fn parsed<T>(&self, notes: &mut Notes, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(notes)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(why) => self.wrong(notes, why, None),
        }
    }

    /// A list.
    pub fn list(&self, notes: &mut Notes) -> Option<Vec<Field<'a>>> {
        match &self.node.value {
            Value::List(items) => {
                Some(items.iter().enumerate().map(|(i, n)| Field::new(n, format!("{}[{i}]", self.name))).collect())
            }
            _ => self.wrong(notes, format!("a list is expected, {} is there", self.node.what()), None),
        }
    }

    /// A map whose keys the user chooses. Keys that stand twice are mistakes.
    pub fn open_map(&self, notes: &mut Notes) -> Option<Vec<(Field<'a>, Field<'a>)>> {
        let Value::Map(pairs) = &self.node.value else {
            return self.wrong(notes, format!("a map is expected, {} is there", self.node.what()), None);
        };
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        let mut fields = Vec::new();
        for (key, value) in pairs {
            let Value::Scalar(name, _) = &key.value else {
                notes.wrong(key.at, &self.name, "a key must be a text", None);
                continue;
            };
            let full = if self.name.is_empty() { name.clone() } else { format!("{}.{name}", self.name) };
            if let Some(first) = seen.insert(name, key.at) {
                notes.wrong(key.at, &full, format!("stands twice, first in line {}", first.line), None);
                continue;
            }
            fields.push((Field::new(key, full.clone()), Field::new(value, full)));
        }
        Some(fields)
    }

    /// A map whose keys are known. Other keys are mistakes that name the nearest known one.
    pub fn map(&self, notes: &mut Notes, known: &[&str], later: &[&str]) -> Option<Keys<'a>> {
        let fields = self.open_map(notes)?;
        let mut keys = BTreeMap::new();
        for (key, value) in fields {
            let Value::Scalar(name, _) = &key.node.value else { continue };
            if known.contains(&name.as_str()) {
                keys.insert(name.clone(), value);
            } else if later.contains(&name.as_str()) {
                key.wrong::<()>(notes, "is not supported yet by this version of Slipway", Some("leave it out"));
            } else {
                unknown(&key, name, known, notes);
            }
        }
        Some(Keys { at: self.node.at, name: self.name.clone(), keys })
    }
}

fn unknown(key: &Field<'_>, name: &str, known: &[&str], notes: &mut Notes) {
    let nearest = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), *k))
        .min()
        .filter(|(distance, k)| *distance <= (k.len() / 2).clamp(1, 3));
    let hint = match nearest {
        Some((_, nearest)) => format!("did you mean {nearest:?}?"),
        None => format!("known here: {}", known.join(", ")),
    };
    key.wrong::<()>(notes, format!("there is no key {name:?} here"), Some(&hint));
}

/// The keys of a map.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub at: Place,
    pub name: String,
    keys: BTreeMap<String, Field<'a>>,
}

impl<'a> Keys<'a> {
    /// A key's value, where the key is there and holds something.
    pub fn get(&self, key: &str) -> Option<&Field<'a>> {
        self.keys.get(key).filter(|f| f.node.value != Value::Null)
    }

    /// A key that must be there.
    pub fn need(&self, notes: &mut Notes, key: &str, hint: &str) -> Option<&Field<'a>> {
        let found = self.get(key);
        if found.is_none() {
            let at = self.keys.get(key).map_or(self.at, |f| f.node.at);
            notes.wrong(at, &self.name, format!("{key:?} is missing"), Some(hint.to_string()));
        }
        found
    }

    /// What `read` makes of a key, or `default` where it is absent or wrong.
    pub fn or<T>(
        &self,
        notes: &mut Notes,
        key: &str,
        default: T,
        read: impl Fn(&Field<'a>, &mut Notes) -> Option<T>,
    ) -> T {
        self.get(key).and_then(|field| read(field, notes)).unwrap_or(default)
    }
}
