//! The gateway's own look at instances' health, as the service declares it: one that takes connections and does not answer is
//! found out also while no control plane looks.
//!
//! A task for each instance that has a check. It ejects by the same rules as a refused connection does (`eject`), and lets in
//! again what it ejected. Costs at most a hundred questions a second, however many instances there are.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use slipway_core::address::Address;
use slipway_core::traffic::Check;

use crate::eject;
use crate::gateway::Gateway;
use crate::socket::dial;
use crate::upstream::{ConnectError, Upstream};

/// What each instance adds to the pause between two questions to one of them, at the least.
const SHARE: Duration = Duration::from_millis(10);

/// Looks after the instances of every table until the gateway ends.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let mut tables = gateway.tables();
    loop {
        tables.borrow_and_update();
        let served = gateway.served();
        let versions = served.routes.iter().flat_map(|route| route.versions.iter().zip(&route.route.versions));
        for (version, _) in versions.filter(|(_, declared)| declared.health.is_some()) {
            for upstream in version.upstreams.iter().filter(|upstream| !upstream.watched.swap(true, AcqRel)) {
                tokio::spawn(watch(gateway.clone(), upstream.clone()));
            }
        }
        drop(served);
        tokio::select! {
            () = gateway.stopped.cancelled() => return,
            changed = tables.changed() => if changed.is_err() { return },
        }
    }
}

/// How the instance is asked, by what is served now.
fn check(gateway: &Gateway, upstream: &Upstream) -> Option<Check> {
    gateway.served().route(&upstream.lane)?.route.version(&upstream.version)?.health.clone()
}

/// Asks one instance until it has left the table, or is not to be asked any more.
async fn watch(gateway: Arc<Gateway>, upstream: Arc<Upstream>) {
    loop {
        ask_again_and_again(&gateway, &upstream).await;
        upstream.watched.store(false, Release);
        // It may be asked for again since it was looked at, by somebody who saw that it was watched.
        let is_over = upstream.is_retired() || check(&gateway, &upstream).is_none();
        if is_over || upstream.watched.swap(true, AcqRel) {
            return;
        }
    }
}

async fn ask_again_and_again(gateway: &Gateway, upstream: &Arc<Upstream>) {
    let (mut good, mut bad, mut out_by_us) = (0, 0, false);
    while let Some(check) = check(gateway, upstream) {
        let many = u32::try_from(gateway.served().upstreams().count()).unwrap_or(u32::MAX);
        let pause = check.interval.as_duration().max(SHARE.saturating_mul(many));
        tokio::select! {
            () = upstream.retired() => return,
            // Gateways and instances that began together are not asked together.
            () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.9..1.1))) => {}
        }
        match ask(&upstream.endpoint.address, &check).await {
            Ok(()) => {
                (good, bad) = (good + 1, 0);
                if out_by_us && good >= check.healthy_after {
                    out_by_us = false;
                    eject::readmit(gateway, upstream, "it answers its health check again");
                }
            }
            Err(Silence::Ours) => {}
            Err(Silence::Theirs(why)) => {
                (good, bad) = (0, bad + 1);
                if bad >= check.unhealthy_after && !out_by_us {
                    // Not where stable needs it; then it is tried again after the next bad answer.
                    out_by_us = eject::take_out(gateway, upstream, &format!("its health check fails: {why}"));
                }
            }
        }
    }
    if out_by_us {
        eject::readmit(gateway, upstream, "its health is not asked for any more");
    }
}

/// Why there is no good answer.
enum Silence {
    /// The gateway could not ask.
    Ours,
    /// The instance did not answer, or not well.
    Theirs(String),
}

async fn ask(address: &Address, check: &Check) -> Result<(), Silence> {
    let limit = check.timeout.as_duration();
    let asked = timeout(limit, async {
        let stream = dial(address, limit).await.map_err(|error| match error {
            ConnectError::Own(_) => Silence::Ours,
            ConnectError::Refused(why) => Silence::Theirs(why),
            ConnectError::TimedOut => Silence::Theirs("it takes no connection".to_string()),
        })?;
        let Some(path) = &check.path else { return Ok(()) };
        let theirs = |error: &dyn std::fmt::Display| Silence::Theirs(format!("GET {path}: {error}"));
        let request = Request::get(path).header("host", address.host()).header("user-agent", "slipway-health");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| theirs(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| theirs(&error))?;
        let mut response = pin!(sender.send_request(request));
        let response = tokio::select! {
            biased;
            response = &mut response => response,
            // One that closes after its answer is done in the same moment as the answer is there.
            _ = connection => response.await,
        };
        let response = response.map_err(|error| theirs(&error))?;
        match response.status().as_u16() {
            200..400 => Ok(()),
            status => Err(theirs(&format_args!("answered {status}"))),
        }
    });
    asked.await.unwrap_or_else(|_| Err(Silence::Theirs(format!("no answer within {}", check.timeout))))
}
