//! YAML text as a tree in which every value and every key knows its place.
//!
//! Bounded in size, depth and in what aliases may blow up. Gives no meaning to any value: a scalar is the text that
//! was written, and whether it was quoted. Called by [`super::parse`] alone.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::mistake::{Findings, Position, Wrong, quoted};

/// Largest file in bytes.
const SIZE_LIMIT: usize = 1 << 20;
/// Deepest nesting, aliases followed.
const DEPTH_LIMIT: usize = 32;
/// How many values aliases may stand for in all.
const ALIASED_LIMIT: usize = 10_000;

/// A value and where it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub at: Position,
    pub kind: Kind,
    /// Where it stands in the text, where that is known. What a mapping without braces ends with is not to be trusted.
    pub bytes: Option<Range<usize>>,
    /// Values in it, itself included.
    size: usize,
    /// Levels in it, itself included.
    depth: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar {
        text: String,
        /// Not quoted and not a block text, so that `no`, `1.10` and `~` could be meant as something else.
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Key, Rc<Node>)>),
    /// Something that was refused already, and of which no more needs to be said.
    Refused,
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub at: Position,
    pub text: String,
}

/// The tree of `text`, or `None` where there is none; whatever is wrong is in `findings`.
pub(super) fn build(text: &str, findings: &Findings) -> Option<Rc<Node>> {
    let fatal = |at, wrong| {
        findings.mistake(at, "", wrong);
        None
    };
    if text.len() > SIZE_LIMIT {
        return fatal(Position::START, Wrong::new("the file is larger than 1 MiB"));
    }
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
        emit_comments: false,
    };
    let mut builder = Builder { findings, open: Vec::new(), root: None, anchors: HashMap::new(), aliased: 0 };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((Event::DocumentStart(..), span)) => {
                documents += 1;
                if documents > 1 {
                    let wrong = Wrong::new("a second document starts here, and a file declares one service");
                    return fatal(position(span.start), wrong.hint("remove the `---`, or use one file per service"));
                }
            }
            Ok((event, span)) => builder.take(event, span),
            Err(error) => return fatal(position(*error.marker()), syntax(&error)),
        }
    }
    builder.root
}

fn syntax(error: &ScanError) -> Wrong {
    let wrong = Wrong::new(format!("this is not valid YAML: {}", error.kind()));
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabInIndentation => wrong.hint("indent with spaces"),
        ErrorKind::RecursionLimitExceeded => too_deep(),
        ErrorKind::UnknownAnchor => {
            wrong.hint("an alias `*name` needs an anchor `&name` before it; quote a text with *")
        }
        ErrorKind::UnexpectedCharacter { character: '%' | '@' | '`' } => wrong.hint("put the text in quotes"),
        ErrorKind::MappingValueNotAllowed => wrong.hint("put the text in quotes if it holds `: `"),
        _ => wrong,
    }
}

fn too_deep() -> Wrong {
    Wrong::new(format!("values are nested more than {DEPTH_LIMIT} deep here"))
}

fn position(marker: Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

/// A sequence or mapping that has not ended yet.
struct Open {
    at: Position,
    start: Option<usize>,
    anchor: usize,
    depth: usize,
    size: usize,
    inside: Inside,
}

enum Inside {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<(Key, Rc<Node>)>,
        seen: HashMap<String, u32>,
        /// The key that waits for its value; the inner `None` is a key that was refused.
        key: Option<Option<Key>>,
    },
}

