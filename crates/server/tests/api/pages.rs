//! The reference page lists every endpoint and every code that can be sent.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../../docs/reference/api.md");

#[test]
fn every_endpoint_is_on_the_page() {
    for line in include_str!("golden/endpoints.txt").lines() {
        let endpoint = line.split(" needs ").next().unwrap();
        assert!(PAGE.contains(&format!("`{endpoint}`")), "{endpoint} is not on the page");
    }
}

#[test]
fn every_code_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut codes = BTreeSet::new();
    for folder in ["core/src/rollout/commands", "control/src", "server/src", "server/src/routes"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() {
                collect(&std::fs::read_to_string(file).unwrap(), &mut codes);
            }
        }
    }
    assert!(codes.len() > 25, "{codes:?}");
    let missing: Vec<_> = codes.iter().filter(|code| !PAGE.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}

/// Codes stand after one of these, as the first text.
fn collect(source: &str, codes: &mut BTreeSet<String>) {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    for before in ["refuse(", "code: ", "StatusCode::", "Error::"] {
        for rest in source.split(before).skip(1) {
            let line: String = rest.split(['\n', ';']).take(2).collect();
            let Some(text) = line.split('"').nth(1) else { continue };
            // The store's errors are told apart before they are sent, and a body of JSON is no code.
            if text == "store" || line.contains("json!") {
                continue;
            }
            if !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                codes.insert(text.to_string());
            }
        }
    }
}
