//! Stands between a client's connection and the HTTP/1 server, and lets through only what can be read in one way.
//!
//! Request smuggling lives on two readers who see different requests in the same bytes. So every head and every
//! chunk is held to the letter of RFC 9112 here, before the server parses it: one way to end a line, one length, one
//! coding, one host. What does not fit never reaches the server: a bad head is replaced by a request that only the
//! gateway knows, which is answered in its turn, after the ones before it; a bad body ends in an error. Either way the
//! connection is closed. Bytes that pass are never changed. Chooses no route and knows no instance.

mod chunks;
mod head;
pub(crate) mod response;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

use crate::fault::Fault;
use crate::server::Tuning;
use chunks::Chunks;
use head::{Body, Head};
pub(crate) use head::{MOST_FIELDS, is_host, is_target_byte};

/// How much is read at once.
const READ: usize = 8 << 10;
/// Bytes of a refused request that are still taken, so that the client gets to read why it was refused.
const LINGER_BYTES: usize = 512 << 10;
/// How long they are.
const LINGER: Duration = Duration::from_secs(1);

/// What a guard found out, for whoever answers the connection's requests.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    refused: OnceLock<(Fault, String)>,
    body: OnceLock<Fault>,
    opaque: AtomicBool,
    switched: AtomicBool,
}

impl Verdict {
    /// Why this request, which stands for one that was refused, is refused.
    pub(crate) fn refusal<B>(&self, request: &Request<B>) -> Option<Fault> {
        let (fault, path) = self.refused.get()?;
        (request.uri().path() == path).then_some(*fault)
    }

    /// What is wrong with the body of the last request, where anything is.
    pub(crate) fn body(&self) -> Option<Fault> {
        self.body.get().copied()
    }

    /// Whether the bytes that follow are not looked at any more, because a change of protocol was asked for: where it
    /// does not come about, the connection has to be closed.
    pub(crate) fn is_opaque(&self) -> bool {
        self.opaque.load(Acquire)
    }

    /// It has come about.
    pub(crate) fn switch(&self) {
        self.switched.store(true, Release);
    }
}

/// What is expected next.
#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunks(Chunks),
    Opaque,
}

/// What was wrong, and from which byte on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The bytes before it, which may pass.
    pub(crate) after: usize,
    fault: Fault,
    /// In a request's head, or in its body.
    pub(crate) in_head: bool,
}

/// Follows the requests of a connection byte by byte.
#[derive(Debug)]
pub(crate) struct Inspector {
    state: State,
    opaque_next: bool,
    header_bytes: usize,
    uri_bytes: usize,
}

impl Inspector {
    /// Before the first byte.
    pub(crate) fn new(tuning: &Tuning) -> Inspector {
        let state = State::Head(Head::default());
        Inspector { state, opaque_next: false, header_bytes: tuning.header_bytes, uri_bytes: tuning.uri_bytes }
    }

    /// How many of `bytes`, which are all that came and did not pass yet, may pass.
    pub(crate) fn examine(&mut self, bytes: &[u8]) -> Result<usize, Wrong> {
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            match &mut self.state {
                State::Opaque => return Ok(bytes.len()),
                State::Head(head) => {
                    let found = head.scan(rest, self.header_bytes, self.uri_bytes);
                    let Some((length, framing)) =
                        found.map_err(|fault| Wrong { after: passed, fault, in_head: true })?
                    else {
                        return Ok(passed);
                    };
                    passed += length;
                    self.opaque_next = framing.opaque;
                    self.state = match framing.body {
                        Body::Length(length) => State::Length(length),
                        Body::Chunked => State::Chunks(Chunks::new(self.header_bytes)),
                    };
                }
                State::Length(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    passed += taken;
                    *left -= taken as u64;
                    if *left > 0 {
                        return Ok(passed);
                    }
                    self.state = self.after_body();
                }
                State::Chunks(chunks) => {
                    let (taken, ended) = chunks.scan(rest).map_err(|(taken, fault)| Wrong {
                        after: passed + taken,
                        fault,
                        in_head: false,
                    })?;
                    passed += taken;
                    if !ended {
                        return Ok(passed);
                    }
                    self.state = self.after_body();
                }
            }
        }
    }

    fn after_body(&self) -> State {
        if self.opaque_next { State::Opaque } else { State::Head(Head::default()) }
    }

    /// Whether nothing of a request is outstanding.
    pub(crate) fn is_between_requests(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_untouched())
    }

    /// Whether nothing that comes is looked at any more.
    pub(crate) fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque)
    }
}

