//! An instance's answer: its head, how its body is framed, and the head that the client gets instead.
//!
//! Stricter than need be: an answer whose framing could be read in two ways is none.

use std::cell::RefCell;
use std::io::Write;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};
use httparse::Header;

use crate::cookies;
use crate::fault::Fault;
use crate::sender::HEAD_BYTES;

/// Fields that it may have, as on the long way.
const MOST_FIELDS: usize = 100;

/// How the body of an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the instance closes.
    UntilClose,
}

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// How its body is framed.
    pub(crate) framing: Framing,
    /// Whether the connection may be used again once the body has come.
    pub(crate) reusable: bool,
    /// It has come before the instance had taken all of the request.
    pub(crate) early: bool,
    /// Whether it is a stream of server-sent events.
    pub(crate) stream: bool,
}

/// What the bytes so far are.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A whole head of so many bytes, rewritten for the client but for its end.
    Head(Answer, usize),
    /// A head that announces another, of so many bytes.
    Interim(usize),
    /// The beginning of one.
    More,
    /// Not HTTP, or of another kind than was asked for.
    Nonsense,
}

/// What a field of an answer means.
enum Meaning {
    Passes,
    Stays,
    Connection,
    Encoding,
    Length,
    Date,
    Trailer,
    Cookie,
    Kind,
}

fn meaning(lower: &[u8]) -> Meaning {
    match lower {
        b"connection" => Meaning::Connection,
        b"transfer-encoding" => Meaning::Encoding,
        b"content-length" => Meaning::Length,
        b"date" => Meaning::Date,
        b"trailer" => Meaning::Trailer,
        b"set-cookie" => Meaning::Cookie,
        b"content-type" => Meaning::Kind,
        b"keep-alive" | b"proxy-connection" | b"te" | b"upgrade" | b"proxy-authenticate" => Meaning::Stays,
        _ => Meaning::Passes,
    }
}

/// Looks at what an instance has sent in answer to a request by `method`; writes the head for the client to `out`.
pub(crate) fn parse(bytes: &[u8], method: &Method, out: &mut Vec<u8>) -> Seen {
    let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
    let size = match parsed {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES => return Seen::More,
        _ => return Seen::Nonsense,
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(status), Some(version)) = (status, response.version) else { return Seen::Nonsense };
    if status.is_informational() {
        // Nobody asked for another protocol.
        return if status == StatusCode::SWITCHING_PROTOCOLS { Seen::Nonsense } else { Seen::Interim(size) };
    }
    match rewrite(status, version, response.headers, method, out) {
        Some(answer) => Seen::Head(answer, size),
        None => Seen::Nonsense,
    }
}

