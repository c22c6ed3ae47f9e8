//! One request that was taken: to an instance, and the answer back. The same steps as in `proxy`.

use std::future::poll_fn;
use std::io::{self, Write};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use slipway_core::traffic::Protocol;

use crate::attempt::Attempt;
use crate::body::{Pace, Progress};
use crate::course::Loss;
use crate::fast::answer::{self, Answer, Framing, Seen};
use crate::fast::chunks::{Chunks, Malformed};
use crate::fast::link::Raw;
use crate::fast::session::{After, Plan, Session, Unwritten};
use crate::fast::watch::Alarm;
use crate::fault::Fault;
use crate::served::{Pick, Served};
use crate::upstream::{ConnectError, Upstream};

/// How a request ended.
enum Ended {
    /// The client has its answer; whether the connection goes on.
    Answered(bool),
    /// The gateway has to answer itself.
    Faulty(Fault),
    /// The client has gone, or must be let go in the middle of an answer.
    Gone,
    /// It is for the long way.
    NotTaken,
}

/// What waiting for an instance came to.
enum Came {
    /// Bytes, or none any more.
    Bytes(usize),
    /// The connection broke.
    Broken,
    /// The gateway cut it.
    Cut,
    /// The deadline has passed.
    Late,
    /// The client has gone, or the gateway is ending.
    Gone,
}

/// What one attempt came to.
enum Tried {
    /// An answer's head.
    Head(Answer),
    /// Once more, if the course allows.
    Lost(Loss),
    /// The gateway cut the connection.
    Cut,
    /// No head in time.
    Late,
    /// The client has gone.
    Gone,
}

/// A connection, and how long it had been idle; `None` where it is new.
type Ready = (Raw, Option<Duration>);

impl<'a> Session<'a> {
    /// Answers the request.
    pub(super) async fn exchange(&mut self, mut plan: Plan<'a>) -> After {
        let goes_on = match self.run_course(&mut plan).await {
            Ended::Answered(goes_on) => goes_on,
            Ended::Gone => false,
            Ended::NotTaken => return After::NotTaken,
            Ended::Faulty(fault) => {
                plan.course.blame(fault);
                answer::own(fault, &mut self.reply);
                let close = self.end_head(&plan);
                if plan.method != http::Method::HEAD {
                    self.reply.extend_from_slice(fault.body().as_bytes());
                }
                self.watch.until(None);
                self.write(None).await.is_ok() && !close
            }
        };
        if goes_on { After::GoesOn } else { After::Ended }
    }

    async fn run_course(&mut self, plan: &mut Plan<'a>) -> Ended {
        let mut fault = Fault::NoInstance;
        loop {
            let served = self.gateway.current().await;
            let pick = match plan.course.choose(&served) {
                Ok(pick) => pick,
                Err(none) => return Ended::Faulty(none.unwrap_or(fault)),
            };
            if pick.upstream.protocol != Protocol::Http1 {
                // A newer table says so. Where something was sent already, that was the last attempt.
                return if plan.course.is_assigned() { Ended::Faulty(fault) } else { Ended::NotTaken };
            }
            let mut chosen = Instant::now();
            let ready = match self.connection(plan, &pick, &mut chosen).await {
                Some(ready) => ready,
                None => return Ended::Gone,
            };
            let (mut raw, idle_for) = match ready {
                Ok(ready) => ready,
                // It left the table while it was being connected to, and may have ended since.
                Err(_) if pick.upstream.is_retired() => continue,
                Err(error) => match plan.course.unreachable(pick, chosen, error) {
                    Ok(why) => {
                        fault = why;
                        continue;
                    }
                    Err(last) => return Ended::Faulty(last),
                },
            };
            let Some((attempt, sent)) = self.hand_over(plan, &served, &pick, chosen, &raw) else {
                pick.upstream.put_back_raw(raw);
                continue;
            };
            let since = if plan.has_body { Instant::now() } else { chosen };
            self.watch.until(Some(since + pick.route.route.limits.response.as_duration()));
            match self.head(plan, &mut raw, sent).await {
                Tried::Head(answer) => return self.pass_on(plan, answer, attempt, raw, &pick.upstream).await,
                Tried::Gone => return Ended::Gone,
                Tried::Late => {
                    attempt.failed();
                    return Ended::Faulty(Fault::ResponseTimeout);
                }
                Tried::Cut => {
                    attempt.forget();
                    return Ended::Faulty(Fault::Drained);
                }
                Tried::Lost(loss) => {
                    if let Err(fault) = plan.course.lost(attempt, Loss { idle_for, ..loss }) {
                        return Ended::Faulty(fault);
                    }
                }
            }
        }
    }

