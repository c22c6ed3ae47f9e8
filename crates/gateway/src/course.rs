//! The course of one request, whichever way it takes through the gateway: which instance, what counts, whether once more.
//!
//! Pure but for the counting; it reads and writes no socket. Called by `proxy` and by `fast`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::attempt::Attempt;
use crate::eject;
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::inject;
use crate::key::Key;
use crate::served::{Pick, RouteState, Served};
use crate::upstream::{ConnectError, Upstream};

/// How often one request may be tried. More than twice only where it reached an instance once at most.
const MOST_ATTEMPTS: u32 = 3;
/// The same where connections are refused, which costs no time: all of a version's instances may have just died.
const MOST_REFUSALS: u32 = 12;
/// A request that could not be sent again goes only on a connection that was busy this short a time ago.
const FRESH_ENOUGH: Duration = Duration::from_millis(500);
/// A pooled connection that was idle this long and closes at once had run out at the instance's end; any other that
/// closes without an answer is counted as the instance's failure.
const RAN_OUT_AFTER: Duration = Duration::from_secs(1);
/// What "at once" means there.
const AT_ONCE: Duration = Duration::from_millis(50);

/// A request between its head and its answer.
#[derive(Debug)]
pub(crate) struct Course<'a> {
    gateway: &'a Arc<Gateway>,
    /// The host that it asks for, in lower case and without the port.
    pub(crate) host: String,
    /// The path.
    pub(crate) path: String,
    /// What it is assigned by.
    pub(crate) key: Key,
    /// The key as a number.
    hash: u64,
    /// The cohort that it is one of, by the route that it was first found to belong to.
    cohort: Option<String>,
    /// The route that it was first found to belong to.
    route: Arc<RouteState>,
    /// Whether a pooled connection's silent end may be followed by another try.
    repeatable: bool,
    /// Whether only a new connection will do.
    only_new: bool,
    tried: Vec<Arc<Upstream>>,
    /// Attempts so far.
    pub(crate) attempts: u32,
    assigned: bool,
    last_assigned: usize,
}

/// How an attempt ended that got no answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    /// Nothing of the request has left the gateway.
    pub(crate) never_sent: bool,
    /// Part of an answer had come.
    pub(crate) begun: bool,
    /// What came instead of an answer is not HTTP.
    pub(crate) protocol: bool,
    /// How long the connection had been idle before; `None` where it was new.
    pub(crate) idle_for: Option<Duration>,
}

