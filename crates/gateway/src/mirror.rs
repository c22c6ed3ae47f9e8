//! Mirroring: copies of some requests go to a version that no user meets yet, and its answers are thrown away.
//!
//! Nobody waits for a copy, and none is made where too many are under way, where the body is too large, or where the answer
//! to the request itself does not get as far as an instance. What comes of copies, and of the requests that were
//! copied, is counted apart from everything else. Only the long way copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use slipway_core::traffic::{Mirror, Role};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::attempt::Twin;
use crate::body::RequestBody;
use crate::count::VersionCounts;
use crate::gateway::Gateway;
use crate::guard;
use crate::headers;
use crate::request::copy_head;
use crate::sender::Sender;
use crate::served::{Pick, RouteState};
use crate::share::Share;
use crate::upstream::{ConnectError, Connection, Ready, Upstream};

/// How long a connection may have been idle that a copy goes on: nothing is sent a second time.
const FRESH: Duration = Duration::from_millis(500);

/// What is copied of a route, and what came of it.
#[derive(Debug)]
pub(crate) struct MirrorState {
    /// As it stands in the table.
    pub(crate) rule: Mirror,
    /// The place of the version that gets copies.
    pub(crate) to: usize,
    /// Counts of copies, and of what was copied, at each version in the route's order.
    pub(crate) counts: Vec<Arc<VersionCounts>>,
    places: Arc<Semaphore>,
    share: Share,
    /// Copies that were not made, for want of a place, of an instance, or of a body that is short enough.
    pub(crate) dropped: AtomicU64,
}

/// A copy that is about to be made.
#[derive(Debug)]
pub(crate) struct Copy {
    state: Arc<RouteState>,
    request: Request<RequestBody>,
    body: Option<oneshot::Receiver<Bytes>>,
    key: u64,
    _place: OwnedSemaphorePermit,
}

impl MirrorState {
    /// With counts of its own.
    pub(crate) fn new(rule: Mirror, to: usize, counts: Vec<Arc<VersionCounts>>) -> MirrorState {
        let places = Arc::new(Semaphore::new(rule.at_once as usize));
        MirrorState { rule, to, counts, places, share: Share::default(), dropped: AtomicU64::new(0) }
    }
}

/// A copy of this request, which is about to go by `pick`, where it is one of those that are copied.
pub(crate) fn copy(pick: &Pick, request: &mut Request<RequestBody>, key: u64) -> Option<Copy> {
    let mirror = pick.route.mirror.as_ref()?;
    let fits = pick.version().role == Role::Stable
        && pick.version != mirror.to
        && mirror.rule.methods.iter().any(|method| method == request.method().as_str());
    if !fits || !mirror.share.draws(mirror.rule.share) {
        return None;
    }
    let Ok(place) = mirror.places.clone().try_acquire_owned() else {
        mirror.dropped.fetch_add(1, Relaxed);
        return None;
    };
    let body = request.body_mut().tee(mirror.rule.body_bytes);
    let mut copy = copy_head(request);
    copy.headers_mut().insert(headers::SYNTHETIC, HeaderValue::from_static("mirror"));
    Some(Copy { state: pick.route.clone(), request: copy, body, key, _place: place })
}

impl Copy {
    /// What the request itself is counted for beside the rest.
    pub(crate) fn twin(&self, pick: &Pick) -> Option<Twin> {
        let mirror = self.state.mirror.as_ref()?;
        Some((mirror.counts.get(pick.version)?.clone(), mirror.rule.timeout.as_duration()))
    }

