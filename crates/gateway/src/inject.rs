//! Faults that somebody injects on purpose, each until its time is over: which request meets one, and what it then does.
//!
//! What is decided here is decided once for a request, whatever becomes of it afterwards: no retry meets another. A request
//! that meets a fault is counted as one that did. What it is to the judge `attempt` says. Only the long way knows faults;
//! the short one hands over what belongs to a route that has some.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use slipway_core::names::LaneId;
use slipway_core::traffic::{InjectedFault, LONGEST_FAULT, Role, Route, RoutingTable};
use slipway_core::units::{Millis, Timestamp};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::cohort;
use crate::fault::Fault;
use crate::fields::Fields;
use crate::gateway::Gateway;
use crate::grpc;
use crate::response::ResponseBody;
use crate::served::{Pick, RouteState};
use crate::share::Share;

/// Pieces in which a slow body comes, a second.
const PIECES: u64 = 10;

/// The client is let go without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reset on purpose: a fault was injected")]
pub(crate) struct Reset;

/// What a fault's end is known by, over restarts.
pub(crate) type FaultId = (LaneId, u64);

/// When each fault of the table ends, on a clock that does not jump.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    ends: HashMap<FaultId, Instant>,
}

impl Terms {
    /// With what is left of faults that were remembered on disk.
    pub(crate) fn remembering(left: Vec<(FaultId, Duration)>, now: Instant) -> Terms {
        Terms { ends: left.into_iter().map(|(id, left)| (id, now + left)).collect() }
    }

    /// A newer table: the time of what is new in it begins, that of the rest goes on. `today`: what the day's clock says.
    pub(crate) fn start(&mut self, table: &RoutingTable, now: Instant, today: Timestamp) {
        let mut before = std::mem::take(&mut self.ends);
        for route in &table.routes {
            for fault in &route.faults {
                let id = (route.lane(), fault.number);
                let end = before.remove(&id).unwrap_or_else(|| now + left(fault, today));
                self.ends.insert(id, end);
            }
        }
    }

    /// The clock that these run by stood still for so long, and time did not.
    pub(crate) fn pass(&mut self, time: Duration, now: Instant) {
        self.ends.values_mut().for_each(|end| *end = end.checked_sub(time).unwrap_or(now));
    }

    /// When the next fault ends.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.ends.values().copied().filter(|end| *end > now).min()
    }

    /// When a fault ends; at once where it is not known.
    fn end(&self, lane: &LaneId, fault: &InjectedFault, now: Instant) -> Instant {
        // A table is built for the few who know no terms, too.
        self.ends.get(&(lane.clone(), fault.number)).copied().unwrap_or(now)
    }

    /// What is left of each, nothing where it is over.
    pub(crate) fn left(&self, now: Instant) -> Vec<(FaultId, Duration)> {
        self.ends.iter().map(|(id, end)| (id.clone(), end.saturating_duration_since(now))).collect()
    }
}

/// What is left of a fault that is new here: never more than its length, whatever the clocks say.
fn left(fault: &InjectedFault, today: Timestamp) -> Duration {
    let by_clock = Millis(fault.until.0.saturating_sub(today.0));
    fault.length.min(by_clock).min(LONGEST_FAULT).as_duration()
}

/// A fault that is in force.
#[derive(Debug)]
pub(crate) struct FaultState {
    /// As it stands in the table.
    pub(crate) fault: InjectedFault,
    until: Instant,
    ended: AtomicBool,
    share: Share,
}

impl FaultState {
    /// The faults of a route that are not over; those that were in force before go on, where they end when they were to.
    pub(crate) fn of(
        route: &Route,
        lane: &LaneId,
        terms: &Terms,
        earlier: Option<&RouteState>,
    ) -> Vec<Arc<FaultState>> {
        let now = Instant::now();
        let known = |fault: &InjectedFault, until: Instant| {
            let is_same = |known: &&Arc<FaultState>| known.fault == *fault && known.until == until;
            earlier.and_then(|route| route.faults.iter().find(is_same)).cloned()
        };
        let new = |fault: &InjectedFault, until: Instant| {
            Arc::new(FaultState { fault: fault.clone(), until, ended: false.into(), share: Share::default() })
        };
        let all = route.faults.iter().map(|fault| {
            let until = terms.end(lane, fault, now);
            known(fault, until).unwrap_or_else(|| new(fault, until))
        });
        all.filter(|state| state.until > now).collect()
    }

    /// Whether it goes on: its time is not over, and nobody has ended it.
    pub(crate) fn goes_on(&self) -> bool {
        !self.ended.load(Acquire) && Instant::now() < self.until
    }

    /// It stands in no table any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Release);
    }
}