impl<'a> Course<'a> {
    /// A request to `host` and `path`, which belong to `route`.
    pub(crate) fn new(
        gateway: &'a Arc<Gateway>,
        (host, path): (String, String),
        (key, cohort): (Key, Option<String>),
        route: Arc<RouteState>,
        repeatable: bool,
    ) -> Course<'a> {
        Course {
            gateway,
            host,
            path,
            hash: key.hash(),
            key,
            cohort,
            route,
            repeatable,
            only_new: false,
            tried: Vec::new(),
            attempts: 0,
            assigned: false,
            last_assigned: 0,
        }
    }

    /// An instance by what is served now. `Err(None)`: there is none left that was not tried.
    pub(crate) fn choose(&mut self, served: &Served) -> Result<Pick, Option<Fault>> {
        let route = served.find(&self.host, &self.path).ok_or(Some(Fault::NoRoute))?;
        if !Arc::ptr_eq(route, &self.route) && !self.assigned {
            self.route = route.clone();
        }
        let cohort = self.cohort.as_deref().and_then(|name| route.cohort(name));
        route.choose(&self.key.text, cohort, &self.tried).map_err(|assigned| {
            self.assign(route, assigned);
            None
        })
    }

    /// How long a connection may have been idle that the next attempt goes on.
    pub(crate) fn fresh_enough(&self) -> Duration {
        match (self.only_new, self.repeatable) {
            (true, _) => Duration::ZERO,
            (false, true) => self.gateway.tuning.idle_upstream,
            (false, false) => FRESH_ENOUGH,
        }
    }

    /// Whether a request that is sent on a connection with this history may be needed once more.
    pub(crate) fn wants_spare(&self, idle_for: Option<Duration>) -> bool {
        self.repeatable && idle_for.is_some()
    }

    /// The request is being handed to a connection of an instance that was chosen at `chosen`. Called while nothing else
    /// can be served.
    pub(crate) fn begin(
        &mut self,
        pick: &Pick,
        chosen: Instant,
        progress: Option<Arc<crate::body::Progress>>,
    ) -> Attempt {
        self.assign(&pick.route, pick.assigned);
        self.attempts += 1;
        Attempt::begin(pick.clone(), chosen, self.hash, self.attempts > 1, progress)
    }

    /// The key as a number.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// A fault is injected in the place of an attempt: the client is told this status, or let go without an answer. Called
    /// while nothing else can be served.
    pub(crate) fn injected(&mut self, pick: &Pick, chosen: Instant, status: Option<StatusCode>) {
        self.assign(&pick.route, pick.assigned);
        self.attempts += 1;
        let failed = status.is_none_or(|status| status.is_server_error());
        for counts in [pick.counts(), &pick.version().lifetime] {
            counts.injected();
            // A refusal that nobody's instance has made is no proof of anything good.
            if !(failed && inject::is_evidence(pick)) {
                counts.ended_apart(failed);
                continue;
            }
            if status.is_none() {
                counts.no_head(self.hash, chosen.elapsed());
            }
            counts.ended(self.hash, true);
        }
    }

    /// No instance took the connection: that is a failed attempt, and the instance is not used until it does. `Err`:
    /// that was enough.
    pub(crate) fn unreachable(&mut self, pick: Pick, chosen: Instant, error: ConnectError) -> Result<Fault, Fault> {
        self.assign(&pick.route, pick.assigned);
        let (fault, why) = match error {
            // All ports for connections to this instance are in use, and those to another may not be.
            ConnectError::Own(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                self.tried.push(pick.upstream);
                self.only_new = false;
                return Ok(Fault::Internal);
            }
            ConnectError::Own(error) => {
                tracing::error!(%error, "cannot open a connection");
                return Err(Fault::Internal);
            }
            ConnectError::Refused(why) => (Fault::Refused, why),
            ConnectError::TimedOut => (Fault::ConnectTimeout, "it takes no connections in time".to_string()),
        };
        self.attempts += 1;
        let upstream = pick.upstream.clone();
        Attempt::begin(pick, chosen, self.hash, self.attempts > 1, None).failed();
        eject::eject(self.gateway, &upstream, &why);
        self.tried.push(upstream);
        self.only_new = false;
        let most = if fault == Fault::Refused { MOST_REFUSALS } else { MOST_ATTEMPTS };
        if self.attempts >= most { Err(fault) } else { Ok(fault) }
    }

    /// The connection ended without a head: once more where that is safe.
    pub(crate) fn lost(&mut self, attempt: Attempt, loss: Loss) -> Result<(), Fault> {
        let Loss { never_sent, begun, protocol, idle_for } = loss;
        let had_run_out = idle_for.is_some_and(|idle| idle >= RAN_OUT_AFTER) && attempt.waited() < AT_ONCE;
        match (never_sent, idle_for.is_some()) {
            // Another pooled connection had run out. This was no attempt: nothing has left the gateway.
            (true, true) => {
                self.attempts -= 1;
                attempt.forget();
                return Ok(());
            }
            (true, false) if self.attempts < MOST_ATTEMPTS => {
                self.tried.push(attempt.pick().upstream.clone());
                attempt.failed();
                return Ok(());
            }
            _ => {}
        }
        if self.wants_spare(idle_for) && !begun && !protocol && self.attempts < MOST_ATTEMPTS {
            if had_run_out {
                attempt.forget()
            } else {
                attempt.failed()
            }
            self.only_new = true;
            return Ok(());
        }
        attempt.failed();
        Err(if protocol { Fault::Protocol } else { Fault::Terminated })
    }

    /// A fresh key is handed back only while traffic is split: without a split it decides nothing.
    pub(crate) fn hands_back_key(&self) -> bool {
        self.key.fresh && self.route.split.is_divided()
    }

    /// Whether it has been counted for a version.
    pub(crate) fn is_assigned(&self) -> bool {
        self.assigned
    }

    /// Counts the assignment, once for a request.
    fn assign(&mut self, route: &Arc<RouteState>, assigned: usize) {
        if !std::mem::replace(&mut self.assigned, true) {
            if !Arc::ptr_eq(&self.route, route) {
                self.route = route.clone();
            }
            let cohort = self.cohort.as_deref().and_then(|name| route.cohort(name));
            route.counts(cohort, assigned).assigned(self.hash);
            route.versions[assigned].lifetime.assigned(self.hash);
            self.last_assigned = assigned;
        }
    }

    /// Counts a failure that the client suffers from and no instance is to blame for.
    pub(crate) fn blame(&self, fault: Fault) {
        tracing::debug!(error = fault.error_type(), host = %self.host, path = %self.path, "answered by the gateway");
        if fault.is_slipways()
            && let Some(version) = self.route.versions.get(self.last_assigned)
        {
            let cohort = self.cohort.as_deref().and_then(|name| self.route.cohort(name));
            self.route.counts(cohort, self.last_assigned).failed_by_slipway();
            version.lifetime.failed_by_slipway();
        }
    }
}
