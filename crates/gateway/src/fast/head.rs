//! A request's head, understood to its last field or not at all. What is merely unusual counts as unknown: the long way
//! knows more, and it alone refuses.

use std::mem::MaybeUninit;

use http::Method;
use httparse::Header;

use slipway_core::traffic::CONSOLE_COOKIE;

use crate::challenges;
use crate::guard::is_host;
use crate::outcomes;
use crate::server::Tuning;

/// Fields that a head may have.
pub(crate) const MOST_FIELDS: usize = 64;
/// Largest head with the body that came with it; a client that sends more before it is answered goes the long way.
pub(crate) const MOST_BYTES: usize = 64 << 10;

/// Room for the fields of a head.
pub(crate) type Room<'b> = [MaybeUninit<Header<'b>>; MOST_FIELDS];

/// An empty one.
pub(crate) fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; MOST_FIELDS]
}

/// What the bytes so far are.
#[derive(Debug)]
pub(crate) enum Seen<'b, 'r> {
    /// A whole request.
    Request(Head<'b, 'r>),
    /// The beginning of one.
    More,
    /// Something for the long way.
    Unknown,
}

/// A request's head.
#[derive(Debug)]
pub(crate) struct Head<'b, 'r> {
    /// The method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: &'b str,
    /// The path alone.
    pub(crate) path: &'b str,
    /// The host as the client wrote it.
    pub(crate) host: &'b str,
    /// All fields.
    pub(crate) fields: &'r [Header<'b>],
    /// The client wants no further answer on this connection.
    pub(crate) close: bool,
    /// Bytes of the head.
    pub(crate) size: usize,
    /// Bytes of the body, which have all come.
    pub(crate) body: usize,
}

/// What a field means on the way to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It passes.
    Passes,
    /// It belongs to the connection.
    Stays,
    /// Whom the request is for; it passes.
    Host,
    /// How long the body is; it passes.
    Length,
    /// `Connection`.
    Connection,
    /// `Cookie`; it passes.
    Cookie,
    /// `Content-Type`; it passes.
    Kind,
    /// It is a list that the gateway adds to.
    Grows(List),
    /// The gateway says it anew.
    SaidAnew,
    /// The long way knows what to do with it.
    Unknown,
}

/// A list that the gateway adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// `X-Forwarded-For`
    For,
    /// `Forwarded`
    Forwarded,
    /// `Via`
    Via,
}

/// What a request's field means.
pub(crate) fn meaning(name: &str) -> Meaning {
    let mut lower = [0; 19];
    let Some(lower) = lower.get_mut(..name.len()) else { return Meaning::Passes };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"host" => Meaning::Host,
        b"content-length" => Meaning::Length,
        b"connection" => Meaning::Connection,
        b"cookie" => Meaning::Cookie,
        b"content-type" => Meaning::Kind,
        b"keep-alive" => Meaning::Stays,
        b"x-forwarded-for" => Meaning::Grows(List::For),
        b"forwarded" => Meaning::Grows(List::Forwarded),
        b"via" => Meaning::Grows(List::Via),
        b"x-forwarded-proto" | b"x-forwarded-host" => Meaning::SaidAnew,
        b"upgrade"
        | b"expect"
        | b"te"
        | b"trailer"
        | b"transfer-encoding"
        | b"proxy-connection"
        | b"http2-settings"
        | b"proxy-authorization"
        | b"proxy-authenticate"
        | b"slipway-synthetic"
        | b"slipway_synthetic"
        | b"close" => Meaning::Unknown,
        _ => Meaning::Passes,
    }
}