struct Builder<'f> {
    findings: &'f Findings,
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    anchors: HashMap<usize, Rc<Node>>,
    aliased: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(at, tag.is_some());
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                let node = Rc::new(Node { at, kind, bytes: span.byte_range(), size: 1, depth: 1 });
                self.name(anchor, &node);
                self.put(node);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(at, tag.is_some());
                self.begin(span, anchor, Inside::Sequence(Vec::new()));
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(at, tag.is_some());
                self.begin(span, anchor, Inside::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(id) => self.alias(at, id),
            _ => {}
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, inside: Inside) {
        let (at, start) = (position(span.start), span.start.byte_offset());
        self.open.push(Open { at, start, anchor, depth: 1, size: 1, inside });
    }

    fn end(&mut self, span: Span) {
        let Some(Open { at, start, anchor, depth, size, inside }) = self.open.pop() else { return };
        let kind = match inside {
            Inside::Sequence(items) => Kind::Sequence(items),
            Inside::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        let bytes = start.zip(span.end.byte_offset()).map(|(start, end)| start..end);
        let node = Rc::new(Node { at, kind, bytes, size, depth });
        self.name(anchor, &node);
        self.put(node);
    }

    fn name(&mut self, anchor: usize, node: &Rc<Node>) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn alias(&mut self, at: Position, id: usize) {
        let known = self.anchors.get(&id).cloned();
        let wrong = match &known {
            None => Some(Wrong::new("this alias stands inside of what it refers to")),
            Some(node) if self.aliased.saturating_add(node.size) > ALIASED_LIMIT => {
                Some(Wrong::new(format!("aliases stand for more than {ALIASED_LIMIT} values")))
            }
            Some(node) if self.open.len() + node.depth > DEPTH_LIMIT => Some(too_deep()),
            Some(_) => None,
        };
        match (known, wrong) {
            (Some(node), None) => {
                self.aliased += node.size;
                self.put(node);
            }
            (_, wrong) => {
                let wrong = wrong.unwrap_or_else(too_deep);
                self.findings.mistake(at, &self.path(), wrong);
                self.put(Rc::new(Node { at, kind: Kind::Refused, bytes: None, size: 1, depth: 1 }));
            }
        }
    }

    /// Puts a finished value into what is open, as an item, a key or a key's value.
    fn put(&mut self, node: Rc<Node>) {
        let is_key = matches!(self.open.last(), Some(Open { inside: Inside::Mapping { key: None, .. }, .. }));
        let name = if is_key { self.as_key(&node) } else { None };
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.size = open.size.saturating_add(node.size);
        open.depth = open.depth.max(node.depth + 1);
        match &mut open.inside {
            Inside::Sequence(items) => items.push(node),
            Inside::Mapping { entries, seen, key } => match key.take() {
                Some(Some(name)) => entries.push((name, node)),
                Some(None) => {}
                None => {
                    seen.extend(name.iter().map(|name| (name.text.clone(), name.at.line)));
                    *key = Some(name);
                }
            },
        }
    }

    /// The key that `node` is, unless it is refused.
    fn as_key(&self, node: &Node) -> Option<Key> {
        let Some(Open { inside: Inside::Mapping { seen, .. }, .. }) = self.open.last() else { return None };
        let Kind::Scalar { text, .. } = &node.kind else {
            self.findings.mistake(node.at, &self.path(), Wrong::new("a key must be a plain text"));
            return None;
        };
        if let Some(line) = seen.get(text) {
            let wrong = Wrong::new(format!("this key is declared twice, first in line {line}"));
            self.findings.mistake(node.at, &key_path(&self.path(), text), wrong.hint("keep one of them"));
            return None;
        }
        Some(Key { at: node.at, text: text.clone() })
    }

    fn refuse_tag(&self, at: Position, tagged: bool) {
        if tagged {
            self.findings.mistake(
                at,
                &self.path(),
                Wrong::new("YAML tags such as `!!str` are not used here").hint("remove it; put a text in quotes"),
            );
        }
    }

    /// The dotted name of the place that is filled next.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.inside {
                Inside::Sequence(items) => path = item_path(&path, items.len()),
                Inside::Mapping { key: Some(Some(key)), .. } => path = key_path(&path, &key.text),
                Inside::Mapping { .. } => {}
            }
        }
        path
    }
}

/// The name of `key` within `path`; in brackets and quotes where it could be mistaken for something else.
pub(super) fn key_path(path: &str, key: &str) -> String {
    let simple = !key.is_empty()
        && key.len() <= 64
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/'));
    match (simple, path.is_empty()) {
        (true, true) => key.to_string(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{}]", quoted(key)),
    }
}

/// The name of the item at `index` within `path`.
pub(super) fn item_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
