use super::*;

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
