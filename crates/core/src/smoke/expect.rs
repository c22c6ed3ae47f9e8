//! Whether an HTTP answer is the expected one. The error is a sentence for people: what was expected, what came.

use serde_json::Value;

use super::template::shorten;
use crate::spec::Expect;

/// An HTTP answer as it came.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// Names and values, names in any case.
    pub headers: &'a [(String, String)],
    /// The body, as far as it was read.
    pub body: &'a [u8],
}

/// Whether `answer` is what `expect` asks for.
pub fn check(expect: &Expect, answer: &Answer) -> Result<(), String> {
    status(expect, answer)?;
    for (name, wanted) in &expect.headers {
        let mut came = answer.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).peekable();
        match came.peek().copied() {
            None => return Err(format!("expected header {name}: {wanted}, but there is none")),
            Some(first) if !came.any(|v| v == wanted) => {
                return Err(format!("expected header {name}: {wanted}, got {}", shorten(first, 100)));
            }
            Some(_) => {}
        }
    }
    if let Some(wanted) = &expect.json {
        let came: Value =
            serde_json::from_slice(answer.body).map_err(|_| format!("expected JSON, got {}", excerpt(answer.body)))?;
        contains(wanted, &came)?;
    }
    if let Some(pattern) = &expect.body {
        let regex =
            regex::bytes::Regex::new(pattern).map_err(|e| format!("the pattern {pattern} is not valid: {e}"))?;
        if !regex.is_match(answer.body) {
            return Err(format!("expected the body to match {pattern}, got {}", excerpt(answer.body)));
        }
    }
    Ok(())
}

fn status(expect: &Expect, answer: &Answer) -> Result<(), String> {
    let nothing_declared = expect.headers.is_empty() && expect.json.is_none() && expect.body.is_none();
    match expect.status {
        Some(wanted) if wanted != answer.status => {
            Err(format!("expected status {wanted}, got {} with {}", answer.status, excerpt(answer.body)))
        }
        None if nothing_declared && !(200..400).contains(&answer.status) => {
            Err(format!("expected status 200 to 399, got {} with {}", answer.status, excerpt(answer.body)))
        }
        _ => Ok(()),
    }
}

fn excerpt(body: &[u8]) -> String {
    if body.is_empty() { "an empty body".to_string() } else { shorten(&String::from_utf8_lossy(body), 200) }
}

/// Whether `came` contains `wanted`: objects may have more keys, arrays and scalars must be equal.
pub fn contains(wanted: &Value, came: &Value) -> Result<(), String> {
    contains_at(wanted, came, &mut String::new())
}

fn contains_at(wanted: &Value, came: &Value, path: &mut String) -> Result<(), String> {
    let (Value::Object(wanted), Value::Object(object)) = (wanted, came) else {
        return if same(wanted, came) { Ok(()) } else { Err(difference(wanted, came, path)) };
    };
    for (key, value) in wanted {
        let length = path.len();
        path.push('/');
        path.push_str(key);
        match object.get(key) {
            Some(inner) => contains_at(value, inner, path)?,
            None => {
                return Err(format!("expected {path} to be {value}, but it is not there: got {}", short_json(came)));
            }
        }
        path.truncate(length);
    }
    Ok(())
}

/// Equality in which 1 and 1.0 are one number, at any depth.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

fn difference(wanted: &Value, came: &Value, path: &str) -> String {
    let place = if path.is_empty() { "the body" } else { path };
    format!("expected {place} to be {}, got {}", short_json(wanted), short_json(came))
}

fn short_json(value: &Value) -> String {
    shorten(&value.to_string(), 150)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn json_contains_its_own_parts() {
        for (wanted, came) in [
            (json!({}), json!({ "a": 1 })),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 })),
            (json!({ "a": { "b": true } }), json!({ "a": { "b": true, "c": null }, "d": [] })),
            (json!([1, { "a": 1 }]), json!([1.0, { "a": 1 }])),
            (json!(null), json!(null)),
        ] {
            assert_eq!(contains(&wanted, &came), Ok(()), "{wanted} in {came}");
        }
    }

    #[test]
    fn json_that_differs_says_where() {
        for (wanted, came, why) in [
            (json!({ "ok": true }), json!({ "ok": false }), "expected /ok to be true, got false"),
            (json!({ "a": { "b": 1 } }), json!({ "a": { "b": "1" } }), "expected /a/b to be 1, got \"1\""),
            (json!({ "a": { "b": 1 } }), json!({ "a": {} }), "expected /a/b to be 1, but it is not there: got {}"),
            (json!({ "a": [1] }), json!({ "a": [1, 2] }), "expected /a to be [1], got [1,2]"),
            (
                json!([{ "a": 1 }]),
                json!([{ "a": 1, "b": 2 }]),
                "expected the body to be [{\"a\":1}], got [{\"a\":1,\"b\":2}]",
            ),
            (json!({}), json!([]), "expected the body to be {}, got []"),
        ] {
            assert_eq!(contains(&wanted, &came).unwrap_err(), why);
        }
    }

    fn answer(status: u16, body: &'static str) -> Answer<'static> {
        Answer { status, headers: &[], body: body.as_bytes() }
    }

    #[test]
    fn with_nothing_declared_any_good_status_will_do() {
        let none = Expect::default();
        assert_eq!(check(&none, &answer(200, "")), Ok(()));
        assert_eq!(check(&none, &answer(302, "")), Ok(()));
        assert_eq!(
            check(&none, &answer(404, "")).unwrap_err(),
            "expected status 200 to 399, got 404 with an empty body"
        );
    }

    #[test]
    fn every_declared_part_must_hold() {
        let expect = Expect { status: Some(201), body: Some("^id=[0-9]+$".into()), ..Expect::default() };
        assert_eq!(check(&expect, &answer(201, "id=17")), Ok(()));
        assert_eq!(check(&expect, &answer(200, "id=17")).unwrap_err(), "expected status 201, got 200 with id=17");
        assert_eq!(
            check(&expect, &answer(201, "id=x")).unwrap_err(),
            "expected the body to match ^id=[0-9]+$, got id=x"
        );
        let json = Expect { json: Some(json!({ "ok": true })), ..Expect::default() };
        assert_eq!(check(&json, &answer(500, r#"{"ok":true}"#)), Ok(()));
        assert_eq!(check(&json, &answer(200, "<html>")).unwrap_err(), "expected JSON, got <html>");
        let broken = Expect { body: Some("(".into()), ..Expect::default() };
        assert!(check(&broken, &answer(200, "")).unwrap_err().starts_with("the pattern ( is not valid"));
    }

    #[test]
    fn header_names_ignore_case_and_values_do_not() {
        let headers = [("Content-Type".to_string(), "text/html".to_string()), ("x".to_string(), "1".to_string())];
        let answer = Answer { status: 200, headers: &headers, body: b"" };
        let expect = |name: &str, value: &str| Expect {
            headers: BTreeMap::from([(name.to_string(), value.to_string())]),
            ..Expect::default()
        };
        assert_eq!(check(&expect("content-type", "text/html"), &answer), Ok(()));
        assert_eq!(
            check(&expect("content-type", "Text/HTML"), &answer).unwrap_err(),
            "expected header content-type: Text/HTML, got text/html"
        );
        assert_eq!(check(&expect("etag", "1"), &answer).unwrap_err(), "expected header etag: 1, but there is none");
    }
}