    /// A connection to the instance, pooled or new; `None` where the client has gone meanwhile. `chosen` moves on by what
    /// the gateway itself had no room for.
    async fn connection(
        &mut self,
        plan: &Plan<'a>,
        pick: &Pick,
        chosen: &mut Instant,
    ) -> Option<Result<Ready, ConnectError>> {
        if let Some((raw, idle)) = pick.upstream.raw.take(plan.course.fresh_enough(), *chosen) {
            return Some(Ok((raw, Some(idle))));
        }
        let limit = self.gateway.tuning.connect_timeout;
        let mut opening = Box::pin(pick.upstream.open_raw(&self.gateway.places, limit, chosen));
        self.watch.until(None);
        poll_fn(|cx| {
            if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                return Poll::Ready(Some(opened.map(|raw| (raw, None))));
            }
            let ends = self.watch.poll(cx).is_some() || self.is_gone(cx);
            if ends { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Hands the request to the connection, unless something else is served by now; how much went at once.
    fn hand_over(
        &self,
        plan: &mut Plan<'a>,
        served: &Served,
        pick: &Pick,
        chosen: Instant,
        raw: &Raw,
    ) -> Option<(Attempt, io::Result<usize>)> {
        let _unchanged = self.gateway.dispatch(served)?;
        let progress = plan.has_body.then(|| Progress::whole(Pace::of(&self.gateway.tuning)));
        raw.connection.begin(chosen);
        let attempt = plan.course.begin(pick, chosen, progress);
        Some((attempt, raw.try_write(&self.request)))
    }

    /// Sends what is left of the request, and waits for the head.
    async fn head(&mut self, plan: &Plan<'a>, raw: &mut Raw, sent: io::Result<usize>) -> Tried {
        let mut sent = match sent {
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return lost(true, false, false),
        };
        while sent < self.request.len() {
            match self.send(raw, sent).await {
                Came::Bytes(size) => sent += size,
                Came::Broken if sent == 0 => return lost(true, false, false),
                // It may have answered before it had read all of it.
                Came::Broken => break,
                Came::Cut => return Tried::Cut,
                Came::Late => return Tried::Late,
                Came::Gone => return Tried::Gone,
            }
        }
        let mut begun = false;
        loop {
            while !raw.answer.is_empty() {
                match answer::parse(&raw.answer, &plan.method, &mut self.reply) {
                    Seen::Head(mut answer, size) => {
                        raw.answer.advance(size);
                        answer.early = sent < self.request.len();
                        return Tried::Head(answer);
                    }
                    Seen::Interim(size) => raw.answer.advance(size),
                    Seen::More => break,
                    Seen::Nonsense => return lost(false, true, true),
                }
            }
            match self.receive(raw).await {
                Came::Bytes(size) if size > 0 => begun = true,
                Came::Bytes(_) | Came::Broken => return lost(false, begun, false),
                Came::Cut => return Tried::Cut,
                Came::Late => return Tried::Late,
                Came::Gone => return Tried::Gone,
            }
        }
    }

    /// Passes the answer on to its end.
    async fn pass_on(
        &mut self,
        plan: &Plan<'a>,
        answer: Answer,
        mut attempt: Attempt,
        mut raw: Raw,
        upstream: &std::sync::Arc<Upstream>,
    ) -> Ended {
        if answer.stream {
            raw.connection.make_long();
        }
        attempt.head(answer.status, answer.stream);
        self.watch.until(None);
        if plan.course.hands_back_key()
            && let Some(cookie) = plan.course.key.set_cookie()
        {
            self.reply.extend_from_slice(b"set-cookie: ");
            self.reply.extend_from_slice(cookie.as_bytes());
            self.reply.extend_from_slice(b"\r\n");
        }
        let close = self.end_head(plan);
        let limit = (!answer.stream).then(|| attempt.pick().route.route.limits.response.as_duration());
        let mut body = Body::of(answer.framing);
        loop {
            match body.take(&mut raw.answer, &mut self.reply) {
                Ok(true) => break,
                Ok(false) => {}
                Err(Malformed) => return truncated(attempt, &raw),
            }
            match self.write(Some(&raw)).await {
                Ok(()) => self.reply.clear(),
                Err(Unwritten::Gone) => return Ended::Gone,
                Err(Unwritten::Cut) => {
                    attempt.truncated(true);
                    return Ended::Gone;
                }
            }
            self.watch.until(limit.map(|limit| Instant::now() + limit));
            match self.receive(&mut raw).await {
                Came::Bytes(size) if size > 0 => {}
                Came::Bytes(_) if body.ends_with_connection(&mut self.reply) => break,
                // By a reset, since it had not read everything.
                Came::Broken if answer.early && body.ends_with_connection(&mut self.reply) => break,
                Came::Bytes(_) | Came::Broken | Came::Cut | Came::Late => return truncated(attempt, &raw),
                Came::Gone => return Ended::Gone,
            }
        }
        attempt.complete();
        if answer.reusable && !answer.early && raw.answer.is_empty() {
            raw.rest(Instant::now());
            upstream.put_back_raw(raw);
        }
        Ended::Answered(self.write(None).await.is_ok() && !close)
    }

    /// Ends the head of the reply; whether it says that the connection ends.
    fn end_head(&mut self, plan: &Plan<'a>) -> bool {
        let close = plan.close || self.gateway.closing.is_cancelled() || self.gives_way();
        self.reply.extend_from_slice(if close { b"connection: close\r\n\r\n" } else { b"\r\n" });
        close
    }

    async fn send(&mut self, raw: &mut Raw, sent: usize) -> Came {
        poll_fn(|cx| {
            if let Poll::Ready(written) = raw.poll_write(cx, &self.request[sent..]) {
                return Poll::Ready(written.map_or(Came::Broken, Came::Bytes));
            }
            self.poll_end(raw, cx)
        })
        .await
    }

    async fn receive(&mut self, raw: &mut Raw) -> Came {
        poll_fn(|cx| {
            if let Poll::Ready(read) = raw.poll_read(cx) {
                let broken = |_| if raw.connection.was_cut() { Came::Cut } else { Came::Broken };
                return Poll::Ready(read.map_or_else(broken, Came::Bytes));
            }
            self.poll_end(raw, cx)
        })
        .await
    }

    /// Whether waiting for the instance has come to an end by anything but its bytes.
    fn poll_end(&mut self, raw: &Raw, cx: &mut std::task::Context<'_>) -> Poll<Came> {
        match self.watch.poll(cx) {
            Some(Alarm::Stopped) => return Poll::Ready(Came::Gone),
            Some(Alarm::Late) => return Poll::Ready(Came::Late),
            None => {}
        }
        if raw.connection.is_cut(cx.waker()) {
            return Poll::Ready(Came::Cut);
        }
        if self.is_gone(cx) { Poll::Ready(Came::Gone) } else { Poll::Pending }
    }
}

/// No answer; the caller knows how long the connection had been idle.
fn lost(never_sent: bool, begun: bool, protocol: bool) -> Tried {
    Tried::Lost(Loss { never_sent, begun, protocol, idle_for: None })
}

/// The answer broke off, and the client's connection ends as well, so that it is not taken for whole.
fn truncated(attempt: Attempt, raw: &Raw) -> Ended {
    attempt.truncated(raw.connection.was_cut());
    Ended::Gone
}

/// How far an answer's body has come.
#[derive(Debug)]
enum Body {
    Left(u64),
    Chunked(Chunks, Vec<u8>),
    UntilClose,
}

impl Body {
    fn of(framing: Framing) -> Body {
        match framing {
            Framing::None => Body::Left(0),
            Framing::Length(length) => Body::Left(length),
            Framing::Chunked => Body::Chunked(Chunks::default(), Vec::new()),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// Moves what has come to the reply; whether that was all.
    fn take(&mut self, from: &mut BytesMut, reply: &mut Vec<u8>) -> Result<bool, Malformed> {
        match self {
            Body::Left(left) => {
                let size = usize::try_from(*left).map_or(from.len(), |left| left.min(from.len()));
                reply.extend_from_slice(&from[..size]);
                from.advance(size);
                *left -= size as u64;
                Ok(*left == 0)
            }
            Body::Chunked(chunks, data) => {
                data.clear();
                let read = chunks.read(from, data);
                chunk(data, reply);
                from.advance(read?);
                if chunks.is_done() {
                    reply.extend_from_slice(b"0\r\n\r\n");
                }
                Ok(chunks.is_done())
            }
            Body::UntilClose => {
                chunk(from, reply);
                from.clear();
                Ok(false)
            }
        }
    }

    /// Whether the body ends where the connection does.
    fn ends_with_connection(&self, reply: &mut Vec<u8>) -> bool {
        let ends = matches!(self, Body::UntilClose);
        if ends {
            reply.extend_from_slice(b"0\r\n\r\n");
        }
        ends
    }
}

fn chunk(data: &[u8], reply: &mut Vec<u8>) {
    if !data.is_empty() {
        // Writing to memory does not fail.
        let _ = write!(reply, "{:X}\r\n", data.len());
        reply.extend_from_slice(data);
        reply.extend_from_slice(b"\r\n");
    }
}
