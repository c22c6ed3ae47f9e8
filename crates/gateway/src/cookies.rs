//! The console's cookie is nobody else's. Browsers send cookies to every port of a host: where console and traffic have one
//! host, services would be handed sessions, and could plant them.

use http::{HeaderMap, HeaderValue, header};
use slipway_core::traffic::CONSOLE_COOKIE;

/// Takes the console's cookie out of a request.
pub(crate) fn withhold(headers: &mut HeaderMap) {
    let holds = |value: &HeaderValue| find(value.as_bytes());
    if !headers.get_all(header::COOKIE).iter().any(holds) {
        return;
    }
    let header::Entry::Occupied(entry) = headers.entry(header::COOKIE) else { return };
    let (_, values) = entry.remove_entry_mult();
    let values: Vec<HeaderValue> = values.collect();
    for value in values {
        let pairs = value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kept: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && !names(pair)).collect();
        if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !value.is_empty()
        {
            headers.append(header::COOKIE, value);
        }
    }
}

/// Takes the console's cookie out of an answer.
pub(crate) fn refuse(headers: &mut HeaderMap) {
    if !headers.get_all(header::SET_COOKIE).iter().any(|value| names(value.as_bytes())) {
        return;
    }
    let kept: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter(|value| !names(value.as_bytes())).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Whether the cookie's name stands anywhere in these bytes.
fn find(bytes: &[u8]) -> bool {
    let name = CONSOLE_COOKIE.as_bytes();
    bytes.windows(name.len()).any(|window| window == name)
}

/// Whether a pair of name and value is the cookie.
pub(crate) fn names(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    name.trim_ascii() == CONSOLE_COOKIE.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn left(headers: &HeaderMap, name: header::HeaderName) -> Vec<&str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn a_session_of_the_console_goes_to_no_service() {
        for (given, kept) in [
            (&["slipway-session=abc"][..], &[][..]),
            (&["a=1; slipway-session=abc; b=2"], &["a=1; b=2"]),
            (&["slipway-session=abc;b=2", "c=3"], &["b=2", "c=3"]),
            (&["a=1;  b=2"], &["a=1;  b=2"]),
            (&["my-slipway-session=1; a=slipway-session"], &["my-slipway-session=1; a=slipway-session"]),
            (&[" slipway-session = abc"], &[]),
        ] {
            let mut headers = of(header::COOKIE, given);
            withhold(&mut headers);
            assert_eq!(left(&headers, header::COOKIE), kept, "{given:?}");
        }
    }

    #[test]
    fn and_none_is_planted_by_one() {
        let mut headers = of(header::SET_COOKIE, &["a=1; Path=/", "slipway-session=mine; Path=/", "b=2"]);
        refuse(&mut headers);
        assert_eq!(left(&headers, header::SET_COOKIE), ["a=1; Path=/", "b=2"]);
    }
}
