//! One request from its head to its answer: route, assign, choose, send, and try once more where that is safe.
//!
//! What may be sent again: a request that never reached an instance, whatever its method; and one of an idempotent
//! method without a body whose pooled connection closed before a byte of the answer came. Anything else that breaks
//! is told to the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;
use slipway_core::traffic::FaultKind;

use crate::access_log::Pending;
use crate::attempt::{Answer, Attempt, Twin};
use crate::body::{Pace, RequestBody};
use crate::client::Client;
use crate::cohort;
use crate::course::{Course, Loss};
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::grpc;
use crate::guard;
use crate::headers::{self, Origin};
use crate::inject::{self, Draw, FaultState, Slow, Unanswered};
use crate::key::Key;
use crate::mirror;
use crate::patience::{Patience, Sent, wait_for_head};
use crate::request::{check, copy_head, declared_length, host_name, make_forwardable, rebuild};
use crate::response::ResponseBody;
use crate::served::{Pick, Served};
use crate::tunnel;
use crate::upstream::Ready;

use slipway_core::traffic::Protocol;

/// A request between its head and its answer.
pub(crate) struct Exchange<'a> {
    gateway: &'a Arc<Gateway>,
    /// Where it goes, and what that counts for.
    pub(crate) course: Course<'a>,
    /// A call of gRPC: it may be a stream in either direction.
    grpc: bool,
    /// How long such a call may take, where it says so.
    call_limit: Option<Duration>,
    upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// Where it went last.
    last: Option<Pick>,
    /// What is injected into it.
    draw: Draw,
    /// What was.
    injected: Option<FaultKind>,
    /// Whether that is counted.
    noted: bool,
    /// Whether a copy of it is made, once that is decided, and what it is counted for beside that one.
    copied: Option<Option<Twin>>,
}

/// How to go on after an attempt.
enum Next {
    /// With this answer.
    Answer(Box<Response<ResponseBody>>),
    /// With another attempt.
    Again(Box<Request<RequestBody>>),
}

impl<'a> Exchange<'a> {
    /// Checks the head, finds the route and makes the request that instances get.
    pub(crate) fn open(
        gateway: &'a Arc<Gateway>,
        client: &Client,
        mut request: Request<Incoming>,
    ) -> Result<(Exchange<'a>, Request<RequestBody>), Fault> {
        let asked_host = check(&gateway.tuning, &request)?;
        let upgrade = headers::upgrade(request.version(), request.headers());
        let upgrade = upgrade.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let host = host_name(&asked_host);
        // `OPTIONS *` asks about the server as a whole, which is whatever serves its root.
        let path = request.uri().path();
        let path = if path == "*" { "/" } else { path }.to_string();
        let served = gateway.served();
        let Some(route) = served.find(&host, &path) else {
            return Err(if served.table.is_some() { Fault::NoRoute } else { Fault::NoTable });
        };
        let limit = route.route.limits.body_bytes;
        if declared_length(request.headers()).is_some_and(|length| length > limit) {
            return Err(Fault::BodyTooLarge);
        }
        let key = Key::of(request.headers(), &route.route.sticky);
        let cohort = cohort::of(request.headers(), &route.cohorts);
        let draw = Draw::of(request.headers(), route);
        let (mut parts, body) = request.into_parts();
        let body = RequestBody::new(body, limit, Pace::of(&gateway.tuning), client.verdict.clone());
        let repeatable = headers::is_idempotent(&parts.method) && body.progress().is_none() && upgrade.is_none();
        let via = if parts.version == Version::HTTP_2 { "2.0 slipway" } else { "1.1 slipway" };
        let origin = Origin { client: client.address.ip().to_canonical(), host: &asked_host, proto: client.proto, via };
        let grpc = grpc::is(&parts.headers);
        let call_limit = grpc::time_limit(&parts.headers);
        make_forwardable(&mut parts, origin, upgrade.as_ref().map(|(protocol, _)| protocol))?;
        let course = Course::new(gateway, (host, path), (key, cohort), route.clone(), repeatable);
        let exchange = Exchange {
            gateway,
            course,
            grpc,
            call_limit,
            upgrade,
            last: None,
            draw,
            injected: None,
            noted: false,
            copied: None,
        };
        Ok((exchange, rebuild(parts, body)))
    }

