//! Requests' bodies on their way to instances: streamed, limited, never held.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::guard::Verdict;
use crate::headers;
use crate::server::Tuning;

/// What a body may fail with.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// How slowly a client may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long it may send nothing.
    idle: Duration,
    /// What it has to send, in bytes per second of waiting for it, once it was waited for `grace`.
    rate: u64,
    grace: Duration,
}

impl Pace {
    /// By the gateway's limits.
    pub(crate) fn of(tuning: &Tuning) -> Pace {
        Pace { idle: tuning.body_idle, rate: tuning.body_rate, grace: tuning.body_grace }
    }
}

/// How far a request's body has come, shared between the body and whoever waits for the answer.
#[derive(Debug)]
pub(crate) struct Progress {
    since: Instant,
    pace: Pace,
    /// When the instance was last handed a part of the body, in microseconds after `since`.
    last_us: AtomicU64,
    /// Bytes that the client has sent.
    bytes: AtomicU64,
    /// Since when the client is waited for, in the same microseconds; 0 where it is not.
    waiting_us: AtomicU64,
    /// How long it was waited for in all, before that.
    waited_us: AtomicU64,
    ended: AtomicBool,
    too_large: AtomicBool,
    broken: AtomicBool,
    /// It was given up, since it came too slowly.
    given_up: AtomicBool,
    /// What is found out of it as it comes, where it is looked at.
    verdict: Option<Arc<Verdict>>,
}

impl Progress {
    fn new(pace: Pace, verdict: Option<Arc<Verdict>>) -> Progress {
        Progress {
            since: Instant::now(),
            pace,
            last_us: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            waiting_us: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            too_large: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            verdict,
        }
    }

    /// Of a body that has come as a whole and is being handed on at once.
    pub(crate) fn whole(pace: Pace) -> Arc<Progress> {
        let progress = Progress::new(pace, None);
        progress.ended.store(true, Release);
        Arc::new(progress)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn touch(&self, bytes: u64) {
        let now = self.now_us();
        self.last_us.store(now, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        let since = self.waiting_us.swap(0, Relaxed);
        if since > 0 {
            self.waited_us.fetch_add(now.saturating_sub(since), Relaxed);
        }
    }

    /// The instance would take more and the client has sent none.
    fn wait(&self) {
        // Whoever waits already goes on doing so.
        let _ = self.waiting_us.compare_exchange(0, self.now_us().max(1), Relaxed, Relaxed);
    }

    /// Whether the instance would take more, and the client has sent none.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.ended() && self.waiting_us.load(Relaxed) > 0
    }

    /// Whether nothing of it has come yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.bytes.load(Relaxed) == 0
    }

    /// Whether the client sends too slowly: nothing for too long, or too little for the time that it was waited for.
    pub(crate) fn starves(&self) -> bool {
        let Pace { idle, rate, grace } = self.pace;
        let since = self.waiting_us.load(Relaxed);
        let current = if since > 0 { self.now_us().saturating_sub(since) } else { 0 };
        let waited = Duration::from_micros(self.waited_us.load(Relaxed) + current);
        let least = rate as f64 * waited.as_secs_f64();
        Duration::from_micros(current) >= idle || (waited >= grace && (self.bytes.load(Relaxed) as f64) < least)
    }

    /// How often to ask that.
    pub(crate) fn look(&self) -> Duration {
        self.pace.idle.min(self.pace.grace) / 4
    }

    /// The client is waited for no longer.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Release);
    }

    /// When the instance was last handed a part of the body.
    pub(crate) fn last(&self) -> Instant {
        self.since + Duration::from_micros(self.last_us.load(Relaxed))
    }

    /// Whether the whole body has been handed on.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// Why the client is to blame that not all of it came, where it is: it grew beyond the route's limit, came too slowly, is
    /// malformed, or broke off.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if self.too_large.load(Acquire) {
            return Some(Fault::BodyTooLarge);
        }
        if self.given_up.load(Acquire) {
            return Some(Fault::BodyTimeout);
        }
        let malformed = || self.verdict.as_ref().and_then(|verdict| verdict.body());
        self.broken.load(Acquire).then(|| malformed().unwrap_or(Fault::BrokeOff))
    }
}

/// A request's body on its way to an instance.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    left: u64,
    progress: Option<Arc<Progress>>,
    /// All that there is, where it has come already.
    whole: Option<Bytes>,
    tee: Option<Tee>,
}

/// Keeps a copy of a body that is short enough.
#[derive(Debug)]
struct Tee {
    kept: BytesMut,
    most: usize,
    to: oneshot::Sender<Bytes>,
}

impl RequestBody {
    /// A client's body, of which at most `limit` bytes pass.
    pub(crate) fn new(inner: Incoming, limit: u64, pace: Pace, verdict: Option<Arc<Verdict>>) -> RequestBody {
        if inner.is_end_stream() {
            return RequestBody::empty();
        }
        RequestBody {
            inner: Some(inner),
            left: limit,
            progress: Some(Arc::new(Progress::new(pace, verdict))),
            whole: None,
            tee: None,
        }
    }

    /// No body.
    pub(crate) fn empty() -> RequestBody {
        RequestBody { inner: None, left: 0, progress: None, whole: None, tee: None }
    }

    /// A body that has come already.
    pub(crate) fn whole(bytes: Bytes) -> RequestBody {
        RequestBody { whole: Some(bytes), ..RequestBody::empty() }
    }

    /// Keeps a copy of it as it passes, and hands it out at its end: nothing where it is longer than `most`, or breaks off.
    /// `None` where there is no body.
    pub(crate) fn tee(&mut self, most: u64) -> Option<oneshot::Receiver<Bytes>> {
        self.inner.as_ref()?;
        let (to, copy) = oneshot::channel();
        self.tee = Some(Tee { kept: BytesMut::new(), most: usize::try_from(most).unwrap_or(usize::MAX), to });
        Some(copy)
    }

    /// How far it has come; `None` where there is no body.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
    }
}

impl Tee {
    fn hand_out(tee: &mut Option<Tee>) {
        if let Some(tee) = tee.take() {
            // Nobody waits for it any more where that took too long.
            let _ = tee.to.send(tee.kept.freeze());
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let (Some(inner), Some(progress)) = (&mut this.inner, &this.progress) else {
            return Poll::Ready(this.whole.take().filter(|all| !all.is_empty()).map(|all| Ok(Frame::data(all))));
        };
        let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else {
            progress.wait();
            return Poll::Pending;
        };
        let bytes = |frame: &Frame<Bytes>| frame.data_ref().map_or(0, |data| data.len() as u64);
        progress.touch(frame.as_ref().and_then(|f| f.as_ref().ok()).map_or(0, bytes));
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::fit_request_trailers(trailers);
                }
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                if size > this.left {
                    progress.too_large.store(true, Release);
                    return Poll::Ready(Some(Err("the request's body is larger than the route allows".into())));
                }
                this.left -= size;
                if let (Some(tee), Some(data)) = (&mut this.tee, frame.data_ref()) {
                    match tee.kept.len() + data.len() > tee.most {
                        true => this.tee = None,
                        false => tee.kept.extend_from_slice(data),
                    }
                }
                if inner.is_end_stream() {
                    progress.ended.store(true, Release);
                    Tee::hand_out(&mut this.tee);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                progress.broken.store(true, Release);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                progress.ended.store(true, Release);
                Tee::hand_out(&mut this.tee);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.whole.as_ref().map_or(0, |whole| whole.len() as u64);
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(whole), Body::size_hint)
    }
}
