use proptest::collection;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::fast;

/// Feeds `bytes` in pieces of `size`: how many pass, and what was wrong.
fn fed(bytes: &[u8], size: usize) -> (usize, Option<Fault>) {
    let mut inspector = Inspector::new(&Tuning::default());
    let (mut waiting, mut passed) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        waiting.extend_from_slice(piece);
        match inspector.examine(&waiting) {
            Ok(n) => {
                waiting.drain(..n);
                passed += n;
            }
            Err(wrong) => return (passed + wrong.after, Some(wrong.fault)),
        }
    }
    (passed, None)
}

#[test]
fn what_is_sound_passes_whole_however_it_is_cut_into_pieces() {
    let sound: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a:80\r\nX:\t y z \r\n\r\n",
        b"\r\nPOST /x?y=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n\r\nxGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET http://a/x HTTP/1.1\r\nhost: A\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n\x81\x00\n\n\x00",
    ];
    for bytes in sound {
        for size in 1..=bytes.len() {
            assert_eq!(fed(bytes, size), (bytes.len(), None), "{} by {size}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn what_comes_after_a_refused_head_never_passes() {
    let first = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let second = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /";
    let bytes = [&first[..], second].concat();
    for size in 1..=bytes.len() {
        let (passed, wrong) = fed(&bytes, size);
        assert_eq!(passed, first.len(), "by {size}");
        assert!(matches!(wrong, Some(Fault::Malformed(_))), "{wrong:?}");
    }
}

#[test]
fn an_offer_of_http_2_is_no_change_of_protocol() {
    let offered =
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\r\nGET / HTTP/1.1\nx";
    assert!(matches!(fed(offered, offered.len()).1, Some(Fault::Malformed(_))), "what follows is still looked at");
}

#[tokio::test]
async fn idle_connections_hold_no_memory() {
    use tokio::io::AsyncReadExt;
    let (mut far, near) = tokio::io::duplex(4096);
    let (mut guarded, _) = Guarded::new(near, &Tuning::default());
    let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut far, head).await.unwrap();
    let mut bytes = vec![0; head.len()];
    guarded.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, head);
    let waits = std::future::poll_fn(|cx| {
        let mut more = [0; 16];
        Poll::Ready(Pin::new(&mut guarded).poll_read(cx, &mut ReadBuf::new(&mut more)).is_pending())
    });
    assert!(waits.await);
    assert_eq!(guarded.buffer.capacity(), 0);
}

/// Requests, some of them sound, with some bytes changed, left out or put in.
fn almost_a_request() -> impl Strategy<Value = Vec<u8>> {
    let line = select(&["GET / HTTP/1.1", "POST /a?b=c HTTP/1.1", "HEAD /%20 HTTP/1.1", "GET http://a/ HTTP/1.1"][..]);
    let fields = &[
        "Host: a\r\n",
        "Host: b\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: upgrade\r\n",
        "Upgrade: x\r\n",
        "Cookie: a=b\r\n",
        "X-A:\t1 \r\n",
        " folded\r\n",
    ][..];
    let fields = collection::vec(select(fields), 0..5).prop_map(|fields| fields.concat());
    let body = select(&["", "abc", "abcGET / HTTP/1.1\r\nHost: a\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"][..]);
    let change = (any::<usize>(), 0..3u8, select(&b"\r\n\0 \t:;,a1_\x7f\xff"[..]));
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => collection::vec(change, 1..3)];
    (line, fields, body, changes).prop_map(|(line, fields, body, changes)| {
        let mut bytes = format!("{line}\r\nHost: a\r\n{fields}\r\n{body}").into_bytes();
        for (place, how, byte) in changes {
            let place = place % bytes.len();
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_short_way_takes_is_one_request_for_the_guard_as_well(bytes in almost_a_request()) {
        let tuning = Tuning::default();
        if let fast::Seen::Request(head) = fast::parse(&bytes, &mut fast::room(), &tuning) {
            let size = head.size + head.body;
            let mut inspector = Inspector::new(&tuning);
            prop_assert_eq!(inspector.examine(&bytes[..size]), Ok(size));
            prop_assert!(inspector.is_between_requests() && !inspector.opaque_next);
            let mut shorter = Inspector::new(&tuning);
            let _ = shorter.examine(&bytes[..size - 1]);
            prop_assert!(!shorter.is_between_requests(), "it ends sooner");
        }
    }
}
