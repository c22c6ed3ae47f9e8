//! As much of JSON Schema as the schema of the declared file uses. A keyword that is not known here is a failure, so
//! that none goes unchecked.

use serde_json::Value;

/// What is wrong with `value` by `schema`.
pub fn errors(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let failed = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "examples" => None,
            "properties" | "additionalProperties" | "items" | "propertyNames" => {
                found.extend(inside(schema, keyword, value, at));
                None
            }
            "anyOf" => (passing(rule, value, at) == 0).then(|| "fits no choice".to_string()),
            "oneOf" => (passing(rule, value, at) != 1).then(|| "does not fit exactly one choice".to_string()),
            "not" => errors(rule, value, at).is_empty().then(|| "is excluded".to_string()),
            _ => (!holds(keyword, rule, value)).then(|| format!("{keyword} {rule}")),
        };
        found.extend(failed.map(|why| format!("{at}: {value}: {why}")));
    }
    found
}

fn passing(choices: &Value, value: &Value, at: &str) -> usize {
    choices.as_array().unwrap().iter().filter(|choice| errors(choice, value, at).is_empty()).count()
}

fn inside(schema: &Value, keyword: &str, value: &Value, at: &str) -> Vec<String> {
    let rule = &schema[keyword];
    match (keyword, value) {
        ("items", Value::Array(items)) => {
            items.iter().enumerate().flat_map(|(i, v)| errors(rule, v, &format!("{at}[{i}]"))).collect()
        }
        ("propertyNames", Value::Object(map)) => {
            map.keys().flat_map(|k| errors(rule, &Value::String(k.clone()), &format!("{at}.{k}"))).collect()
        }
        ("properties", Value::Object(map)) => {
            map.iter().filter_map(|(k, v)| Some(errors(rule.get(k)?, v, &format!("{at}.{k}")))).flatten().collect()
        }
        ("additionalProperties", Value::Object(map)) => {
            let others = map.iter().filter(|(k, _)| schema["properties"].get(k.as_str()).is_none());
            match rule {
                Value::Bool(false) => others.map(|(k, _)| format!("{at}.{k}: unknown")).collect(),
                _ => others.flat_map(|(k, v)| errors(rule, v, &format!("{at}.{k}"))).collect(),
            }
        }
        _ => Vec::new(),
    }
}

/// Whether a keyword without schemas in it holds. One that is about another type always does.
fn holds(keyword: &str, rule: &Value, value: &Value) -> bool {
    let limit = || rule.as_f64().unwrap();
    let text = value.as_str();
    let list = value.as_array();
    let map = value.as_object();
    match keyword {
        "type" => match rule {
            Value::Array(types) => types.iter().any(|t| is(t, value)),
            one => is(one, value),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "pattern" => text.is_none_or(|t| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(t)),
        "maxLength" => text.is_none_or(|t| t.chars().count() as f64 <= limit()),
        "minimum" => value.as_f64().is_none_or(|n| n >= limit()),
        "maximum" => value.as_f64().is_none_or(|n| n <= limit()),
        "minItems" => list.is_none_or(|l| l.len() as f64 >= limit()),
        "maxItems" => list.is_none_or(|l| l.len() as f64 <= limit()),
        "minProperties" => map.is_none_or(|m| m.len() as f64 >= limit()),
        "maxProperties" => map.is_none_or(|m| m.len() as f64 <= limit()),
        "required" => map.is_none_or(|m| rule.as_array().unwrap().iter().all(|k| m.contains_key(k.as_str().unwrap()))),
        _ => panic!("the validator does not know the keyword {keyword}"),
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}
