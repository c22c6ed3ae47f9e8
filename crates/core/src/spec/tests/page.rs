//! The reference page tells of every key, in its section, with its default, and its examples can be used.

use super::agreement::properties;
use super::{parse, schema};

const PAGE: &str = include_str!("../../../../../docs/reference/slipway-yaml.md");

/// The rows of the tables under headings that name `place` in code marks.
fn rows(place: &str) -> Vec<&'static str> {
    let name = format!("`{place}`");
    let mut inside = false;
    PAGE.lines()
        .filter(|line| {
            if line.starts_with('#') {
                inside = line.contains(&name);
            }
            inside && line.starts_with("| `")
        })
        .collect()
}

#[test]
fn every_key_stands_in_the_page_and_no_other() {
    for (place, keys) in schema::keys() {
        // The file as a whole has no name of its own to stand in a heading.
        let rows = rows(if place.is_empty() { "slipway.yaml" } else { &place });
        let mut told: Vec<&str> = rows.iter().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        told.sort_unstable();
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(told, keys, "{place}");
    }
}

#[test]
fn every_default_stands_in_its_row() {
    for (place, key, property) in properties() {
        let Some(default) = property.get("default") else { continue };
        let start = format!("| `{key}` |");
        let row = rows(if place.is_empty() { "slipway.yaml" } else { &place })
            .into_iter()
            .find(|row| row.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("{place}.{key} has no row"));
        let written = match default {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) if items.iter().all(|i| i.is_string()) && !items.is_empty() => {
                items.iter().filter_map(|i| i.as_str()).collect::<Vec<_>>().join(", ")
            }
            serde_json::Value::Array(_) => continue,
            other => other.to_string(),
        };
        let cell = row.split('|').nth(3).unwrap_or_default();
        assert!(cell.contains(&written), "{place}.{key}: {written} is not in {row}");
    }
}

#[test]
fn its_files_can_be_used() {
    let files: Vec<&str> = PAGE.split("```").filter_map(|block| block.strip_prefix("yaml\nservice:")).collect();
    assert!(files.len() >= 2);
    for file in files {
        let file = format!("service:{file}");
        assert_eq!(parse(&file).map(|declared| declared.warnings), Ok(Vec::new()), "{file}");
    }
}
