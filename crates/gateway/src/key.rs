//! Where a request's assignment key comes from, so that a user stays on the version that he met first.
//!
//! The declared header goes first, then the declared cookie, then the gateway's own cookie; failing all of them the
//! request gets fresh random text, never anything of its connection or address.

use http::header::HeaderValue;

use slipway_core::traffic::Sticky;

use crate::fields::{Fields, text};

/// The gateway's own cookie.
pub(crate) const COOKIE_NAME: &str = "slipway";

/// An assignment key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The text that is hashed.
    pub(crate) text: String,
    /// Whether it was made up for this request, and so has to be handed back if it is to last.
    pub(crate) fresh: bool,
}

impl Key {
    /// The key of a request.
    pub(crate) fn of(fields: &(impl Fields + ?Sized), sticky: &Sticky) -> Key {
        let header = sticky.header.as_deref().and_then(|name| fields.all(name).next()).and_then(text);
        let declared = || sticky.cookie.as_deref().and_then(|name| cookie(fields, name));
        let known = header.filter(|v| !v.is_empty()).or_else(declared).or_else(|| cookie(fields, COOKIE_NAME));
        match known {
            Some(text) => Key { text: text.to_string(), fresh: false },
            None => Key { text: format!("{:032x}", rand::random::<u128>()), fresh: true },
        }
    }

    /// The key as a number, for counting.
    pub(crate) fn hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.text.as_bytes())
    }

    /// The `Set-Cookie` that makes a fresh key last.
    pub(crate) fn set_cookie(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Lax", self.text)).ok()
    }
}

/// The value of the first cookie named `name` that is text and not empty. What the other cookies hold is no matter: other
/// services of the host set them, in any bytes they like.
pub(crate) fn cookie<'a>(fields: &'a (impl Fields + ?Sized), name: &str) -> Option<&'a str> {
    let pairs = fields.all("cookie").flat_map(|value| value.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.find_map(|value| text(value).filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn header_then_declared_cookie_then_own_cookie_then_fresh() {
        let sticky = Sticky { cookie: Some("session".into()), header: Some("x-user".into()) };
        let of = |pairs: &[(&'static str, &'static str)]| Key::of(&headers(pairs), &sticky);
        let known = |text: &str| Key { text: text.into(), fresh: false };
        assert_eq!(of(&[("x-user", "ann"), ("cookie", "session=s; slipway=o")]), known("ann"));
        assert_eq!(of(&[("x-user", ""), ("cookie", "slipway=o; session=s")]), known("s"));
        assert_eq!(of(&[("cookie", "a=b"), ("cookie", "mysession=s; slipway=o")]), known("o"));
        let (one, two) = (of(&[("cookie", "slipway=")]), of(&[]));
        assert!(one.fresh && two.fresh && one != two);
    }

    #[test]
    fn bytes_in_other_cookies_take_no_key_away() {
        let sticky = Sticky { cookie: Some("session".into()), header: None };
        let of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", HeaderValue::from_bytes(value).unwrap());
            let field = [httparse::Header { name: "Cookie", value }];
            let (long, short) = (Key::of(&headers, &sticky), Key::of(&field[..], &sticky));
            assert!(long == short || long.fresh && short.fresh, "{long:?} {short:?}");
            (!long.fresh).then_some(long.text)
        };
        assert_eq!(of(b"city=Z\xc3\xbcrich; slipway=abc").as_deref(), Some("abc"));
        assert_eq!(of(b"session=s; city=Z\xfcrich").as_deref(), Some("s"));
        assert_eq!(of(b"slipway=a\xffb").as_deref(), None, "such a key is none");
        assert_eq!(of(b"slipway=a\xffb; slipway=c").as_deref(), Some("c"));
        assert_eq!(of(b"slipway=a=b;").as_deref(), Some("a=b"));
    }

    #[test]
    fn the_cookie_is_out_of_reach_for_scripts_and_other_sites() {
        let key = Key { text: "k".into(), fresh: true };
        assert_eq!(key.set_cookie().unwrap(), "slipway=k; Path=/; HttpOnly; SameSite=Lax");
    }
}
