//! Files that people write: `slipway.yaml`, an environment's, a group's, and variables beside them.
//!
//! Whatever stands in them, reading ends in a file or in mistakes with places inside of the text; what is accepted is
//! the same after it was kept and read again, and, where there is a writer, after it was written.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::spec::{self, Mistake, ServiceSpec, environment_file};

/// Longest text of a mistake, since it goes to terminals and into answers.
const MISTAKE_LIMIT: usize = 4_000;

/// Reads `bytes` as each of the files.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match spec::parse(text) {
        Ok(declared) => {
            places(text, &declared.warnings);
            accepted(&declared.spec);
            let (named, files) = spec::parse_naming(text).expect("a file that names none is read alike by both");
            assert!(files.is_empty() && named.spec == declared.spec, "it names no file");
        }
        Err(mistakes) => refused(text, &mistakes),
    }
    naming(text);
    environment(text);
    match spec::parse_group(text) {
        Ok(group) => kept(&group),
        Err(mistakes) => refused(text, &mistakes),
    }
    if let Ok(variables) = spec::parse_env_file(text) {
        let written: String = variables.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        assert!(variables.keys().all(|key| !key.is_empty() && !key.contains(['=', '\0', '\n'])), "{written}");
    }
}

fn accepted(spec: &ServiceSpec) {
    kept(spec);
    assert_eq!(spec::differences(spec, spec), [], "a file differs from itself");
    let again: ServiceSpec = serde_json::from_value(serde_json::to_value(spec).expect("JSON")).expect("the same");
    assert_eq!(spec::config_digest(&again), spec::config_digest(spec), "its name is of what it declares alone");
    assert!(!spec.environments.is_empty(), "a service goes somewhere");
}

/// With the files that it names put into it, it needs no other and says the same wherever no file was named.
fn naming(text: &str) {
    let Ok((_, files)) = spec::parse_naming(text) else { return };
    let beside: Vec<_> = files.into_iter().map(|named| (named, "a: \"b\"\n\té\\".to_string())).collect();
    if beside.is_empty() {
        return;
    }
    let whole = spec::inlined(text, &beside);
    if let Err(mistakes) = spec::parse(&whole) {
        // What was empty before may be too much, or twice the same, once it is there: then that is what is said.
        refused(&whole, &mistakes);
        assert!(mistakes.iter().all(|m| !m.message.contains("YAML")), "{mistakes:?}\n{whole}");
    }
}

fn environment(text: &str) {
    let declared = match environment_file::parse(text) {
        Ok(declared) => declared,
        Err(mistakes) => return refused(text, &mistakes),
    };
    places(text, &declared.warnings);
    kept(&declared.file);
    let written = declared.file.to_yaml();
    let again = environment_file::parse(&written).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{written}"));
    assert_eq!(again.file, declared.file, "{written}");
    assert_eq!(again.file.to_yaml(), written);
}

/// It is the same once it was kept as a document and read again.
fn kept<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let document = serde_json::to_string(value).expect("it can be kept");
    let again: T = serde_json::from_str(&document).unwrap_or_else(|e| panic!("{e}: {document}"));
    assert_eq!(&again, value, "{document}");
}

fn refused(text: &str, mistakes: &[Mistake]) {
    assert!(!mistakes.is_empty(), "it is refused for nothing");
    places(text, mistakes);
}

/// Mistakes stand in the order of the text, and inside of it.
fn places(text: &str, mistakes: &[Mistake]) {
    assert!(mistakes.is_sorted_by_key(|m| (m.line, m.column)), "{mistakes:?}");
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    let longest = text.chars().count();
    for mistake in mistakes {
        let (line, column) = (mistake.line as usize, mistake.column as usize);
        assert!(line >= 1 && line <= lines + 1, "{mistake} of {lines} lines");
        assert!(column >= 1 && column <= longest + 1, "{mistake} of {longest} characters");
        let said = mistake.to_string();
        assert!(!mistake.message.is_empty() && said.len() < MISTAKE_LIMIT, "{said}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "it would confuse a terminal: {said:?}");
    }
}
