//! What clients could send: plain, odd and hostile requests, some on one connection, cut and changed.

use proptest::prelude::*;
use proptest::sample::select;

use crate::ANSWERS;

/// Which streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sound requests of users who are known, whose bodies may come in pieces.
    Sound,
    /// Anything, by users who are known: to which version they go is no chance.
    Known,
    /// Anything.
    Any,
    /// Anything, and connections that end without an answer. It is tried once more if the connection was an old one, which is
    /// a matter of time.
    Silent,
}

/// A request as a client could send it, plain, odd or hostile.
fn a_request(kind: Kind) -> impl Strategy<Value = String> {
    let sound = kind == Kind::Sound;
    let odds = u32::from(!sound);
    let method = prop_oneof![
        8 => Just("GET"),
        4 => select(&["POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"][..]),
        odds => select(&["TRACE", "CONNECT", "BREW", "get", "PRI", "G ET"][..]),
    ];
    let letter = (0..ANSWERS.len() as u8).prop_map(move |n| {
        let empty = ANSWERS[usize::from(n)].0.is_empty();
        if kind != Kind::Silent && empty { 0 } else { n }
    });
    let letter = letter.prop_map(|n| char::from(b'a' + n));
    let rest = prop_oneof![
        8 => select(&["", "/b", "?c=d&e", "/%41/~x"][..]),
        odds => select(&["#f", "/\"q\"", "/\u{e9}", " x", "/[a]", "/a|b", "\t"][..]),
    ];
    let target = (letter, rest).prop_map(|(letter, rest)| format!("/{letter}{rest}"));
    let target = prop_oneof![16 => target, odds => select(&["*", "http://other/a", "a", "//a", ""][..]).prop_map(str::to_string)];
    let version =
        prop_oneof![20 => Just("HTTP/1.1"), odds => select(&["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""][..])];
    let host = prop_oneof![
        12 => Just("Host: shop.local\r\n"),
        2 => select(&["hOST:   Shop.Local:80  \r\n", "Host: [::1]:80\r\n"][..]),
        odds => select(&["", "Host:\r\n", "Host: a\r\nHost: b\r\n", "Host: a b\r\n", "Host : a\r\n", "Host: a,b\r\n"][..]),
    ];
    let plain = &[
        "X-A: 1\r\n",
        "x-a: 2\r\n",
        "Accept: */*\r\n",
        "X-Empty:\r\n",
        "Cookie: slipway=ann; a=b\r\n",
        "Cookie: slipway=bob\r\n",
        "X-Forwarded-For: 9.9.9.9\r\n",
        "Forwarded: for=9.9.9.9\r\n",
        "Via: 1.0 x\r\n",
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Host: evil\r\n",
        "Keep-Alive: 5\r\n",
        "Connection: keep-alive\r\n",
        "X-Forwarded-For:\r\n",
        "X-Tab: a\tb\r\n",
    ][..];
    let odd = &[
        "Connection: close\r\n",
        "Connection: X-A\r\n",
        "Connection: keep-alive, x-a\r\n",
        "TE: trailers\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: x\r\nConnection: upgrade\r\n",
        "Cookie: slipway-session=1; a=b\r\n",
        "Cookie: c=d\r\n",
        "x_forwarded_for: 6.6.6.6\r\n",
        "content_length: 6\r\n",
        "my_own: 1\r\n",
        "Content-Type: application/grpc-web\r\n",
        "Upgrade: h2c\r\nConnection: upgrade\r\n",
        "X-A : 1\r\n",
        "X-B: \u{e9}\r\n",
        "X-C: 1\n",
        " folded: 1\r\n",
        "X-D: a\r\n b\r\n",
        ": none\r\n",
        "X-E: a\0b\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Content-Length: -1\r\n",
        "Proxy-Authorization: x\r\n",
        "Proxy-Connection: close\r\n",
        "HTTP2-Settings: x\r\n",
        "Close: 1\r\n",
        "Trailer: x\r\n",
        "Content-Length : 3\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
    ][..];
    let fields = prop::collection::vec(prop_oneof![12 => select(plain), odds => select(odd)], 0..5);
    let unknown = if matches!(kind, Kind::Sound | Kind::Known) { 0 } else { 4 };
    let key = prop_oneof![
        unknown => Just(""),
        4 => select(&["Cookie: slipway=eve\r\n", "Cookie: slipway=joe; b=c\r\n"][..]),
        odds => Just("Cookie: city=Z\u{fc}rich; slipway=joe\r\n"),
    ];
    let body = prop_oneof![
        6 => Just(String::new()),
        3 => "[a-z]{1,12}".prop_map(|b| format!("Content-Length: {}\r\n\r\n{b}", b.len())),
        odds => "[a-z]{60,70}".prop_map(|b| format!("Content-Length: {}\r\n\r\n{b}", b.len())),
        1 => "[a-z]{1,9}".prop_map(|b| format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{b}\r\n0\r\n\r\n", b.len())),
        odds => select(&["Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "Content-Length: 02\r\n\r\nab", "Content-Length: 2, 2\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n"][..]).prop_map(str::to_string),
    ];
    (method, target, version, (host, key), fields, body).prop_map(
        |(method, target, version, (host, key), fields, body)| {
            let end = if body.is_empty() { "\r\n" } else { "" };
            let fields = fields.concat();
            // The long way does not pass on what a GET brings in chunks, and whether it has read it by then decides how it
            // goes on.
            let chunked = fields.contains("chunked") || body.contains("chunked");
            let method = if chunked && matches!(method, "GET" | "HEAD") { "POST" } else { method };
            format!("{method} {target} {version}\r\n{host}{key}{fields}{body}{end}")
        },
    )
}

/// Some requests on one connection, now and then with a byte changed, and where they are cut on the wire.
pub(super) fn a_stream(kind: Kind) -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    let changed = (any::<usize>(), select(&b"\r\n\0 :;a1\xff"[..])).prop_map(Some);
    // A changed byte may make somebody unknown.
    let change = prop_oneof![6 => Just(None), u32::from(matches!(kind, Kind::Any | Kind::Silent)) => changed];
    let cuts = prop::collection::vec(0..400usize, 0..3);
    (prop::collection::vec(a_request(kind), 1..4), change, cuts).prop_map(move |(requests, change, mut cuts)| {
        let mut bytes = requests.concat().into_bytes();
        if let Some((place, byte)) = change {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        // So that the connection ends.
        bytes.extend_from_slice(
            b"GET /a/last HTTP/1.1\r\nHost: shop.local\r\nCookie: slipway=ann\r\nConnection: close\r\n\r\n",
        );
        // After a refusal, the long way goes on where the refused body has come by then, and closes where it has not.
        let has_body = |request: &String| request.contains("Content-Length") || request.contains("Transfer-Encoding");
        if kind != Kind::Sound && requests.iter().any(has_body) {
            cuts.clear();
        }
        cuts.sort_unstable();
        (bytes, cuts)
    })
}
