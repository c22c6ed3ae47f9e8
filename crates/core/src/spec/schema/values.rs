//! Schemas of single values.

use serde_json::{Value, json};

use super::super::scalar::{DURATION_PATTERN, PERCENT_PATTERN, SIZE_PATTERN, TOLERATED_PATTERN};

/// Names of services and environments.
pub(super) const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_-]*$";
const LABEL_PATTERN: &str = "^[A-Za-z][A-Za-z0-9_-]*$";

/// `schema` with a default.
pub(super) fn or(mut schema: Value, default: Value) -> Value {
    schema["default"] = default;
    schema
}

/// A name of a service or an environment. Numbers are read as the text that was written.
pub(super) fn name(description: &str, example: &str) -> Value {
    json!({
        "description": description, "type": ["string", "number", "boolean"],
        "pattern": NAME_PATTERN, "maxLength": 63, "examples": [example]
    })
}

/// A name that goes into metrics.
pub(super) fn label(description: &str, example: &str) -> Value {
    json!({
        "description": description, "type": ["string", "boolean"],
        "pattern": LABEL_PATTERN, "maxLength": 63, "examples": [example]
    })
}

pub(super) fn duration(description: &str, example: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": DURATION_PATTERN, "examples": [example] })
}

pub(super) fn percent(description: &str, example: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": PERCENT_PATTERN, "examples": [example] })
}

/// A percentage, or a multiple of what it is compared with.
pub(super) fn tolerated(description: &str, example: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": TOLERATED_PATTERN, "examples": [example, "2x"] })
}

pub(super) fn size(description: &str, example: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": SIZE_PATTERN, "examples": [example] })
}

pub(super) fn count(description: &str, least: u64, most: u64, example: u64) -> Value {
    json!({ "description": description, "type": "integer", "minimum": least, "maximum": most, "examples": [example] })
}

/// A number of instances or a percentage of them.
pub(super) fn amount(description: &str, example: Value) -> Value {
    json!({
        "description": description, "type": ["integer", "string"],
        "minimum": 1, "pattern": PERCENT_PATTERN, "examples": [example]
    })
}

/// A text of which nothing more can be said in a pattern. Numbers and booleans are read as the text that was written.
pub(super) fn text(description: &str, example: &str) -> Value {
    json!({ "description": description, "type": ["string", "number", "boolean"], "examples": [example] })
}

/// A path.
pub(super) fn path(description: &str, example: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": "^/[!-~]*$", "examples": [example] })
}

/// `true`, and nothing else.
pub(super) fn only_true(description: &str) -> Value {
    json!({ "description": description, "const": true, "examples": [true] })
}

/// A program and its arguments.
pub(super) fn command(description: &str, example: Value) -> Value {
    json!({
        "description": description,
        "type": "array", "minItems": 1, "maxItems": 1000,
        "items": { "type": ["string", "number", "boolean"] },
        "examples": [example]
    })
}

/// Texts by name.
pub(super) fn texts(description: &str, example: Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
        "examples": [example]
    })
}

/// Any JSON.
pub(super) fn any(description: &str, example: Value) -> Value {
    json!({ "description": description, "examples": [example] })
}

/// An object with known keys.
pub(super) fn section(description: &str, required: &[&str], properties: Value) -> Value {
    let mut schema = json!({
        "description": description, "type": "object", "additionalProperties": false, "properties": properties
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// `schema` with exactly one of `keys`.
pub(super) fn exactly_one(mut schema: Value, keys: &[&str]) -> Value {
    schema["oneOf"] = keys.iter().map(|key| json!({ "required": [key] })).collect();
    schema
}
