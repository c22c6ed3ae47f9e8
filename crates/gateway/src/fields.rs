//! Header fields, however they are held, so that both ways through the gateway find keys and cohorts by the same rules.

use http::HeaderMap;

/// Header fields in the order in which they came.
pub(crate) trait Fields {
    /// The values of all fields named `name`, whatever the case of either.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

/// A value, where it is visible ASCII text.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|b| (0x20..0x7f).contains(b) || *b == b'\t');
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

impl Fields for HeaderMap {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).into_iter().map(http::HeaderValue::as_bytes)
    }
}

impl Fields for [httparse::Header<'_>] {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}
