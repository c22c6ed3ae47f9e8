//! Gives up on a peer that takes nothing of what is ready for it: what waits to be written holds memory here and a
//! connection to an instance. Reading has limits elsewhere. It ends abruptly where a fault was injected that says so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// A stream whose writes fail once none has gone on for the limit.
#[derive(Debug)]
pub(crate) struct Stalls<S> {
    inner: S,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    reset: Arc<AtomicBool>,
    abrupt: fn(&S),
}

/// A stream that can end without a farewell.
pub(crate) trait Abrupt {
    /// Its peer is to see it reset once it is closed.
    fn abrupt(&self);
}

impl Abrupt for TcpStream {
    fn abrupt(&self) {
        // A socket that refuses is closed all the same.
        let _ = self.set_zero_linger();
    }
}

impl Abrupt for DuplexStream {
    fn abrupt(&self) {}
}

impl<S> Abrupt for TlsStream<S>
where
    S: Abrupt,
{
    fn abrupt(&self) {
        self.get_ref().0.abrupt();
    }
}

impl<S: Abrupt> Stalls<S> {
    /// Watches over `inner`, and resets it in the end where `reset` says so.
    pub(crate) fn new(inner: S, limit: Duration, reset: Arc<AtomicBool>) -> Stalls<S> {
        Stalls { inner, limit, waiting: None, reset, abrupt: S::abrupt }
    }
}

impl<S> Drop for Stalls<S> {
    fn drop(&mut self) {
        if self.reset.load(Acquire) {
            (self.abrupt)(&self.inner);
        }
    }
}

impl<S> Stalls<S> {
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalls<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalls<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.watch(cx, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        // What a stream without a buffer has flushed says nothing about writes that wait.
        if polled.is_ready() { polled } else { this.watch(cx, polled) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        this.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
