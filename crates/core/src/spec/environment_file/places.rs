//! Where each key of a file stands, kept after reading: what a stranger's file gets wrong about this Slipway is found
//! only once the text is gone.

use std::collections::BTreeMap;

use super::super::mistake::{Mistake, Position};
use super::super::tree::{Kind, Node, key_path};

/// How deep a place is looked for: `services.NAME.version`.
const DEPTH: usize = 3;

/// Where each key stands, by its dotted name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Places(BTreeMap<String, Position>);

impl Places {
    pub(super) fn of(root: &Node) -> Places {
        let mut places = Places::default();
        places.collect(root, "", DEPTH);
        places
    }

    fn collect(&mut self, node: &Node, path: &str, depth: usize) {
        let Kind::Mapping(entries) = &node.kind else { return };
        for (key, value) in entries {
            let path = key_path(path, &key.text);
            if depth > 1 {
                self.collect(value, &path, depth - 1);
            }
            self.0.insert(path, key.at);
        }
    }

    /// A mistake about the key named by `path`, or about the nearest one above it that the file has.
    pub fn mistake(&self, path: &[&str], message: impl Into<String>, hint: Option<String>) -> Mistake {
        let field = path.iter().fold(String::new(), |field, key| key_path(&field, key));
        let found = (0..path.len()).rev().find_map(|last| {
            let above = path[..=last].iter().fold(String::new(), |field, key| key_path(&field, key));
            self.0.get(&above).copied()
        });
        let at = found.unwrap_or(Position::START);
        Mistake { line: at.line, column: at.column, field, message: message.into(), hint }
    }
}