/// Looks at what a client has sent.
pub(crate) fn parse<'b, 'r>(bytes: &'b [u8], room: &'r mut Room<'b>, tuning: &Tuning) -> Seen<'b, 'r> {
    let mut request = httparse::Request::new(&mut []);
    let size = match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() <= tuning.header_bytes && !has_bare_line_end(bytes) => {
            return Seen::More;
        }
        _ => return Seen::Unknown,
    };
    let (Some(method), Some(target), Some(1)) = (request.method.and_then(known), request.path, request.version) else {
        return Seen::Unknown;
    };
    let path = target.split('?').next().unwrap_or_default();
    let is_plain = target.starts_with('/')
        && target.bytes().all(|byte| IN_TARGET[usize::from(byte)])
        && target.len() <= tuning.uri_bytes;
    // Lenient line ends make the parser skip bytes in front; then nothing is certain.
    let asked_elsewhere = path.starts_with(outcomes::PATH) || path.starts_with(challenges::PREFIX);
    if !is_plain || asked_elsewhere || !bytes.starts_with(method.as_str().as_bytes()) {
        return Seen::Unknown;
    }
    let fields: &'r [Header<'b>] = request.headers;
    let Some(known) = Known::of(fields) else { return Seen::Unknown };
    if size > tuning.header_bytes || known.body > MOST_BYTES.saturating_sub(size) {
        return Seen::Unknown;
    }
    if has_bare_line_end(&bytes[..size]) {
        return Seen::Unknown;
    }
    if bytes.len() - size < known.body {
        // A body that comes later is streamed, which only the long way does.
        return Seen::Unknown;
    }
    let (host, close, body) = (known.host, known.close, known.body);
    Seen::Request(Head { method, target, path, host, fields, close, size, body })
}

fn known(method: &str) -> Option<Method> {
    Some(match method {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        "PATCH" => Method::PATCH,
        "OPTIONS" => Method::OPTIONS,
        _ => return None,
    })
}

/// Bytes that stand in a target without any doubt (RFC 3986, section 3.3 and 3.4).
const IN_TARGET: [bool; 256] = alphanumeric_or(b"-._~!$&'()*+,;=:@%/?");
/// Bytes that stand in a host without any doubt.
const IN_HOST: [bool; 256] = alphanumeric_or(b"-._:[]");

const fn alphanumeric_or(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = true;
        place += 1;
    }
    table
}

/// A line that ends without a carriage return, which the parser takes and others may read differently.
fn has_bare_line_end(head: &[u8]) -> bool {
    // Without a way out in the middle, so that it is done many bytes at a time.
    let after = head.iter().skip(1);
    head.iter().zip(after).fold(false, |found, (before, byte)| found | ((*byte == b'\n') & (*before != b'\r')))
}

/// What the fields say together.
struct Known<'b> {
    host: &'b str,
    close: bool,
    body: usize,
}

