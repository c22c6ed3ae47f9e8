//! Maintenance: requests are held until it ends, for as long as it says, and then told so. Nobody is reached, nothing
//! is counted for or against a version.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use slipway_core::traffic::Maintenance;
use tokio::time::{Instant, timeout_at};

use crate::gateway::Gateway;
use crate::response::ResponseBody;
use crate::served::RouteState;

/// Requests that may be held at once; more are told at once.
const MOST_HELD: usize = 10_000;

/// Requests that are held now.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicUsize);

struct Place<'a>(&'a Held);

impl Held {
    fn take(&self) -> Option<Place<'_>> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        (before < MOST_HELD).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits where the route of a request is in maintenance. `None` once it is not; otherwise the answer.
pub(crate) async fn wait(gateway: &Gateway, host: &str, path: &str) -> Option<Response<ResponseBody>> {
    let found = |gateway: &Gateway| -> Option<Arc<RouteState>> {
        gateway.served().find(host, path).filter(|route| route.route.maintenance.is_some()).cloned()
    };
    // Most requests end here, and must not pay for the few that wait.
    found(gateway)?;
    let mut tables = gateway.tables();
    let first = found(gateway)?;
    let begun = Instant::now();
    let mut maintenance = first.route.maintenance.clone()?;
    let Some(_place) = gateway.held.take() else { return Some(told(&maintenance)) };
    loop {
        let until = begun + maintenance.hold.as_duration();
        let changed = tokio::select! {
            changed = timeout_at(until, tables.changed()) => matches!(changed, Ok(Ok(()))),
            () = gateway.closing.cancelled() => false,
        };
        match found(gateway) {
            None => return None,
            Some(route) if changed => maintenance = route.route.maintenance.clone()?,
            Some(_) => return Some(told(&maintenance)),
        }
    }
}

/// The page, or a sentence.
fn told(maintenance: &Maintenance) -> Response<ResponseBody> {
    let (kind, body) = match &maintenance.page {
        Some(page) if page.trim_start().starts_with('<') => ("text/html; charset=utf-8", page.clone()),
        Some(page) => ("text/plain; charset=utf-8", page.clone()),
        None => ("text/plain; charset=utf-8", "down for maintenance; please come back in a moment\n".to_string()),
    };
    let mut response = Response::new(ResponseBody::own(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RETRY_AFTER, HeaderValue::from(maintenance.retry_after.0.div_ceil(1000)));
    headers.insert(
        "proxy-status",
        HeaderValue::from_static("slipway; error=destination_unavailable; details=\"maintenance\""),
    );
    response
}
