//! Placeholders: `{name}` in a text stands for a value. What is not known is left as it stands, since JSON and shell
//! commands are full of braces that mean something else.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values by name.
pub type Values = BTreeMap<String, String>;

/// `text` with every known `{name}` replaced. Values are not looked into again.
pub fn fill(text: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        let inner = &rest[open + 1..];
        match inner.find(['{', '}']).filter(|end| inner[*end..].starts_with('}')) {
            Some(end) if values.contains_key(&inner[..end]) => {
                filled.push_str(&values[&inner[..end]]);
                rest = &inner[end + 1..];
            }
            _ => {
                filled.push('{');
                rest = inner;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// `value` with every string in it filled in; keys stay as they are.
pub fn fill_json(value: &Value, values: &Values) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, values)),
        Value::Array(items) => items.iter().map(|v| fill_json(v, values)).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), fill_json(v, values))).collect()),
        other => other.clone(),
    }
}

/// The values that `pointers` (JSON pointer by name) take from `body`; the error says which was not there.
pub fn capture(pointers: &BTreeMap<String, String>, body: &[u8]) -> Result<Values, String> {
    if pointers.is_empty() {
        return Ok(Values::new());
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| format!("expected JSON to capture from, got {}", shorten(&String::from_utf8_lossy(body), 200)))?;
    pointers
        .iter()
        .map(|(name, pointer)| match body.pointer(pointer) {
            Some(Value::String(text)) => Ok((name.clone(), text.clone())),
            Some(Value::Null) | None => {
                Err(format!("nothing to capture as {name}: {pointer} is not in {}", shorten(&body.to_string(), 200)))
            }
            Some(other) => Ok((name.clone(), other.to_string())),
        })
        .collect()
}

/// At most `max` characters of `text`, with a mark where something was left out.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_string(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn known_names_are_filled_in_and_the_rest_stays() {
        let values = values(&[("port", "4001"), ("token", "{port}")]);
        for (text, filled) in [
            ("", ""),
            ("--port={port}", "--port=4001"),
            ("{port}{port}", "40014001"),
            ("/{unknown}/{port}", "/{unknown}/4001"),
            ("{{port}}", "{4001}"),
            ("{", "{"),
            ("}{", "}{"),
            ("{port", "{port"),
            ("{ port }", "{ port }"),
            ("{token}", "{port}"),
            ("ä{port}ö", "ä4001ö"),
        ] {
            assert_eq!(fill(text, &values), filled, "{text:?}");
        }
    }

    #[test]
    fn json_is_filled_in_at_every_depth_but_not_in_keys() {
        let body = serde_json::json!({ "{t}": ["{t}", { "a": "x{t}" }, 1, null] });
        let filled = serde_json::json!({ "{t}": ["v", { "a": "xv" }, 1, null] });
        assert_eq!(fill_json(&body, &values(&[("t", "v")])), filled);
    }

    #[test]
    fn a_capture_takes_strings_as_they_are_and_other_values_as_json() {
        let pointers = values(&[("token", "/auth/token"), ("id", "/items/0"), ("all", "/items")]);
        let got = capture(&pointers, br#"{ "auth": { "token": "t 1" }, "items": [7, true] }"#).unwrap();
        assert_eq!(got, values(&[("token", "t 1"), ("id", "7"), ("all", "[7,true]")]));
    }

    #[test]
    fn a_capture_that_finds_nothing_says_what_came_instead() {
        let pointers = values(&[("token", "/token")]);
        assert_eq!(
            capture(&pointers, br#"{"error":"no"}"#).unwrap_err(),
            r#"nothing to capture as token: /token is not in {"error":"no"}"#
        );
        assert_eq!(capture(&pointers, b"<html>").unwrap_err(), "expected JSON to capture from, got <html>");
        assert_eq!(capture(&Values::new(), b"<html>"), Ok(Values::new()));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }
}
