//! Files that a declared file names with `from` instead of writing them out, and how their texts get into it.
//!
//! Opens nothing: whoever reads the declared file looks them up beside it and hands the texts to [`inlined`]. What it
//! gives back holds everything itself, so that a version's digest, the journal and a later comparison need no file of
//! anybody's. Called by the command line; the server takes only what is whole.

use std::collections::HashSet;
use std::ops::Range;

use super::mistake::{Mistake, Position, Wrong, place};

/// A file beside the declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its path, relative to the declared file's folder; never one with `..` in it.
    pub from: String,
    pub(super) at: Position,
    pub(super) field: String,
    /// The section that names it.
    pub(super) section: Range<usize>,
    /// Where the path in it ends.
    pub(super) path_end: usize,
}

impl Named {
    /// What is wrong with the file, told where it is named.
    pub fn mistake(&self, what: &str, hint: &str) -> Mistake {
        place(self.at, &self.field, Wrong::new(what).hint(hint))
    }
}

/// `text` with each named file's own text in the place of the section that names it.
pub fn inlined(text: &str, files: &[(Named, String)]) -> String {
    let mut files: Vec<&(Named, String)> = files.iter().collect();
    files.sort_by_key(|(named, _)| named.section.start);
    let (mut whole, mut from, mut seen) = (String::with_capacity(text.len()), 0, HashSet::new());
    for (named, content) in files {
        // An alias names the same section once more.
        if !seen.insert(named.section.start) {
            continue;
        }
        let braces = text[named.section.start..].starts_with('{');
        whole.push_str(&text[from..named.section.start]);
        whole.push(' ');
        whole.push_str(&scalar(content));
        from = if braces { named.section.end } else { named.path_end };
    }
    whole.push_str(&text[from..]);
    whole
}

/// A text as one double-quoted YAML scalar in one line.
fn scalar(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Control characters, and what YAML counts as the end of a line or leaves out at the start of a text.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::{config_digest, parse, parse_naming};

    fn declared(files: &str) -> String {
        format!(
            "service: shop\nrun: {{ command: [./shop] }}\nhealth: {{ http: / }}\nconfig:\n{files}\nenvironments:\n  production: {{}}\n"
        )
    }

    fn put_in(text: &str, content: &str) -> String {
        let (_, named) = parse_naming(text).unwrap_or_else(|m| panic!("{text}: {m:?}"));
        assert!(!named.is_empty(), "{text}");
        inlined(text, &named.into_iter().map(|named| (named, content.to_string())).collect::<Vec<_>>())
    }

    #[test]
    fn a_named_file_is_the_same_configuration_as_one_that_is_written_out() {
        let inline = parse(&declared("  files: { a.conf: \"one: 1\\n\", b: c }")).unwrap().spec;
        for files in [
            "  files: { a.conf: { from: conf/x }, b: c }",
            "  files: {a.conf: {from: conf/x}, b: c}",
            "  files: {\"a.conf\":{\"from\":\"conf/x\"},\"b\":\"c\"}",
            "  files:\n    a.conf: { from: conf/x } # why\n    b: c",
            "  files:\n    a.conf:\n      from: conf/x   # why\n    # more\n    b: c",
            "  files:\n    b: c\n    a.conf:\n      from: 'conf/x'",
            "  files:\n    ä: &one {\n      from: conf/x\n    }\n    b: c\n    a.conf: *one",
        ] {
            let text = declared(files);
            let whole = parse(&put_in(&text, "one: 1\n")).unwrap_or_else(|m| panic!("{text}: {m:?}")).spec;
            let mut config = whole.config.clone();
            config.files.remove("ä");
            assert_eq!(config, inline.config, "{text}");
            if !text.contains('ä') {
                assert_eq!(config_digest(&whole), config_digest(&inline), "{text}");
            }
            let unread = parse(&text).unwrap_err();
            assert!(unread[0].message.contains("conf/x") && unread[0].line >= 5, "{unread:?}");
        }
    }

    #[test]
    fn what_is_named_must_lie_beside_the_file() {
        for (from, why) in [
            ("/etc/passwd", "must be a path below the declared file's folder"),
            ("../up", "without . and .."),
            ("a/../../b", "without . and .."),
            ("\"\"", "without . and .."),
            ("[]", "expected a path"),
        ] {
            let mistakes = parse_naming(&declared(&format!("  files: {{ a: {{ from: {from} }} }}"))).unwrap_err();
            assert!(mistakes[0].message.contains(why), "{from}: {mistakes:?}");
            assert_eq!((mistakes[0].line, mistakes[0].field.as_str()), (5, "config.files.a.from"), "{mistakes:?}");
        }
        let alias = declared("  values: { A: &p conf/x }\n  files:\n    a:\n      from: *p");
        let mistakes = parse_naming(&alias).unwrap_err();
        assert!(mistakes[0].message.contains("is an alias"), "{mistakes:?}");
        let mistakes = parse_naming(&declared("  files: { a: { form: b } }")).unwrap_err();
        assert!(mistakes.iter().any(|m| m.to_string().contains("did you mean from?")), "{mistakes:?}");
    }

    proptest! {
        #[test]
        fn every_text_comes_through(content in any::<String>()) {
            for text in ["  files: { a: { from: x } }", "  files:\n    a:\n      from: x"] {
                let whole = put_in(&declared(text), &content);
                let spec = parse(&whole).unwrap_or_else(|m| panic!("{whole}: {m:?}")).spec;
                prop_assert_eq!(&spec.config.files["a"], &content);
            }
        }
    }
}
