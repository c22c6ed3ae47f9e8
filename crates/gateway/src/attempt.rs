//! One attempt to get a request answered by one instance, and what it counts for.
//!
//! An attempt is counted exactly once, however it ends: at the head where that is already bad or the body is an
//! event stream, otherwise at the end of the body. A client that goes away before the head has come leaves no
//! attempt behind, only the fact that the head took that long.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::body::Progress;
use crate::count::VersionCounts;
use crate::grpc;
use crate::inject;
use crate::served::Pick;
use crate::upstream::{Connection, Sender, Upstream};

/// What an attempt is counted for as well, and how long the answer to its copy is waited for.
pub(crate) type Twin = (Arc<VersionCounts>, Duration);

/// One attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pick: Pick,
    key: u64,
    started: Instant,
    progress: Option<Arc<Progress>>,
    /// It is counted, but is no evidence: a fault was injected into it, and its version is the one that serves.
    apart: bool,
    /// Where it is counted as well, since a copy of it went elsewhere, and how long that one's answer is waited for.
    twin: Option<Twin>,
    /// Its answer began later than a copy's is waited for.
    late: bool,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Answering,
    Counted,
}

impl Attempt {
    /// Began with the choice of an instance at `started`, so that the time to connect to it counts. `retry`: another
    /// attempt had failed before.
    pub(crate) fn begin(
        pick: Pick,
        started: Instant,
        key: u64,
        retry: bool,
        progress: Option<Arc<Progress>>,
    ) -> Attempt {
        pick.upstream.begin(retry);
        Attempt { pick, key, started, progress, apart: false, twin: None, late: false, state: State::Waiting }
    }

    /// A copy of it goes elsewhere: what comes of it is counted there too, by the limit that holds for the copy.
    pub(crate) fn copied(&mut self, twin: Option<Twin>) {
        self.twin = twin;
    }

    /// A fault was injected; `newly`: into no attempt before that was none.
    pub(crate) fn injected(&mut self, newly: bool) {
        self.apart = !inject::is_evidence(&self.pick);
        if newly {
            self.each(VersionCounts::injected);
        }
    }

    /// Where it went.
    pub(crate) fn pick(&self) -> &Pick {
        &self.pick
    }

    /// How long the instance has had: since it was chosen, or since it was last handed a part of the body.
    pub(crate) fn waited(&self) -> Duration {
        let since = self.progress.as_ref().map_or(self.started, |p| p.last().max(self.started));
        since.elapsed()
    }

    /// The connection failed, the answer was none, or it did not come in time.
    pub(crate) fn failed(mut self) {
        self.no_head();
        self.count(true);
    }

    /// It says nothing about the version: a pooled connection had run out, or the client sent what was refused.
    pub(crate) fn forget(mut self) {
        self.state = State::Counted;
    }

    /// The response head has come.
    pub(crate) fn head(&mut self, status: http::StatusCode, stream: bool) {
        let (key, waited) = (self.key, self.waited());
        self.late = self.twin.as_ref().is_some_and(|(_, limit)| waited > *limit);
        if !stream && !self.apart {
            self.each(|counts| counts.head(key, waited));
        }
        self.state = State::Answering;
        if status.is_server_error() {
            self.count(true);
        } else if stream {
            self.count(false);
        }
    }

    /// All of the answer's body has come.
    pub(crate) fn complete(mut self) {
        self.count(false);
    }

    /// The answer's body broke off; `was_cut`: by the gateway.
    pub(crate) fn truncated(mut self, was_cut: bool) {
        if !was_cut {
            return self.count(true);
        }
        // The version did nothing wrong; its time was over. Event streams were counted at their head and end so.
        if self.state == State::Answering {
            self.each(VersionCounts::failed_by_slipway);
        }
    }

    fn count(&mut self, failed: bool) {
        if self.state == State::Counted {
            return;
        }
        self.state = State::Counted;
        let (key, apart, late) = (self.key, self.apart, self.late);
        let end = |counts: &VersionCounts, failed| match apart {
            true => counts.ended_apart(failed),
            false => counts.ended(key, failed),
        };
        self.own(|counts| end(counts, failed));
        if let Some((twin, _)) = &self.twin {
            end(twin, failed || late);
        }
        if failed {
            self.pick.upstream.tallies.failed.fetch_add(1, Relaxed);
        }
    }

    fn no_head(&self) {
        let (key, waited) = (self.key, self.waited());
        if !self.apart {
            self.each(|counts| counts.no_head(key, waited));
        }
    }

    fn own(&self, act: impl Fn(&VersionCounts)) {
        act(self.pick.counts());
        act(&self.pick.version().lifetime);
    }

    fn each(&self, act: impl Fn(&VersionCounts)) {
        self.own(&act);
        self.twin.iter().for_each(|(twin, _)| act(twin));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        match self.state {
            State::Waiting => self.no_head(),
            State::Answering => self.count(false),
            State::Counted => {}
        }
        self.pick.upstream.end();
    }
}

/// An attempt whose response body is on its way. Dropped unfinished, the client went away.
#[derive(Debug)]
pub(crate) struct Answer {
    attempt: Attempt,
    sender: Sender,
    /// An answer of gRPC: how its call ended is said at its end.
    grpc: Option<grpc::Outcome>,
    connection: Arc<Connection>,
}

impl Answer {
    /// The response head has come on `connection`; its body follows.
    pub(crate) fn new(attempt: Attempt, sender: Sender, connection: Arc<Connection>, headers: &HeaderMap) -> Answer {
        let grpc = grpc::is(headers).then(|| grpc::Outcome::of(headers));
        Answer { attempt, sender, connection, grpc }
    }

    /// How far the request's body has come, where there is one.
    pub(crate) fn progress(&self) -> Option<&Arc<Progress>> {
        self.attempt.progress.as_ref()
    }

    /// All of the body has come: the connection may serve again.
    pub(crate) fn complete(self) {
        let Answer { mut attempt, sender, connection, grpc } = self;
        attempt.count(grpc.is_some_and(|outcome| outcome.is_failure()));
        let upstream: Arc<Upstream> = attempt.pick.upstream.clone();
        match attempt.progress.take().filter(|progress| !progress.ended()) {
            None => upstream.put_back(sender, connection),
            // While the request is still being sent the connection cannot take another.
            Some(progress) => see_off(progress, &connection),
        }
    }

    /// The trailers have come, and with them the end.
    pub(crate) fn trailers(mut self, trailers: &HeaderMap) {
        if let Some(outcome) = &mut self.grpc {
            *outcome = grpc::Outcome::of(trailers);
        }
        self.complete();
    }

    /// The body broke off. What the client did wrong meanwhile is no failure: then it counts as where the client went away.
    pub(crate) fn truncated(self) {
        if self.attempt.progress.as_ref().is_none_or(|progress| progress.fault().is_none()) {
            self.attempt.truncated(self.connection.was_cut());
        }
    }
}

/// Sees to it that the rest of a request whose answer is complete comes in time, or the connection is cut: nobody else
/// waits for it any more.
fn see_off(progress: Arc<Progress>, connection: &Arc<Connection>) {
    // It holds one of the places for connections, which this must not do.
    let connection = Arc::downgrade(connection);
    // Where there is no runtime any more, there is no connection either.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(progress.look()).await;
            let Some(connection) = connection.upgrade().filter(|_| !progress.ended()) else { return };
            if progress.starves() {
                return connection.cut_now();
            }
        }
    });
}