/// The head for the client without the empty line; `None` where the framing is not certain.
fn rewrite(
    status: StatusCode,
    version: u8,
    fields: &[Header<'_>],
    method: &Method,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    out.clear();
    begin(status, out);
    let bodiless = *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let named = Named::of(fields);
    let (mut length, mut chunked, mut dated, mut stream) = (None, false, false, false);
    for field in fields {
        let start = out.len();
        out.extend_from_slice(field.name.as_bytes());
        out[start..].make_ascii_lowercase();
        let passes = match meaning(&out[start..]) {
            Meaning::Passes => true,
            Meaning::Stays | Meaning::Connection => false,
            Meaning::Encoding => {
                if chunked || version == 0 || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                chunked = true;
                false
            }
            Meaning::Length => {
                if length.replace(parse_length(field.value)?).is_some() {
                    return None;
                }
                false
            }
            Meaning::Date => {
                dated = true;
                true
            }
            Meaning::Trailer => !bodiless,
            Meaning::Cookie => !cookies::names(field.value),
            Meaning::Kind => {
                stream |= is_event_stream(field.value);
                true
            }
        };
        if passes && !named.holds(&out[start..]) {
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        } else {
            out.truncate(start);
        }
    }
    let framing = match (bodiless, chunked, length) {
        (true, ..) => Framing::None,
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClose,
    };
    let told = length.filter(|_| !bodiless || *method == Method::HEAD);
    if let Some(length) = told {
        number(out, b"content-length: ", length);
    } else if matches!(framing, Framing::Chunked | Framing::UntilClose) {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !dated || named.holds(b"date") {
        date(out);
    }
    if chunked && length.is_some() {
        return None;
    }
    let kept = !named.close && (version == 1 || named.keep_alive);
    Some(Answer { status, framing, reusable: kept && framing != Framing::UntilClose, early: false, stream })
}

/// What an answer's `Connection` says.
struct Named<'b> {
    close: bool,
    keep_alive: bool,
    others: Vec<&'b [u8]>,
}

impl<'b> Named<'b> {
    fn of(fields: &[Header<'b>]) -> Named<'b> {
        let mut named = Named { close: false, keep_alive: false, others: Vec::new() };
        let values =
            fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection")).map(|field| field.value);
        for token in values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                named.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                named.keep_alive = true;
            } else if !token.is_empty() {
                named.others.push(token);
            }
        }
        named
    }

    /// Whether a field goes no further. What frames the message is not for an instance to strip.
    fn holds(&self, lower: &[u8]) -> bool {
        self.others.iter().any(|other| other.eq_ignore_ascii_case(lower)) && lower != b"host"
            || self.close && lower == b"close"
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn is_event_stream(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"text/event-stream")
}

fn begin(status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    // Writing to memory does not fail.
    let _ = write!(out, "{number}\r\n");
}

/// The head of an answer of the gateway's own, without the empty line.
pub(crate) fn own(fault: Fault, out: &mut Vec<u8>) {
    out.clear();
    begin(fault.status(), out);
    out.extend_from_slice(b"content-type: application/json\r\nproxy-status: ");
    out.extend_from_slice(fault.proxy_status().as_bytes());
    number(out, b"\r\ncontent-length: ", fault.body().len() as u64);
    date(out);
}

/// The time of day, as the protocol has it: made once in a while, since making it costs as much as a request.
struct Clock {
    text: Vec<u8>,
    until: Option<Instant>,
}

thread_local! {
    static CLOCK: RefCell<Clock> = const { RefCell::new(Clock { text: Vec::new(), until: None }) };
}

fn date(out: &mut Vec<u8>) {
    CLOCK.with_borrow_mut(|clock| {
        let now = Instant::now();
        if clock.until.is_none_or(|until| now >= until) {
            let time = SystemTime::now();
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let left = Duration::from_secs(1) - Duration::from_nanos(u64::from(since.subsec_nanos()));
            clock.until = Some(now + left);
            clock.text = format!("date: {}\r\n", httpdate::fmt_http_date(time)).into_bytes();
        }
        out.extend_from_slice(&clock.text);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(answer: &str, method: Method) -> (Seen, String) {
        let mut out = Vec::new();
        let seen = parse(answer.as_bytes(), &method, &mut out);
        (seen, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_client_gets_what_is_meant_for_it() {
        let answer = "HTTP/1.1 200 Fine\r\nX-A: 1\r\nConnection: x-secret, keep-alive\r\nX-Secret: 2\r\nDate: now\r\n\
                      Set-Cookie: slipway-session=1\r\nset-cookie: b=2\r\nContent-Length: 3\r\nKeep-Alive: 5\r\n\r\nabc";
        let (seen, out) = look(answer, Method::GET);
        let Seen::Head(head, size) = seen else { panic!("{seen:?}") };
        assert_eq!((head.framing, head.reusable, size), (Framing::Length(3), true, answer.len() - 3));
        assert_eq!(out, "HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: now\r\nset-cookie: b=2\r\ncontent-length: 3\r\n");
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_nonsense() {
        for (fields, framing) in [
            ("Content-Length: 0\r\n", Some(Framing::Length(0))),
            ("Transfer-Encoding: Chunked\r\n", Some(Framing::Chunked)),
            ("Content-Length: 3\r\nContent-Length: 3\r\n", None),
            ("Transfer-Encoding: Chunked\r\nContent-Length: 3\r\n", None),
            ("", Some(Framing::UntilClose)),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", None),
            ("Content-Length: 3, 3\r\n", None),
            ("Content-Length: -3\r\n", None),
            ("Content-Length: \r\n", None),
            ("Transfer-Encoding: gzip, chunked\r\n", None),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: identity\r\n", None),
        ] {
            let (seen, _) = look(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), Method::GET);
            let found = if let Seen::Head(head, _) = seen { Some(head.framing) } else { None };
            assert_eq!(found, framing, "{fields}");
        }
    }

    #[test]
    fn what_has_no_body_is_not_waited_for() {
        for (status, method) in [("204 No", Method::GET), ("304 Not", Method::GET), ("200 OK", Method::HEAD)] {
            let (seen, _) = look(&format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\n"), method);
            assert!(matches!(seen, Seen::Head(head, _) if head.framing == Framing::None), "{status}");
        }
        assert!(matches!(look("HTTP/1.1 103 Early\r\n\r\n", Method::GET).0, Seen::Interim(22)));
        assert!(matches!(look("HTTP/1.1 101 Switching\r\n\r\n", Method::GET).0, Seen::Nonsense));
        assert!(matches!(look("HTTP/1.1 200 O", Method::GET).0, Seen::More));
        assert!(matches!(look("SSH-2.0-x\r\n", Method::GET).0, Seen::Nonsense));
    }
}