/// The faults that a request could meet, and the one that it does.
#[derive(Debug, Default)]
pub(crate) struct Draw {
    /// Of whoever sends it.
    fits: Vec<Arc<FaultState>>,
    drawn: bool,
    hit: Option<Arc<FaultState>>,
}

impl Draw {
    /// Those for whoever sends such fields.
    pub(crate) fn of(fields: &(impl Fields + ?Sized), route: &RouteState) -> Draw {
        let is_for = |state: &&Arc<FaultState>| {
            state.fault.cohort.as_ref().is_none_or(|cohort| cohort::holds(fields, &cohort.rule))
        };
        Draw { fits: route.faults.iter().filter(is_for).cloned().collect(), ..Draw::default() }
    }

    /// The fault that this request meets where it goes by `pick`: always the same, and none once that is over.
    pub(crate) fn hit(&mut self, pick: &Pick) -> Option<Arc<FaultState>> {
        let applies = |state: &&Arc<FaultState>| state.goes_on() && state.fault.version == pick.version().name;
        if !std::mem::replace(&mut self.drawn, true) {
            self.hit = self.fits.iter().filter(applies).find(|state| state.share.draws(state.fault.share)).cloned();
        }
        self.hit.as_ref().filter(applies).cloned()
    }
}

/// What paces an answer's body.
#[derive(Debug)]
pub(crate) struct Slow {
    fault: Arc<FaultState>,
    rate: u64,
    closing: CancellationToken,
    held: Bytes,
    next: Pin<Box<Sleep>>,
}

impl Slow {
    /// So many bytes a second, at least one, until the gateway is `closing`: what it drains is not to take longer.
    pub(crate) fn new(fault: Arc<FaultState>, rate: u64, closing: CancellationToken) -> Slow {
        let next = Box::pin(tokio::time::sleep(Duration::ZERO));
        Slow { fault, rate: rate.max(1), closing, held: Bytes::new(), next }
    }

    /// Holds what has come. Called only while nothing is held.
    pub(crate) fn hold(&mut self, bytes: Bytes) {
        self.held = bytes;
    }

    /// How much is held.
    pub(crate) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// The next piece of what is held, once it is time; all of it once the fault is over, or the gateway closes.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.held.is_empty() {
            return Poll::Ready(None);
        }
        if !self.fault.goes_on() || self.closing.is_cancelled() {
            return Poll::Ready(Some(std::mem::take(&mut self.held)));
        }
        ready!(self.next.as_mut().poll(cx));
        let size =
            usize::try_from(self.rate.div_ceil(PIECES)).map_or(self.held.len(), |size| size.min(self.held.len()));
        let pause = Duration::from_secs_f64(size as f64 / self.rate as f64);
        self.next.as_mut().reset(tokio::time::Instant::now() + pause);
        Poll::Ready(Some(self.held.split_to(size)))
    }
}

/// Whether injected faults count like a version's own. Those of one that is coming do, a first release too, so that the judge can
/// be tried; those of the version that serves would hide what a candidate does.
pub(crate) fn is_evidence(pick: &Pick) -> bool {
    let version = pick.version();
    let judged = |state: &Arc<FaultState>| state.fault.judged && state.fault.version == version.name;
    version.role == Role::Candidate || pick.route.faults.iter().any(judged)
}

/// Holds a request back for so long, unless the fault ends meanwhile or the gateway does.
pub(crate) async fn hold(gateway: &Gateway, hit: &FaultState, delay: Duration) {
    let mut tables = gateway.tables();
    let mut over = std::pin::pin!(tokio::time::sleep(delay));
    while hit.goes_on() {
        tokio::select! {
            () = &mut over => return,
            () = gateway.closing.cancelled() => return,
            changed = tables.changed() => if changed.is_err() { return },
        }
    }
}

/// Why a request has no answer of an instance.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The gateway has to answer itself.
    Faulty(Fault),
    /// On purpose, and nobody answers.
    Reset,
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Unanswered {
        Unanswered::Faulty(fault)
    }
}

/// What a client is told whose request is aborted. Nothing in it is an instance's.
pub(crate) fn aborted(status: StatusCode, is_grpc: bool) -> Response<ResponseBody> {
    const WHY: &str = "a fault was injected on purpose";
    let body = match is_grpc {
        true => String::new(),
        false => {
            format!("{{\"error\":\"injected\",\"status\":{},\"message\":\"{WHY}\"}}\n", status.as_u16())
        }
    };
    let mut response = Response::new(ResponseBody::own(body));
    let headers = response.headers_mut();
    headers.insert(
        "proxy-status",
        HeaderValue::from_static("slipway; error=proxy_internal_response; details=\"a fault was injected on purpose\""),
    );
    if is_grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(grpc::STATUS, HeaderValue::from(grpc::UNAVAILABLE));
        headers.insert(grpc::MESSAGE, HeaderValue::from_static(WHY));
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.status_mut() = status;
    }
    response
}
