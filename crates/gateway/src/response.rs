//! Answers' bodies on their way to clients: counted by how they end, logged, slowed down on purpose, never held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::access_log::Pending;
use crate::attempt::Answer;
use crate::body::{BoxError, Progress};
use crate::headers;
use crate::inject::Slow;
use crate::untaken::Taking;

/// How long an instance may be silent in the middle of its answer. Costs a timer only where it is waited for at all.
#[derive(Debug)]
struct Silence {
    limit: Duration,
    /// Since when; `None` while something is there.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn new(limit: Duration) -> Silence {
        Silence { limit, since: None, timer: None }
    }

    /// Whether it has run out, and not because the client is waited for: whoever is silent then may be until the client sends
    /// too slowly. Called while nothing is there; wakes the task when it has.
    fn poll(&mut self, client: Option<&Progress>, cx: &mut Context<'_>) -> Poll<&'static str> {
        let mut until = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match client {
                Some(client) if until <= now && client.is_waiting() => {
                    if client.starves() {
                        client.give_up();
                        return Poll::Ready("the request's body stopped coming");
                    }
                    self.since = Some(now);
                    until = now + self.limit;
                }
                Some(client) => until = until.max(Instant::from(client.last()) + self.limit),
                None => {}
            }
            if until <= now {
                return Poll::Ready("the instance fell silent in the middle of its answer");
            }
            // It was set for an earlier part.
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

/// The next part of an instance's body, or an error where it does not come in time.
fn poll_for_so_long(
    inner: &mut Incoming,
    silence: &mut Option<Silence>,
    client: Option<&Progress>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    let polled = Pin::new(inner).poll_frame(cx);
    match (polled, silence) {
        (Poll::Pending, Some(silence)) => silence.poll(client, cx).map(|why| Some(Err(why.into()))),
        (polled, silence) => {
            if let Some(silence) = silence {
                silence.since = None;
            }
            polled.map(|frame| frame.map(|frame| frame.map_err(BoxError::from)))
        }
    }
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    kind: Kind,
    log: Option<Pending>,
    slow: Option<Box<Slow>>,
    /// Whether the client takes it, where somebody looks after that.
    taking: Option<Arc<Taking>>,
}

#[derive(Debug)]
enum Kind {
    /// The gateway's own words.
    Own(Full<Bytes>),
    /// An instance's. The answer is told how it ends.
    Passing { inner: Incoming, answer: Option<Box<Answer>>, silence: Option<Silence> },
}

impl ResponseBody {
    /// The gateway's own words.
    pub(crate) fn own(text: impl Into<Bytes>) -> ResponseBody {
        ResponseBody::new(Kind::Own(Full::new(text.into())), true)
    }

    /// An instance's body. Where there is a `limit`, the instance has failed that sends nothing of it for so long; where there
    /// is none, the client may leave it as long as it likes as well.
    pub(crate) fn passing(inner: Incoming, answer: Answer, limit: Option<Duration>) -> ResponseBody {
        let kind = Kind::Passing { inner, answer: Some(Box::new(answer)), silence: limit.map(Silence::new) };
        ResponseBody::new(kind, limit.is_some())
    }

    fn new(kind: Kind, is_to_be_taken: bool) -> ResponseBody {
        let taking = Taking::current().filter(|_| is_to_be_taken);
        taking.iter().for_each(|taking| taking.gives());
        ResponseBody { kind, log: None, slow: None, taking }
    }

    /// Passes it on at so many bytes a second, for as long as the fault goes on.
    pub(crate) fn slow_down(&mut self, slow: Slow) {
        self.slow = Some(Box::new(slow));
    }

    /// Writes a line of the access log when the body has ended, however it ends.
    pub(crate) fn log(&mut self, pending: Pending) {
        self.log = Some(pending);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(slow) = &mut self.slow
            && let Some(piece) = ready!(slow.poll_piece(cx))
        {
            if let Some(log) = &mut self.log {
                log.sent(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let frame = match &mut self.kind {
            Kind::Own(own) => {
                return Pin::new(own).poll_frame(cx).map(|f| f.map(|f| f.map_err(|never| match never {})));
            }
            Kind::Passing { inner, answer, silence } => {
                let client = answer.as_ref().and_then(|answer| answer.progress()).map(|progress| &**progress);
                match poll_for_so_long(inner, silence, client, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(mut frame))) => {
                        // Nothing comes after trailers, and not every reader asks for it.
                        if let Some(trailers) = frame.trailers_mut() {
                            headers::fit_trailers(trailers);
                            answer.take().into_iter().for_each(|a| a.trailers(trailers));
                        }
                        Some(Ok(frame))
                    }
                    Poll::Ready(None) => {
                        answer.take().into_iter().for_each(|a| a.complete());
                        None
                    }
                    // Also where the gateway cut the connection: hyper ends the body of a dropped connection with an error.
                    Poll::Ready(Some(Err(error))) => {
                        answer.take().into_iter().for_each(|a| a.truncated());
                        Some(Err(error))
                    }
                }
            }
        };
        let frame = match (frame, &mut self.slow) {
            (Some(Ok(frame)), Some(slow)) if frame.is_data() => {
                slow.hold(frame.into_data().unwrap_or_default());
                return self.poll_next(cx);
            }
            (frame, _) => frame,
        };
        if let (Some(Ok(frame)), Some(log)) = (&frame, &mut self.log) {
            log.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(frame)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        this.taking.iter().for_each(|taking| taking.goes_on());
        let frame = this.poll_next(cx);
        if frame.is_ready() {
            this.taking.iter().for_each(|taking| taking.gives());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        if self.slow.as_ref().is_some_and(|slow| slow.held() > 0) {
            return false;
        }
        match &self.kind {
            Kind::Own(own) => own.is_end_stream(),
            Kind::Passing { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(own) => own.size_hint(),
            Kind::Passing { inner, .. } => {
                let (mut hint, held) = (inner.size_hint(), self.slow.as_ref().map_or(0, |slow| slow.held()));
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper.saturating_add(held));
                }
                hint.set_lower(hint.lower().saturating_add(held));
                hint
            }
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // A body of known length is dropped after its last byte without being asked for its end.
        if let Kind::Passing { inner, answer, .. } = &mut self.kind
            && inner.is_end_stream()
        {
            answer.take().into_iter().for_each(|a| a.complete());
        }
    }
}
