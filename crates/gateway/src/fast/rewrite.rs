//! The head that an instance gets, in one pass over the client's: the same that `headers::to_instance` makes of it.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::fast::head::{Head, List, Meaning, meaning};

/// What of a client's address stands in every head that it sends.
#[derive(Debug)]
pub(crate) struct From {
    /// For `X-Forwarded-For`.
    plain: String,
    /// For `Forwarded`.
    quoted: String,
}

impl From {
    /// Of a client at `address`.
    pub(crate) fn new(address: IpAddr) -> From {
        let address = address.to_canonical();
        let mut quoted = String::from("for=");
        // Writing to memory does not fail.
        let _ = match address {
            IpAddr::V4(v4) => write!(quoted, "{v4};host=\""),
            IpAddr::V6(v6) => write!(quoted, "\"[{v6}]\";host=\""),
        };
        From { plain: address.to_string(), quoted }
    }
}

/// Writes the head, with the empty line.
pub(crate) fn write(head: &Head<'_, '_>, from: &From, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut lists: [&[u8]; 3] = [b""; 3];
    for field in head.fields {
        match meaning(field.name) {
            Meaning::Passes | Meaning::Host | Meaning::Length | Meaning::Cookie | Meaning::Kind => {
                let start = out.len();
                out.extend_from_slice(field.name.as_bytes());
                out[start..].make_ascii_lowercase();
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value);
                out.extend_from_slice(b"\r\n");
            }
            Meaning::Grows(list) => lists[list as usize] = field.value,
            Meaning::Stays | Meaning::Connection | Meaning::SaidAnew | Meaning::Unknown => {}
        }
    }
    let list = |out: &mut Vec<u8>, name: &[u8], list: List| {
        out.extend_from_slice(name);
        let before = lists[list as usize];
        if !before.trim_ascii().is_empty() {
            out.extend_from_slice(before);
            out.extend_from_slice(b", ");
        }
    };
    list(out, b"x-forwarded-for: ", List::For);
    out.extend_from_slice(from.plain.as_bytes());
    out.extend_from_slice(b"\r\nx-forwarded-proto: http\r\nx-forwarded-host: ");
    out.extend_from_slice(head.host.as_bytes());
    list(out, b"\r\nforwarded: ", List::Forwarded);
    out.extend_from_slice(from.quoted.as_bytes());
    out.extend_from_slice(head.host.as_bytes());
    out.extend_from_slice(b"\";proto=http");
    list(out, b"\r\nvia: ", List::Via);
    out.extend_from_slice(b"1.1 slipway\r\n\r\n");
}
