//! One client connection from its first byte to its end, whatever carries it: HTTP/1.1 behind the guard, or HTTP/2
//! where the client begins with its preface. Accepting and TLS are not its business.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::guard::Guarded;
use crate::handle;
use crate::stalls::{Abrupt, Stalls};
use crate::untaken::Streams;

/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams that a client reset before they were looked at; with more of them the connection ends.
const RESETS: usize = 20;
/// Bytes of an answer that may wait for an HTTP/2 client, for each of its streams.
const STREAM_BYTES: usize = 64 << 10;
/// Streams that were reset because of what the client sent; with more of them the connection ends.
const ERRORS: usize = 256;
/// How long an HTTP/2 client may be silent before it is asked whether it is there, and may take to say so.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// Files that the process needs besides a pair for each connection.
const SPARE_FILES: u64 = 128;

/// Serves a connection to its end. `proto`: what the client believes to speak, `http` or `https`.
pub(crate) async fn serve<S>(gateway: Arc<Gateway>, stream: S, address: SocketAddr, proto: &'static str)
where
    S: AsyncRead + AsyncWrite + Abrupt + Unpin + Send + 'static,
{
    let client = Client { address, proto, verdict: None, reset: Arc::default() };
    let mut stream = Stalls::new(stream, gateway.tuning.write_idle, client.reset.clone());
    let begun = tokio::select! {
        begun = tokio::time::timeout(gateway.tuning.header_timeout, begin(&mut stream)) => begun,
        () = gateway.closing.cancelled() => return,
        () = gateway.stopped.cancelled() => return,
    };
    let Ok(Ok((before, two))) = begun else { return };
    speak(&gateway, client, Rewound { before, inner: stream }, two).await;
}

/// Serves what is left of a connection that begins with `before` at a request's first byte; `two`: with the preface of
/// HTTP/2, which only a connection's own first bytes are.
pub(crate) async fn resume<S>(gateway: Arc<Gateway>, stream: S, before: BytesMut, address: SocketAddr, two: bool)
where
    S: AsyncRead + AsyncWrite + Abrupt + Unpin + Send + 'static,
{
    let client = Client { address, proto: "http", verdict: None, reset: Arc::default() };
    let inner = Stalls::new(stream, gateway.tuning.write_idle, client.reset.clone());
    speak(&gateway, client, Rewound { before, inner }, two).await;
}

async fn speak<S>(gateway: &Arc<Gateway>, client: Client, stream: Rewound<S>, two: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = if two { serve_two(gateway, client, stream).await } else { serve_one(gateway, client, stream).await };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client connection ended");
    }
}

/// Reads until it is clear whether this is HTTP/2; what was read, and whether it is.
async fn begin<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(BytesMut, bool)> {
    let mut before = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut before).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(two) = begins_with_preface(&before) {
            return Ok((before, two));
        }
    }
}

/// Whether a connection that begins with these bytes is one of HTTP/2; `None` where that is not clear yet.
pub(crate) fn begins_with_preface(bytes: &[u8]) -> Option<bool> {
    let compared = bytes.len().min(PREFACE.len());
    if bytes[..compared] != PREFACE[..compared] {
        return Some(false);
    }
    (compared == PREFACE.len()).then_some(true)
}

async fn serve_one<S>(gateway: &Arc<Gateway>, client: Client, stream: Rewound<S>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, verdict) = Guarded::new(stream, &gateway.tuning);
    let client = Client { verdict: Some(verdict), ..client };
    let service = service_fn(|request| {
        let (gateway, client) = (gateway.clone(), client.clone());
        async move {
            let mut answer = handle::handle(&gateway, &client, request).await;
            if let Ok(answer) = &mut answer
                && gateway.draining.is_cancelled()
                && answer.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                // Said with an answer it costs nobody a request, unlike a connection that is closed while nothing goes on.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // The connection ends by it, and takes with it whatever the client has sent behind this request.
            client.reset.store(answer.is_err(), Release);
            answer
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gateway.tuning.header_timeout)
        .max_buf_size((gateway.tuning.header_bytes + gateway.tuning.uri_bytes).max(64 << 10) * 2)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What has been read already is answered, even where the gateway begins to close.
        biased;
        ended = &mut connection => return ended,
        () = gateway.stopped.cancelled() => return Ok(()),
        () = gateway.closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = &mut connection => ended,
        () = gateway.stopped.cancelled() => Ok(()),
    }
}

async fn serve_two<S>(gateway: &Arc<Gateway>, client: Client, stream: Rewound<S>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (gateway, client) = (gateway.clone(), client.clone());
        // Where it fails, its stream alone is reset.
        async move { handle::handle(&gateway, &client, request).await }
    });
    let most = u32::try_from(gateway.tuning.header_bytes + gateway.tuning.uri_bytes).unwrap_or(u32::MAX);
    let connection = hyper::server::conn::http2::Builder::new(Streams::new(gateway.tuning.write_idle))
        .timer(TokioTimer::new())
        .max_concurrent_streams(gateway.tuning.streams)
        .max_send_buf_size(STREAM_BYTES)
        .max_header_list_size(most)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .keep_alive_interval(ASK_AFTER)
        .keep_alive_timeout(ASK_AFTER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = gateway.stopped.cancelled() => return Ok(()),
        () = gateway.closing.cancelled() => {}
        () = gateway.draining.cancelled() => {}
    }
    // Whatever the client sends before it has heard of it is still answered (RFC 9113, section 6.8).
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = &mut connection => ended,
        () = gateway.stopped.cancelled() => Ok(()),
    }
}

/// Tells a client that there are too many, and takes what it sends for a moment, so that it gets to read that.
pub(crate) async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let body = "{\"error\":\"connection_limit_reached\",\"status\":503,\"message\":\"the gateway has as many connections as it may have\"}\n";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\nproxy-status: slipway; error=connection_limit_reached; \
         details=\"the gateway has as many connections as it may have\"\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut discarded = [0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that does not listen is let go of.
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}

/// How many client connections the process has files for, once it may have as many files as it is ever allowed.
pub(crate) fn room() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Where it is refused, what holds now goes on holding.
    let raised = current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let files = if raised { maximum } else { current };
    files
        .map_or(usize::MAX, |files| usize::try_from(files.saturating_sub(SPARE_FILES) / 2).unwrap_or(usize::MAX))
        .max(1)
}

/// A stream some of whose bytes were read already.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    before: BytesMut,
    inner: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.before.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, out);
        }
        let taken = this.before.len().min(out.remaining());
        out.put_slice(&this.before[..taken]);
        this.before.advance(taken);
        if this.before.is_empty() {
            this.before = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
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