    /// Sends it, and forgets the answer. Nobody waits for this.
    pub(crate) fn send(self, gateway: &Arc<Gateway>) {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = gateway.stopped.cancelled() => {}
                () = self.run(&gateway) => {}
            }
        });
    }

    async fn run(self, gateway: &Gateway) {
        let Copy { state, mut request, body, key, _place } = self;
        let Some(mirror) = &state.mirror else { return };
        let limit = mirror.rule.timeout.as_duration();
        let whole = match body {
            None => Some(None),
            Some(body) => tokio::time::timeout(limit, body).await.ok().and_then(Result::ok).map(Some),
        };
        let Some(body) = whole else { return mirror.drop_one() };
        if let Some(bytes) = body {
            *request.body_mut() = RequestBody::whole(bytes);
        }
        let Some(counts) = mirror.counts.get(mirror.to) else { return };
        let Some(upstream) = mirror.begin(gateway, &state) else { return mirror.drop_one() };
        let mut began = Instant::now();
        let answered = tokio::time::timeout(limit, head(gateway, &upstream, request, &mut began)).await;
        match answered {
            Ok(Came::Head(answer)) => {
                let failed = answer.response.status().is_server_error();
                // As with the request itself, whose latency is not looked at either.
                let stream = headers::is_event_stream(answer.response.headers());
                if !stream {
                    counts.head(key, began.elapsed());
                }
                let broke_off = !stream && tokio::time::timeout(limit, answer.rest(&upstream)).await == Ok(false);
                counts.ended(key, failed || broke_off);
            }
            // Of the request itself the same is held against its version, beside its copy.
            Ok(Came::Nothing) | Err(_) => {
                counts.no_head(key, began.elapsed());
                counts.ended(key, true);
            }
            Ok(Came::NotSent) => mirror.drop_one(),
        }
        upstream.end();
    }
}

impl MirrorState {
    /// Notes a copy that was not made, or of which nothing is known.
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// An instance for a copy, which counts as in flight there from now on; `None` where none may be made any more: the table
    /// that ended it may be acknowledged already.
    fn begin(&self, gateway: &Gateway, state: &RouteState) -> Option<Arc<Upstream>> {
        let served = gateway.served();
        let _unchanged = gateway.dispatch(&served)?;
        let now = served.route(&state.lane)?;
        if !now.mirror.as_ref().is_some_and(|mirror| mirror.rule == self.rule) || now.route.epoch != state.route.epoch {
            return None;
        }
        let upstream = now.versions.get(self.to)?.any()?;
        upstream.begin(false);
        Some(upstream)
    }
}

/// What came of a copy that was to be sent.
enum Came {
    /// An answer has begun.
    Head(Box<Answer>),
    /// It was sent, and no answer begins any more.
    Nothing,
    /// It was not sent: the gateway itself had no room for it.
    NotSent,
}

/// An answer, of which only the end is of interest.
struct Answer {
    response: Response<Incoming>,
    sender: Sender,
    connection: Arc<Connection>,
}

impl Answer {
    /// Waits for its end; whether it came to one.
    async fn rest(self, upstream: &Upstream) -> bool {
        let mut body = self.response.into_body();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        upstream.put_back(self.sender, self.connection);
        true
    }
}

async fn head(
    gateway: &Gateway,
    upstream: &Arc<Upstream>,
    mut request: Request<RequestBody>,
    began: &mut Instant,
) -> Came {
    let mut fresh_enough = FRESH;
    loop {
        // Users come first: nobody is made to wait for a place, or to give one up.
        if !gateway.places.has_room() {
            return Came::NotSent;
        }
        let limit = gateway.tuning.connect_timeout;
        let Ready { mut sender, connection, idle_for } =
            match upstream.connection(fresh_enough, &gateway.places, limit, began).await {
                Ok(ready) => ready,
                Err(ConnectError::Own(_)) => return Came::NotSent,
                Err(_) => return Came::Nothing,
            };
        connection.listen(None);
        match sender.try_send_request(request).await {
            Ok(response) if guard::response::is_sound(&response) => {
                return Came::Head(Box::new(Answer { response, sender, connection }));
            }
            // As with a request of a user: a pooled connection that had run out was no attempt.
            Err(mut error) if idle_for.is_some() => match error.take_message() {
                Some(unsent) => (request, fresh_enough) = (unsent, Duration::ZERO),
                None => return Came::Nothing,
            },
            _ => return Came::Nothing,
        }
    }
}
