//! A connection to an instance as something that can be cut, whoever holds it: HTTP, a tunnel, the short way.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::{Upstream, lock};
use crate::body::Progress;
use crate::places::Place;
use crate::socket::Stream;

/// One connection to an instance, from its opening to its end, also after it was upgraded.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    upstream: Weak<Upstream>,
    /// It carries a WebSocket, an event stream or the like, and has the longer drain limit.
    long: AtomicBool,
    opened: Instant,
    /// When the last request was handed over, in microseconds after that.
    began_us: AtomicU64,
    /// Cancelled to cut it.
    cut: CancellationToken,
    /// Set before, for who looks for every request.
    cut_off: AtomicBool,
    /// Who is woken then besides.
    waker: Mutex<Option<Waker>>,
    /// Bytes have come since the last request was handed over.
    heard: AtomicBool,
    /// The request that was handed over last, where it has a body: what the instance does not take of it is let go, and its
    /// answer read all the same.
    body: Mutex<Option<Arc<Progress>>>,
    /// Something was.
    deaf: AtomicBool,
    place: Option<Place>,
}

impl Connection {
    /// A new one of `upstream`, which `cut` cuts.
    pub(super) fn new(id: u64, upstream: Weak<Upstream>, cut: CancellationToken, place: Option<Place>) -> Connection {
        Connection {
            id,
            upstream,
            long: AtomicBool::new(false),
            opened: Instant::now(),
            began_us: AtomicU64::new(0),
            cut,
            cut_off: AtomicBool::new(false),
            waker: Mutex::default(),
            heard: AtomicBool::new(false),
            body: Mutex::default(),
            deaf: AtomicBool::new(false),
            place,
        }
    }

    /// A request is about to be handed over for which the instance was chosen at `chosen`.
    pub(crate) fn begin(&self, chosen: Instant) {
        let after = chosen.saturating_duration_since(self.opened);
        self.began_us.store(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Release);
    }

    /// Whether what it carries began by `time`.
    pub(super) fn began_by(&self, time: Instant) -> bool {
        self.opened + Duration::from_micros(self.began_us.load(Acquire)) <= time
    }

    /// A request is about to be handed over, with this body.
    pub(crate) fn listen(&self, body: Option<Arc<Progress>>) {
        self.heard.store(false, Release);
        *lock(&self.body) = body;
    }

    /// What follows is no request's body: what the instance does not take of it is an error.
    pub(crate) fn switched(&self) {
        *lock(&self.body) = None;
    }

    /// Whether the instance did not take all of a request.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Acquire)
    }

    /// Writing failed. Whether that is let go, since an answer may have come, or be on its way.
    fn lets_go(&self, error: &io::Error) -> bool {
        let gone = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        let lets_go = gone && lock(&self.body).is_some();
        self.deaf.fetch_or(lets_go, AcqRel);
        lets_go
    }

    /// Whether the instance had hung up before it had all of a request: nothing is wrong then with how it did.
    fn hung_up_early(&self, error: &io::Error) -> bool {
        let unread = || lock(&self.body).as_ref().is_some_and(|body| self.is_deaf() || !body.ended());
        error.kind() == io::ErrorKind::ConnectionReset && self.was_heard() && unread()
    }

    /// Whether anything has come since a request was handed over. Where only raw bytes are read, their reader knows.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard.load(Acquire)
    }

    /// Whether somebody waits for a connection who could have one if this were closed.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_wanted)
    }

    /// From now on the ordinary drain limit holds.
    pub(super) fn make_ordinary(&self) {
        self.long.store(false, Release);
    }

    /// Whether the longer drain limit holds.
    pub(super) fn is_long(&self) -> bool {
        self.long.load(Acquire)
    }

    /// From now on the longer drain limit holds.
    pub(crate) fn make_long(&self) {
        self.long.store(true, Release);
    }

    /// Whether the gateway itself cut it.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Whether the gateway itself cut it; where it has not, the task is woken if it does. One task can wait so.
    pub(crate) fn is_cut(&self, waker: &Waker) -> bool {
        let mut held = lock(&self.waker);
        if held.as_ref().is_none_or(|held| !held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
        drop(held);
        self.is_cut_off()
    }

    /// Whether its drain limit was over. Unlike `was_cut`, it does not say so where the whole gateway has stopped.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Acquire)
    }

    pub(crate) fn cut_now(&self) {
        self.cut_off.store(true, Release);
        self.cut.cancel();
        let waiting = lock(&self.waker).take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Resolves when the connection is to be cut.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(upstream) = self.upstream.upgrade() {
            upstream.forget(self.id);
        }
    }
}

/// The bytes of a connection, which notes whether any come: HTTP as a library reads it does not tell half a head from
/// none. Nor does it read on where writing fails: an instance that answers before it has read all of a request, and hangs
/// up, is heard here to its end.
#[derive(Debug)]
pub(crate) struct Heard {
    stream: Stream,
    connection: Arc<Connection>,
}

impl Heard {
    /// Notes it on `connection`.
    pub(super) fn new(stream: Stream, connection: Arc<Connection>) -> Heard {
        Heard { stream, connection }
    }

    fn let_go(&self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if self.connection.lets_go(&error) => Poll::Ready(Ok(all)),
            written => written,
        }
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.heard.store(true, Release);
        }
        match read {
            Poll::Ready(Err(error)) if self.connection.hung_up_early(&error) => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.connection.is_deaf() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.let_go(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = parts.iter().map(|part| part.len()).sum();
        if self.connection.is_deaf() {
            return Poll::Ready(Ok(all));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.let_go(written, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
