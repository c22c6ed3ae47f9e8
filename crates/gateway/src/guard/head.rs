//! A request's head, line by line. Every line is judged as soon as it is complete, so that what is wrong is known
//! before more of it has to be kept.

use crate::fault::Fault;
use crate::headers::protocols;

/// Header fields that a request may have.
pub(crate) const MOST_FIELDS: usize = 100;

/// How a request's body is framed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes, also none.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What follows a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framing {
    /// The body.
    pub(super) body: Body,
    /// Another protocol was asked for: after the body come bytes that need not be HTTP.
    pub(super) opaque: bool,
}

/// A head that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that is not complete, and how far it was looked at.
    line: usize,
    scanned: usize,
    fields: usize,
    request_line: bool,
    connect: bool,
    old: bool,
    authority: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
}

impl Head {
    /// Whether nothing of it has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.scanned == 0
    }

    /// Looks at `bytes`, which begin where the head begins. Its length and what follows it, once it is complete.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        header_bytes: usize,
        uri_bytes: usize,
    ) -> Result<Option<(usize, Framing)>, Fault> {
        while self.scanned < bytes.len() {
            let byte = bytes[self.scanned];
            let before = (self.scanned > self.line).then(|| bytes[self.scanned - 1]);
            self.scanned += 1;
            if before == Some(b'\r') && byte != b'\n' {
                return Err(Fault::Malformed("a line of the request's head holds a carriage return"));
            }
            if byte == b'\n' {
                if before != Some(b'\r') {
                    return Err(Fault::Malformed("a line of the request's head does not end in CR LF"));
                }
                let line = &bytes[self.line..self.scanned - 2];
                self.line = self.scanned;
                if self.take(line)? {
                    return Ok(Some((self.scanned, self.framing()?)));
                }
            } else if (byte < b' ' && byte != b'\t' && byte != b'\r') || byte == 0x7f {
                return Err(Fault::Malformed("the request's head holds a control character"));
            }
            if !self.request_line && self.scanned > uri_bytes + header_bytes {
                return Err(Fault::UriTooLong);
            }
            if self.scanned > uri_bytes + header_bytes + 1024 {
                return Err(Fault::HeadersTooLarge);
            }
        }
        Ok(None)
    }

    /// Takes a line without its end; whether it was the last one.
    fn take(&mut self, line: &[u8]) -> Result<bool, Fault> {
        if !self.request_line {
            // Some clients end a body with an empty line that is no part of it (RFC 9112, section 2.2).
            if !line.is_empty() {
                self.request_line = true;
                self.start(line)?;
            }
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err(Fault::HeadersTooLarge);
        }
        let (name, value) = field(line)?;
        match &*name.to_ascii_lowercase() {
            b"host" => {
                if self.host.replace(value.to_vec()).is_some() {
                    return Err(Fault::Malformed("the request names more than one Host"));
                }
                if !is_host(value) {
                    return Err(Fault::Malformed("the request's Host is not a host"));
                }
            }
            b"content-length" => {
                let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
                let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|v| v.parse().ok());
                let length = length.ok_or(Fault::Malformed("the request's Content-Length is not one number"))?;
                if self.length.replace(length).is_some() {
                    return Err(Fault::Malformed("the request has more than one Content-Length"));
                }
            }
            b"transfer-encoding" => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Malformed("the request's Transfer-Encoding is not chunked alone"));
                }
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Fault::Malformed("the request has more than one Transfer-Encoding"));
                }
            }
            b"connection" => {
                let mut names = value.split(|b| *b == b',');
                self.connection_upgrade |= names.any(|n| n.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
            }
            b"upgrade" => self.upgrade |= protocols(value).next().is_some(),
            _ => {}
        }
        Ok(false)
    }

    /// The request line: method, target, version, with one space between them.
    fn start(&mut self, line: &[u8]) -> Result<(), Fault> {
        let parts: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        let [method, target, version] = parts[..] else {
            return Err(Fault::Malformed("the request line is not a method, a target and a version"));
        };
        if method.is_empty() || method.len() > 32 || !method.iter().all(|b| is_token_byte(*b)) {
            return Err(Fault::Malformed("the request's method is no method"));
        }
        self.old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ if version.starts_with(b"HTTP/") => return Err(Fault::Version),
            _ => return Err(Fault::Malformed("the request line is not a method, a target and a version")),
        };
        self.connect = method == b"CONNECT";
        let bad = Fault::Malformed("the request's target is not one that can be forwarded");
        // What the server behind this one cannot read it would answer without a word.
        let readable = self.connect || http::Uri::try_from(target).is_ok();
        if !readable || !target.iter().all(|b| is_target_byte(*b)) {
            return Err(bad);
        }
        if self.connect || target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
            return Ok(());
        }
        let after_scheme = strip_scheme(target).ok_or(bad)?;
        let end = after_scheme.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(after_scheme.len());
        let authority = &after_scheme[..end];
        if authority.is_empty() || !is_host(authority) {
            return Err(bad);
        }
        self.authority = Some(authority.to_vec());
        Ok(())
    }

    fn framing(&self) -> Result<Framing, Fault> {
        match (&self.host, &self.authority) {
            (None, _) if !self.old => return Err(Fault::Malformed("the request names no Host")),
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                return Err(Fault::Malformed("the request's target and its Host are not the same"));
            }
            _ => {}
        }
        if self.chunked && self.length.is_some() {
            return Err(Fault::Malformed("the request has both a Content-Length and a Transfer-Encoding"));
        }
        if self.chunked && self.old {
            return Err(Fault::Malformed("a request of HTTP/1.0 has a Transfer-Encoding"));
        }
        if self.connect && (self.chunked || self.length.is_some()) {
            return Err(Fault::Malformed("a CONNECT has a body"));
        }
        let body = if self.chunked { Body::Chunked } else { Body::Length(self.length.unwrap_or(0)) };
        Ok(Framing { body, opaque: self.connect || (self.upgrade && self.connection_upgrade && !self.old) })
    }
}

/// Name and value of a header line, without the space around the value.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Fault::Malformed("a header is folded over two lines"));
    }
    let colon = line.iter().position(|b| *b == b':');
    let colon = colon.ok_or(Fault::Malformed("a line of the request's headers has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|b| is_token_byte(*b)) {
        return Err(Fault::Malformed("a header's name is no name"));
    }
    Ok((name, value.trim_ascii()))
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// What a token of RFC 9110 (section 5.6.2) is made of.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether this is a host, with a port that can be one, where it names a port; no user, no list, no path.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    // Colons in brackets are an address's own.
    let after = bytes.iter().rposition(|byte| *byte == b']').map_or(0, |bracket| bracket + 1);
    let port = bytes[after..].iter().rposition(|byte| *byte == b':').map(|colon| &bytes[after + colon + 1..]);
    bytes.iter().all(|byte| is_host_byte(*byte)) && port.is_none_or(is_port)
}

/// Whether it is a port, or none (RFC 3986, section 3.2.3).
fn is_port(bytes: &[u8]) -> bool {
    let digits = bytes.iter().all(u8::is_ascii_digit);
    digits
        && bytes.iter().fold(0_u32, |port, digit| port.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
            <= 65_535
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

/// What may stand in a target that is forwarded, among the bytes that the parser takes.
pub(crate) fn is_target_byte(byte: u8) -> bool {
    !matches!(byte, b'#' | b'\t' | b'\\' | b'"' | b'<' | b'>')
}