    /// The answer of an instance, or why there is none.
    pub(crate) async fn run(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, Unanswered> {
        let mut fault = Fault::NoInstance;
        let mut held_since = None;
        loop {
            let served = self.gateway.current().await;
            let pick = self.course.choose(&served).map_err(|none| none.unwrap_or(fault))?;
            let mut chosen = Instant::now();
            if let Some(hit) = self.draw.hit(&pick).filter(|_| self.course.attempts == 0) {
                match (hit.fault.what, held_since) {
                    (FaultKind::Latency(delay), None) => {
                        held_since = Some(chosen);
                        self.injected = Some(hit.fault.what);
                        inject::hold(self.gateway, &hit, delay.as_duration()).await;
                        continue;
                    }
                    // What it was held for is a part of its time, where it still goes to the version whose fault that is.
                    (FaultKind::Latency(_), Some(since)) => chosen = since,
                    (FaultKind::Abort(status), _) => {
                        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                        if self.instead(&served, &pick, &hit, chosen, Some(status)) {
                            return Ok(inject::aborted(status, self.grpc));
                        }
                        continue;
                    }
                    (FaultKind::Reset, _) if self.instead(&served, &pick, &hit, chosen, None) => {
                        return Err(Unanswered::Reset);
                    }
                    (FaultKind::Reset, _) => continue,
                    (FaultKind::SlowBody(_), _) => {}
                }
            }
            let (fresh_enough, limit) = (self.course.fresh_enough(), self.gateway.tuning.connect_timeout);
            match pick.upstream.connection(fresh_enough, &self.gateway.places, limit, &mut chosen).await {
                Ok(ready) => match self.send(&served, (pick, chosen), ready, request).await? {
                    Next::Answer(response) => return Ok(*response),
                    Next::Again(again) => request = *again,
                },
                // It left the table while it was being connected to, and may have ended since.
                Err(_) if pick.upstream.is_retired() => {}
                Err(error) => {
                    self.last = Some(pick.clone());
                    fault = self.course.unreachable(pick, chosen, error)?;
                }
            }
        }
    }

    /// Counts a fault in the place of an attempt, unless something else is served by now.
    fn instead(
        &mut self,
        served: &Served,
        pick: &Pick,
        hit: &FaultState,
        chosen: Instant,
        status: Option<StatusCode>,
    ) -> bool {
        let Some(_unchanged) = self.gateway.dispatch(served) else { return false };
        let status = status.map(|status| if self.grpc { StatusCode::SERVICE_UNAVAILABLE } else { status });
        self.course.injected(pick, chosen, status);
        self.injected = Some(hit.fault.what);
        self.last = Some(pick.clone());
        true
    }

    /// Hands the request to the connection, unless something else is served by now, and waits for the head.
    async fn send(
        &mut self,
        served: &Served,
        (pick, chosen): (Pick, Instant),
        ready: Ready,
        mut request: Request<RequestBody>,
    ) -> Result<Next, Fault> {
        let Ready { mut sender, connection, idle_for } = ready;
        let spare = self.course.wants_spare(idle_for).then(|| copy_head(&request));
        let progress = request.body().progress();
        let (mut attempt, sending) = {
            let Some(_unchanged) = self.gateway.dispatch(served) else {
                pick.upstream.put_back(sender, connection);
                return Ok(Next::Again(Box::new(request)));
            };
            // Decided once: where a pooled connection had run out, the first attempt comes again.
            let first = self.course.attempts == 0;
            let mut copy = None;
            if first && self.copied.is_none() && self.upgrade.is_none() && !self.grpc {
                copy = mirror::copy(&pick, &mut request, self.course.hash());
                self.copied = Some(copy.as_ref().and_then(|copy| copy.twin(&pick)));
            }
            let mut attempt = self.course.begin(&pick, chosen, progress.clone());
            if let Some(copy) = copy {
                copy.send(self.gateway);
            }
            attempt.copied(self.copied.clone().flatten().filter(|_| first));
            if let Some(hit) = self.draw.hit(&pick).filter(|_| first) {
                self.injected = Some(hit.fault.what);
                attempt.injected(!std::mem::replace(&mut self.noted, true));
            }
            connection.begin(chosen);
            connection.listen(progress.clone().filter(|_| pick.upstream.protocol == Protocol::Http1));
            (attempt, sender.try_send_request(request))
        };
        self.last = Some(pick.clone());
        // Only where gRPC can be spoken: anybody can say that he does.
        let streams = self.grpc && pick.upstream.protocol == Protocol::H2c;
        if streams {
            connection.make_long();
        }
        let limits = &pick.route.route.limits;
        let limit = limits.response.as_duration();
        let patience = if streams { Patience::with_call(limits, self.call_limit) } else { Patience::new(limits) };
        match wait_for_head(sending, &progress, &attempt, patience).await {
            Sent::Answered(response) if !guard::response::is_sound(&response) => {
                attempt.failed();
                Err(Fault::Protocol)
            }
            Sent::Answered(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.switch(*response, attempt, connection).map(|answer| Next::Answer(Box::new(answer)))
            }
            Sent::Answered(response) => {
                let stream = headers::is_event_stream(response.headers());
                if stream {
                    connection.make_long();
                }
                attempt.head(response.status(), stream);
                let (mut parts, body) = response.into_parts();
                headers::to_client(&mut parts.headers, None);
                let answer = Answer::new(attempt, sender, connection, &parts.headers);
                self.hand_back_key(&mut parts.headers);
                let mut body = ResponseBody::passing(body, answer, (!stream && !streams).then_some(limit));
                if let Some(hit) = self.draw.hit(&pick).filter(|_| self.course.attempts == 1)
                    && let FaultKind::SlowBody(rate) = hit.fault.what
                {
                    body.slow_down(Slow::new(hit, rate, self.gateway.closing.clone()));
                }
                let mut answer = Response::new(body);
                *answer.status_mut() = parts.status;
                *answer.headers_mut() = parts.headers;
                Ok(Next::Answer(Box::new(answer)))
            }
            Sent::Silent => {
                attempt.failed();
                Err(Fault::ResponseTimeout)
            }
            Sent::Stalled => {
                attempt.forget();
                Err(Fault::BodyTimeout)
            }
            Sent::Broken(broken) => {
                if let Some(refused) = progress.and_then(|progress| progress.fault()) {
                    attempt.forget();
                    return Err(refused);
                }
                if connection.was_cut() {
                    attempt.forget();
                    return Err(Fault::Drained);
                }
                // HTTP/2 says a few things of its own accord.
                let begun = pick.upstream.protocol == Protocol::Http1 && connection.was_heard();
                self.broken(*broken, attempt, (idle_for, begun), spare).map(|again| Next::Again(Box::new(again)))
            }
        }
    }

    /// The connection ended without a head: once more where that is safe.
    fn broken(
        &mut self,
        mut broken: TrySendError<Request<RequestBody>>,
        attempt: Attempt,
        (idle_for, begun): (Option<Duration>, bool),
        spare: Option<Request<RequestBody>>,
    ) -> Result<Request<RequestBody>, Fault> {
        let unsent = broken.take_message();
        let (never_sent, protocol) = (unsent.is_some(), broken.error().is_parse());
        tracing::debug!(error = %broken.error(), never_sent, "an attempt got no answer");
        self.course.lost(attempt, Loss { never_sent, begun, protocol, idle_for })?;
        unsent.or(spare).ok_or(Fault::Terminated)
    }

    /// The instance agreed to another protocol.
    fn switch(
        &mut self,
        mut response: Response<Incoming>,
        mut attempt: Attempt,
        connection: Arc<crate::upstream::Connection>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let Some((_, client)) = self.upgrade.take() else {
            attempt.failed();
            return Err(Fault::Protocol);
        };
        attempt.head(response.status(), true);
        connection.switched();
        let protocol = response.headers().get(http::header::UPGRADE).cloned();
        let instance = hyper::upgrade::on(&mut response);
        let mut answer = Response::new(ResponseBody::own(""));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        headers::to_client(answer.headers_mut(), protocol.as_ref());
        self.hand_back_key(answer.headers_mut());
        tunnel::open(self.gateway, client, instance, attempt, connection);
        Ok(answer)
    }

    fn hand_back_key(&self, headers: &mut HeaderMap) {
        if self.course.hands_back_key()
            && let Some(cookie) = self.course.key.set_cookie()
        {
            headers.append(SET_COOKIE, cookie);
        }
    }

    /// Says in the log where it went.
    pub(crate) fn describe(&self, log: &mut Pending) {
        if let Some(pick) = &self.last {
            let reached = !matches!(self.injected, Some(FaultKind::Abort(_) | FaultKind::Reset));
            let instance = reached.then_some(&pick.upstream.endpoint.instance);
            log.went_to(&pick.route.lane, &pick.version().name, instance, self.course.attempts);
        }
        if let Some(injected) = self.injected {
            log.injected(injected);
        }
    }
}
