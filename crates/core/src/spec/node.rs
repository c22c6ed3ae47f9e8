//! YAML as a tree in which every node knows its line and column. Scalars stay the text that was written.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::mistake::Mistake;

/// Largest file in bytes.
const SIZE_LIMIT: usize = 1 << 20;
/// Deepest nesting.
const DEPTH_LIMIT: usize = 64;

/// A place in the file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: Place,
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// Text, and whether it was quoted.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What the node is, for people.
    pub fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(..) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// As JSON, with YAML's core types for scalars that were not quoted.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar(text, true) => text.as_str().into(),
            Value::Scalar(text, false) => match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                _ => number(text).map_or_else(|| text.as_str().into(), serde_json::Value::Number),
            },
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| match &key.value {
                    Value::Scalar(text, _) => (text.clone(), value.json()),
                    _ => (String::new(), value.json()),
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

fn number(text: &str) -> Option<serde_json::Number> {
    match text.parse::<i64>() {
        Ok(n) => Some(n.into()),
        Err(_) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64)
        }
        Err(_) => None,
    }
}

fn mistake(at: Place, message: impl Into<String>, hint: Option<&str>) -> Mistake {
    Mistake {
        line: at.line,
        column: at.column,
        field: String::new(),
        message: message.into(),
        hint: hint.map(str::to_string),
    }
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line() as u32, column: span.start.col() as u32 + 1 }
}

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Node, Mistake> {
    let start = Place { line: 1, column: 1 };
    if text.len() > SIZE_LIMIT {
        return Err(mistake(start, format!("the file has {} bytes; at most {SIZE_LIMIT} are read", text.len()), None));
    }
    let mut events = Parser::new_from_str(text);
    let mut reader = Reader { events: &mut events };
    let mut document = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if document.is_some() => {
                return Err(mistake(
                    place(&span),
                    "a second document begins here",
                    Some("one file declares one service"),
                ));
            }
            Event::DocumentStart(_) => {
                let first = reader.next()?;
                document = Some(reader.node(first, 0)?);
            }
            _ => {}
        }
    }
    document.ok_or_else(|| mistake(start, "the file is empty", Some("begin with `service: NAME`")))
}

struct Reader<'p, 'input> {
    events: &'p mut Parser<'input, saphyr_parser::StrInput<'input>>,
}

impl<'input> Reader<'_, 'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span), Mistake> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = Place { line: error.marker().line() as u32, column: error.marker().col() as u32 + 1 };
                Err(mistake(at, format!("this is not YAML: {}", error.info()), None))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, (event, span): (Event<'input>, Span), depth: usize) -> Result<Node, Mistake> {
        let at = place(&span);
        if depth > DEPTH_LIMIT {
            return Err(mistake(at, format!("nested deeper than {DEPTH_LIMIT} levels"), None));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(text, style),
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            Event::Alias(_) => {
                return Err(mistake(at, "aliases are not understood", Some("write the value out where it is needed")));
            }
            _ => Value::Null,
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Mistake> {
        let mut items = Vec::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(items);
            }
            items.push(self.node(next, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Mistake> {
        let mut pairs = Vec::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::MappingEnd | Event::StreamEnd) {
                return Ok(pairs);
            }
            let key = self.node(next, depth + 1)?;
            let value = self.next()?;
            pairs.push((key, self.node(value, depth + 1)?));
        }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    let plain = matches!(style, ScalarStyle::Plain);
    match (plain, text.as_ref()) {
        (true, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        _ => Value::Scalar(text.into_owned(), !plain),
    }
}