/// A connection whose requests are looked at before they are read.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    inner: S,
    buffer: BytesMut,
    /// How many bytes at the front of `buffer` may be read.
    passed: usize,
    inspector: Inspector,
    verdict: Arc<Verdict>,
    wrong_in_head: Option<bool>,
    lingered: usize,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    /// Guards `inner`, and tells what it finds in the verdict.
    pub(crate) fn new(inner: S, tuning: &Tuning) -> (Guarded<S>, Arc<Verdict>) {
        let verdict = Arc::new(Verdict::default());
        let guarded = Guarded {
            inner,
            buffer: BytesMut::new(),
            passed: 0,
            inspector: Inspector::new(tuning),
            verdict: verdict.clone(),
            wrong_in_head: None,
            lingered: 0,
            linger: None,
        };
        (guarded, verdict)
    }

    fn look(&mut self) {
        match self.inspector.examine(&self.buffer) {
            Ok(passed) => self.passed = passed,
            Err(wrong) => {
                tracing::debug!(error = ?wrong.fault, "a request is refused");
                self.buffer.truncate(wrong.after);
                if wrong.in_head {
                    let path = format!("/.slipway/refused/{:032x}", rand::random::<u128>());
                    let stands_for_it = format!("GET {path} HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n");
                    self.buffer.extend_from_slice(stands_for_it.as_bytes());
                    // The first word counts; nothing is looked at after it.
                    let _ = self.verdict.refused.set((wrong.fault, path));
                } else {
                    let _ = self.verdict.body.set(wrong.fault);
                }
                self.passed = self.buffer.len();
                self.wrong_in_head = Some(wrong.in_head);
            }
        }
        if self.inspector.opaque_next {
            self.verdict.opaque.store(true, Release);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passed > 0 {
                let taken = this.passed.min(out.remaining());
                out.put_slice(&this.buffer[..taken]);
                this.buffer.advance(taken);
                this.passed -= taken;
                return Poll::Ready(Ok(()));
            }
            match this.wrong_in_head {
                // The answer to what stands for the request ends the connection.
                Some(true) => return Poll::Pending,
                Some(false) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the body is malformed")));
                }
                None => {}
            }
            if this.buffer.is_empty() {
                // Connections that wait for their next request hold no memory for it.
                this.buffer = BytesMut::new();
            }
            let mut chunk = std::mem::take(&mut this.buffer);
            let read = {
                chunk.reserve(if chunk.is_empty() { READ } else { READ.max(chunk.len()) });
                poll_read_buf(Pin::new(&mut this.inner), cx, &mut chunk)
            };
            if read.is_pending() && chunk.is_empty() {
                chunk = BytesMut::new();
            }
            this.buffer = chunk;
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(()));
            }
            this.look();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    /// Where bytes are left unread, closing at once would take the answer from the client: they are read first, within
    /// bounds.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            // What comes over a connection that carries another protocol is somebody's to read, also after this side's end.
            let is_read = this.verdict.switched.load(Acquire) || this.inspector.is_between_requests();
            if this.wrong_in_head.is_none() && is_read {
                return Poll::Ready(Ok(()));
            }
        }
        let limit = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        while this.lingered < LINGER_BYTES {
            if limit.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut bytes = [0; 4096];
            let mut discarded = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut discarded)) {
                Ok(()) if !discarded.filled().is_empty() => this.lingered += discarded.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
