//! A client's connection: reads requests, says which of them it takes, and writes answers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use http::Method;
use slipway_core::traffic::Protocol;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::cohort;
use crate::connection::begins_with_preface;
use crate::course::Course;
use crate::fast::head::{self, Seen};
use crate::fast::link::Raw;
use crate::fast::rewrite::{self, From};
use crate::fast::watch::{Alarm, Watch};
use crate::gateway::Gateway;
use crate::headers;
use crate::key::Key;
use crate::request::host_name;

/// Read from a client at once.
const PIECE: usize = 2 << 10;
/// Larger buffers are given back after a request.
const KEPT: usize = 32 << 10;
/// Pieces in which a head may come, since each is looked at from the first byte on.
const MOST_PIECES: u32 = 8;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    client: TcpStream,
    from: From,
    /// What the client has sent and nobody has used.
    input: BytesMut,
    /// How much of it is the request that is being answered: it stays until it is clear that this way answers it.
    current: usize,
    /// Requests that were answered.
    answered: u64,
    /// Pieces in which the head that is waited for has come so far.
    pieces: u32,
    /// The request as the instance gets it.
    pub(super) request: Vec<u8>,
    /// The next bytes for the client.
    pub(super) reply: Vec<u8>,
    pub(super) watch: Watch,
}

/// A request that is taken.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) course: Course<'a>,
    pub(super) method: Method,
    pub(super) has_body: bool,
    /// The client wants no further answer.
    pub(super) close: bool,
}

/// What came of a request that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It was answered, and the connection waits for the next.
    GoesOn,
    /// The connection ends.
    Ended,
    /// After all it is not for this way: nothing of it has been sent or counted.
    NotTaken,
}

enum Planned<'a> {
    Taken(Box<Plan<'a>>),
    More,
    HandOver,
}

/// Why nothing more is written to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// The client has gone, or the gateway is ending.
    Gone,
    /// The connection that the answer comes from was cut.
    Cut,
}

impl<'a> Session<'a> {
    /// The session of a connection that was just accepted.
    pub(crate) fn new(gateway: &'a Arc<Gateway>, client: TcpStream, address: SocketAddr) -> Session<'a> {
        let deadline = Instant::now() + gateway.tuning.header_timeout;
        Session {
            gateway,
            client,
            from: From::new(address.ip()),
            input: BytesMut::new(),
            current: 0,
            answered: 0,
            pieces: 0,
            request: Vec::new(),
            reply: Vec::new(),
            watch: Watch::new(&gateway.stopped, &gateway.closing, deadline),
        }
    }

    /// The connection, where it is handed on.
    pub(crate) fn into_client(self) -> TcpStream {
        self.client
    }

    /// Serves requests until the connection ends; or until one comes that is not taken: then the bytes from its first on,
    /// and whether they are those of an HTTP/2 connection.
    pub(crate) async fn run(&mut self) -> Option<(BytesMut, bool)> {
        loop {
            let plan = loop {
                match self.plan() {
                    Planned::Taken(plan) => break plan,
                    Planned::HandOver => return Some(self.give_up()),
                    Planned::More => {}
                }
                if !self.fill().await {
                    return None;
                }
            };
            match self.exchange(*plan).await {
                After::GoesOn => {}
                After::Ended => return None,
                After::NotTaken => return Some(self.give_up()),
            }
            self.input.advance(std::mem::take(&mut self.current));
            self.answered += 1;
            self.pieces = 0;
            self.watch.until(Some(Instant::now() + self.gateway.tuning.header_timeout));
            if self.request.capacity() > KEPT {
                self.request = Vec::new();
            }
            if self.reply.capacity() > KEPT {
                self.reply = Vec::new();
            }
        }
    }

    /// Whether another process serves in this one's place, so that the client had better go there with its next request;
    /// not where that has come already.
    pub(super) fn gives_way(&self) -> bool {
        self.gateway.draining.is_cancelled() && self.input.len() == self.current
    }

    fn give_up(&mut self) -> (BytesMut, bool) {
        let two = self.answered == 0 && begins_with_preface(&self.input) == Some(true);
        (std::mem::take(&mut self.input), two)
    }

    /// Looks at what has come so far.
    fn plan(&mut self) -> Planned<'a> {
        if self.input.is_empty() {
            return Planned::More;
        }
        if self.answered == 0 && self.input.starts_with(b"PRI") {
            return if begins_with_preface(&self.input).is_none() { Planned::More } else { Planned::HandOver };
        }
        let gateway = self.gateway;
        let mut room = head::room();
        let head = match head::parse(&self.input, &mut room, &gateway.tuning) {
            Seen::Request(head) => head,
            Seen::More if self.pieces < MOST_PIECES => return Planned::More,
            Seen::More | Seen::Unknown => return Planned::HandOver,
        };
        let host = host_name(head.host);
        let served = gateway.served();
        let Some(route) = served.find(&host, head.path) else { return Planned::HandOver };
        if route.route.maintenance.is_some()
            || !route.faults.is_empty()
            || route.mirror.is_some()
            || head.body as u64 > route.route.limits.body_bytes
        {
            return Planned::HandOver;
        }
        if route.route.versions.iter().any(|version| version.protocol != Protocol::Http1) {
            return Planned::HandOver;
        }
        let key = Key::of(head.fields, &route.route.sticky);
        let cohort = cohort::of(head.fields, &route.cohorts);
        rewrite::write(&head, &self.from, &mut self.request);
        self.request.extend_from_slice(&self.input[head.size..head.size + head.body]);
        let repeatable = headers::is_idempotent(&head.method) && head.body == 0;
        let names = (host, head.path.to_string());
        let course = Course::new(gateway, names, (key, cohort), route.clone(), repeatable);
        self.current = head.size + head.body;
        let (has_body, close, method) = (head.body > 0, head.close, head.method);
        gateway.short_way.fetch_add(1, Relaxed);
        Planned::Taken(Box::new(Plan { course, method, has_body, close }))
    }

