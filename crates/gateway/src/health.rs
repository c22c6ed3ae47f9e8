//! The gateway's own look at instances' health, as the service declares it: one that takes connections and does not answer is
//! found out also while no control plane looks.
//!
//! A task for each instance that has a check. It ejects by the same rules as a refused connection does (`eject`), and lets in
//! again what it ejected. Costs at most a hundred questions a second, however many instances there are.

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
        for upstream in served.upstreams().filter(|upstream| check(&gateway, upstream).is_some()) {
            if !upstream.watched.swap(true, AcqRel) {
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
    let (mut good, mut bad, mut out_by_us) = (0, 0, false);
    while let Some(check) = check(&gateway, &upstream) {
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
                    eject::readmit(&gateway, &upstream, "it answers its health check again");
                }
            }
            Err(Silence::Ours) => {}
            Err(Silence::Theirs(why)) => {
                (good, bad) = (0, bad + 1);
                if bad >= check.unhealthy_after && !out_by_us {
                    // Not where stable needs it; then it is tried again after the next bad answer.
                    out_by_us = eject::take_out(&gateway, &upstream, &format!("its health check fails: {why}"));
                }
            }
        }
    }
    upstream.watched.store(false, Release);
    if out_by_us {
        eject::readmit(&gateway, &upstream, "its health is not asked for any more");
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
        let response = tokio::select! {
            biased;
            response = sender.send_request(request) => response.map_err(|error| theirs(&error))?,
            _ = connection => return Err(theirs(&"the connection was closed before an answer")),
        };
        match response.status().as_u16() {
            200..400 => Ok(()),
            status => Err(theirs(&format_args!("answered {status}"))),
        }
    });
    asked.await.unwrap_or_else(|_| Err(Silence::Theirs(format!("no answer within {}", check.timeout))))
}