impl<'b> Known<'b> {
    /// `None` where anything is unusual.
    fn of(fields: &[Header<'b>]) -> Option<Known<'b>> {
        let (mut host, mut body, mut close, mut cookie) = (None, None, false, false);
        let mut lists = [false; 3];
        for field in fields {
            // Some servers take `_` for `-`: such names may be others in disguise.
            if !field.value.is_ascii() || field.name.contains('_') {
                return None;
            }
            match meaning(field.name) {
                Meaning::Unknown => return None,
                Meaning::Host if host.is_none() => {
                    host = Some(
                        text(field.value)
                            .filter(|h| h.bytes().all(|byte| IN_HOST[usize::from(byte)]) && is_host(field.value))?,
                    )
                }
                Meaning::Length if body.is_none() => body = Some(length(field.value)?),
                Meaning::Host | Meaning::Length => return None,
                Meaning::Connection if field.value.eq_ignore_ascii_case(b"keep-alive") => {}
                Meaning::Connection if field.value.eq_ignore_ascii_case(b"close") => close = true,
                Meaning::Connection => return None,
                // Several are put together, which is for the long way.
                Meaning::Cookie if std::mem::replace(&mut cookie, true) || holds_console(field.value) => return None,
                Meaning::Kind if field.value.starts_with(b"application/grpc") => return None,
                Meaning::Grows(list) if std::mem::replace(&mut lists[list as usize], true) => return None,
                Meaning::Passes | Meaning::Stays | Meaning::Cookie | Meaning::Kind => {}
                Meaning::SaidAnew | Meaning::Grows(_) => {}
            }
        }
        Some(Known { host: host.filter(|h| !h.is_empty())?, close, body: body.unwrap_or(0) })
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// A length in its shortest form.
fn length(value: &[u8]) -> Option<usize> {
    let is_short = value == b"0" || !value.starts_with(b"0");
    let digits = !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit);
    text(value).filter(|_| is_short && digits)?.parse().ok()
}

fn holds_console(value: &[u8]) -> bool {
    let name = CONSOLE_COOKIE.as_bytes();
    value.windows(name.len()).any(|window| window == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &str) -> &'static str {
        match parse(bytes.as_bytes(), &mut room(), &Tuning::default()) {
            Seen::Request(_) => "request",
            Seen::More => "more",
            Seen::Unknown => "unknown",
        }
    }

    #[test]
    fn a_plain_request_is_taken_and_its_beginning_waited_for() {
        let whole =
            "POST /a/b?c=d HTTP/1.1\r\nHost: shop.local:80\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(look(whole), "request");
        let head = whole.find("\r\n\r\n").unwrap() + 4;
        for end in 0..head {
            assert_eq!(look(&whole[..end]), "more", "{end}");
        }
        assert_eq!(look(&whole[..head + 1]), "unknown", "a body that comes later");
        let mut room = room();
        let Seen::Request(head) = parse(whole.as_bytes(), &mut room, &Tuning::default()) else { panic!() };
        assert_eq!((head.target, head.path, head.host, head.body), ("/a/b?c=d", "/a/b", "shop.local:80", 3));
        assert!(!head.close);
    }

    #[test]
    fn whatever_is_unusual_is_for_the_long_way() {
        let of = |line: &str, fields: &str| look(&format!("{line}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(of("GET / HTTP/1.1", ""), "request");
        for line in [
            "GET / HTTP/1.0",
            "CONNECT a:1 HTTP/1.1",
            "GET http://a/ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "TRACE / HTTP/1.1",
            "BREW / HTTP/1.1",
            "GET /#a HTTP/1.1",
            "GET /\"a\" HTTP/1.1",
            "GET /.slipway/outcomes HTTP/1.1",
            "GET /.well-known/acme-challenge/a HTTP/1.1",
            "GET  / HTTP/1.1",
            "\r\nGET / HTTP/1.1",
            "PRI * HTTP/2.0",
        ] {
            assert_eq!(of(line, ""), "unknown", "{line}");
        }
        for fields in [
            "Host: b\r\n",
            "Upgrade: h2c\r\n",
            "Expect: 100-continue\r\n",
            "TE: trailers\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 0\r\nContent-Length: 0\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 01\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 99999999999\r\n",
            "Connection: upgrade\r\n",
            "Connection: close, x-a\r\n",
            "Cookie: a=1; slipway-session=2\r\n",
            "X-Forwarded-For: 1\r\nx-forwarded-for: 2\r\n",
            "X-A: \u{e9}\r\n",
            "X-A : 1\r\n",
            "X-A: 1\n",
            "X-A: 1\r\n folded\r\n",
            "Proxy-Connection: close\r\n",
            "Proxy-Authorization: x\r\n",
            "Cookie: a=1\r\nCookie: b=2\r\n",
            "content_length: 3\r\n",
            "X_Forwarded_For: 6.6.6.6\r\n",
            "X_Forwarded-Of-Some-Longer-Name: 1\r\n",
            "Content-Type: application/grpc+proto\r\n",
        ] {
            assert_eq!(of("GET / HTTP/1.1", fields), "unknown", "{fields}");
        }
        assert_eq!(look("GET / HTTP/1.1\r\n\r\n"), "unknown", "no host");
        assert_eq!(look("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "unknown", "an empty host");
        assert_eq!(look("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "unknown", "no host");
        assert_eq!(look("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), "unknown", "no port");
        let long = "x".repeat(40_000);
        assert_eq!(of("GET / HTTP/1.1", &format!("X-A: {long}\r\n")), "unknown");
        assert_eq!(of("GET / HTTP/1.1", &format!("X-A: {}1\r\n", " ".repeat(40_000))), "unknown", "padding counts");
        assert_eq!(look(&format!("GET /{long}")), "unknown", "it is refused before its end");
        assert_eq!(look("GET / HTTP/1.1\r\nHost: a\nX-"), "unknown", "so is this");
        assert_eq!(of(&format!("GET /{long} HTTP/1.1"), ""), "unknown");
        assert_eq!(of("GET / HTTP/1.1", &"X-A: 1\r\n".repeat(64)), "unknown");
    }
}
