//! JSON values inside of the declared file: the bodies that smoke tests send and expect.
//!
//! The rules are YAML 1.2's: without quotes, `true`, `null` and decimal numbers are what they look like, and
//! everything else, `no` and `on` included, is a text. What looks like a number in one YAML and not in another is refused.

use serde_json::{Map, Number, Value};

use super::super::mistake::{Wrong, quoted};
use super::super::reader::Reader;

/// The JSON that the value stands for.
pub(in super::super) fn json(reader: &Reader) -> Option<Value> {
    if let Some((text, plain)) = reader.scalar() {
        return if plain { reader.checked(plain_scalar(text)) } else { Some(Value::String(text.to_string())) };
    }
    // Asked in this order so that a mapping is never noted as "expected a list".
    if reader.is_list() {
        let items: Vec<Option<Value>> = reader.items(usize::MAX, "")?.iter().map(json).collect();
        return items.into_iter().collect::<Option<Vec<_>>>().map(Value::Array);
    }
    let entries: Vec<_> =
        reader.entries("")?.iter().map(|(key, value)| Some((key.text.to_string(), json(value)?))).collect();
    entries.into_iter().collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn plain_scalar(text: &str) -> Result<Value, Wrong> {
    let quoting = || format!("put it in quotes if it is a text: {:?}", text.chars().take(60).collect::<String>());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return Err(Wrong::new(format!("JSON has no number {text}")).hint(quoting()));
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(Value::String(text.to_string()));
    }
    if let Ok(number) = text.parse::<Number>() {
        return Ok(Value::Number(number));
    }
    let digits = unsigned.strip_prefix("0x").map(|d| (d, 16)).or(unsigned.strip_prefix("0o").map(|d| (d, 8)));
    let based = digits.is_some_and(|(d, base)| !d.is_empty() && d.chars().all(|c| c.is_digit(base)));
    if based || (text.len() < 400 && text.parse::<f64>().is_ok()) {
        let wrong = Wrong::new(format!("{} is not a number in JSON", quoted(text)));
        return Err(wrong.hint(format!("write it as a decimal number; {}", quoting())));
    }
    Ok(Value::String(text.to_string()))
}