    /// Reads more of what the client sends; `false` where the connection is over.
    async fn fill(&mut self) -> bool {
        self.pieces += 1;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = self.poll_input(cx) {
                return Poll::Ready(read);
            }
            if self.watch.poll(cx).is_some() || self.gateway.closing.is_cancelled() {
                return Poll::Ready(false);
            }
            Poll::Pending
        })
        .await
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.input.reserve(PIECE);
        poll_read_buf(Pin::new(&mut self.client), cx, &mut self.input).map(|read| read.is_ok_and(|size| size > 0))
    }

    /// Whether the client has gone while it waits for an answer. Where it has sent the next request already, that is not
    /// looked for.
    pub(super) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.input.len() == self.current && self.poll_input(cx) == Poll::Ready(false)
    }

    /// Writes the reply. `raw` is the connection that more of it will come from.
    pub(super) async fn write(&mut self, raw: Option<&Raw>) -> Result<(), Unwritten> {
        let (mut sent, mut stalled) = (0, false);
        let written = std::future::poll_fn(|cx| {
            while sent < self.reply.len() {
                match Pin::new(&mut self.client).poll_write(cx, &self.reply[sent..]) {
                    Poll::Ready(Ok(size)) if size > 0 => (sent, stalled) = (sent + size, false),
                    Poll::Ready(_) => return Poll::Ready(Err(Unwritten::Gone)),
                    Poll::Pending => {
                        if !std::mem::replace(&mut stalled, true) {
                            self.watch.until(Some(Instant::now() + self.gateway.tuning.write_idle));
                        }
                        if raw.is_some_and(|raw| raw.connection.is_cut(cx.waker())) {
                            return Poll::Ready(Err(Unwritten::Cut));
                        }
                        return match self.watch.poll(cx) {
                            Some(Alarm::Stopped | Alarm::Late) => Poll::Ready(Err(Unwritten::Gone)),
                            None => Poll::Pending,
                        };
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await;
        self.watch.until(None);
        written
    }
}
