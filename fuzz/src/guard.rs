//! A client's bytes at the gateway's guard: what it lets through can be read in one way, however the bytes came.
//!
//! The other reader is [`crate::plain`]. Where the two see a request end in different places there is room for a second
//! request that only one of them sees.

use slipway_gateway::inspect::{Passed, Refused, passed, taken};

use crate::plain::{self, Rest};

/// How HTTP/2 begins, which goes past the guard to another server.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Hands `bytes` to the guard whole, byte by byte and in pieces, and reads what passed once more.
pub fn run(bytes: &[u8]) {
    if bytes.starts_with(PREFACE) {
        return;
    }
    let each = passed(bytes, 1);
    for size in [2, 7, 64, bytes.len()] {
        let other = passed(bytes, size);
        assert_eq!(
            (other.bytes, other.refused, other.opaque),
            (each.bytes, each.refused, each.opaque),
            "in pieces of {size}"
        );
        assert!(other.ends.iter().all(|end| each.ends.contains(end)), "in pieces of {size}");
    }
    assert!(each.bytes <= bytes.len() && (each.refused.is_some() || each.bytes <= bytes.len()));
    read_alike(bytes, &each);
    taken_alike(bytes, &each);
}

/// What the short way takes, the guard lets through as one request that ends there, and the other reader sees it too.
fn taken_alike(bytes: &[u8], by_guard: &Passed) {
    let Some(end) = taken(bytes) else { return };
    assert_eq!(by_guard.ends.first(), Some(&end), "the short way takes what the guard does not: {by_guard:?}");
    let alone = passed(&bytes[..end], 1);
    assert_eq!((alone.bytes, &alone.ends[..], alone.refused, alone.opaque), (end, &[end][..], None, false));
    let (requests, rest) = plain::requests(&bytes[..end]);
    assert_eq!((requests.len(), rest), (1, Rest::Nothing), "{requests:?}");
    // Neither does it take a part of it for the whole.
    assert_eq!(taken(&bytes[..end - 1]), None);
}

fn read_alike(bytes: &[u8], by_guard: &Passed) {
    let (requests, rest) = plain::requests(&bytes[..by_guard.bytes]);
    for (request, end) in requests.iter().zip(&by_guard.ends) {
        assert_eq!(request.end, *end, "two readers see {} {} end differently", request.method, request.target);
        assert!(request.values("content-length").count() <= 1 && request.values("transfer-encoding").count() <= 1);
        assert!(request.values("host").count() <= 1, "{:?}", request.headers);
    }
    if by_guard.opaque {
        // What follows is not looked at, and the gateway reads no request from it either.
        return;
    }
    if rest == Rest::Broken {
        // The other reader refuses it: then it ends the connection, and nothing that follows is a request to it.
        assert!(requests.len() <= by_guard.ends.len(), "{requests:?} {by_guard:?}");
        return;
    }
    assert_eq!(requests.len(), by_guard.ends.len(), "{requests:?} {by_guard:?}");
    match by_guard.refused {
        Some(Refused::Head) => assert_eq!(rest, Rest::Nothing, "a head that is refused passes in part"),
        Some(Refused::Body) => assert_eq!(rest, Rest::Begun, "a body that is refused looks whole"),
        None => {}
    }
}
