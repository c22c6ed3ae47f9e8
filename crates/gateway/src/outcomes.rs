//! The reserved path by which outcomes are reported without knowing where the API is: `POST /.slipway/outcomes`. What the
//! request itself says of service, environment and user is filled in where a report leaves it out; the API decides who
//! may report, and its answer is passed on. Nothing is kept here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::api::{self, Passing};
use crate::bounded::{self, Unread};
use crate::cohort;
use crate::gateway::Gateway;
use crate::key::Key;
use crate::request::{check, host_name};
use crate::response::ResponseBody;

/// The path.
pub(crate) const PATH: &str = "/.slipway/outcomes";
/// Largest batch in bytes, as the API has it.
const BODY_LIMIT: usize = 2 << 20;
/// Values in one: many more than the thousand outcomes that the API takes have.
const VALUES: usize = 32_000;
/// Bytes of batches that are coming, of all of them together.
const ROOM: usize = 32 << 20;
/// How long one may take to come, and how long its answer may.
const LIMIT: Duration = Duration::from_secs(10);

/// Reports on their way to the API.
#[derive(Debug)]
pub(crate) struct Reports {
    passing: Passing,
    /// What those that are coming may hold: who sends little holds little, however long he takes.
    room: Semaphore,
}

impl Default for Reports {
    fn default() -> Reports {
        Reports { passing: Passing::default(), room: Semaphore::new(ROOM) }
    }
}

/// Why a batch cannot be passed on.
type Refused = (StatusCode, &'static str);

const BUSY: Refused = (StatusCode::TOO_MANY_REQUESTS, "too many reports at once; send it again in a second");
const TOO_LARGE: Refused = (StatusCode::PAYLOAD_TOO_LARGE, "a batch has at most 2 MiB and 1,000 outcomes");

/// Passes a batch on to the API.
pub(crate) async fn handle(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<ResponseBody> {
    pass(gateway, request).await.unwrap_or_else(|(status, sentence)| told(status, sentence))
}

/// The body, and the room that it takes.
async fn collect(room: &Semaphore, mut body: Incoming) -> Result<(BytesMut, Option<SemaphorePermit<'_>>), Refused> {
    let (mut whole, mut taken) = (BytesMut::new(), None::<SemaphorePermit<'_>>);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the request broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > BODY_LIMIT {
            return Err(TOO_LARGE);
        }
        let size = u32::try_from(data.len()).map_err(|_| TOO_LARGE)?;
        let more = room.try_acquire_many(size).map_err(|_| BUSY)?;
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole, taken))
}

async fn pass(gateway: &Gateway, request: Request<Incoming>) -> Result<Response<ResponseBody>, Refused> {
    if request.method() != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "outcomes are reported by POST"));
    }
    // Who may report the API decides; whoever does not even say who he is costs nothing.
    if !request.headers().contains_key(AUTHORIZATION) {
        return Err((StatusCode::UNAUTHORIZED, "outcomes are reported with a token that may report"));
    }
    let Ok(host) = check(&gateway.tuning, &request) else {
        return Err((StatusCode::BAD_REQUEST, "the request's head cannot be used"));
    };
    let Some(route) = gateway.served().find(&host_name(&host), PATH).cloned() else {
        return Err((StatusCode::NOT_FOUND, "no service is routed for this host"));
    };
    let Some(api) = api::address(gateway) else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "no control plane was heard of yet; send it again"));
    };
    let (parts, body) = request.into_parts();
    let came = tokio::time::timeout(LIMIT, collect(&gateway.reports.room, body)).await;
    let (body, _room) = came.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the batch did not come in time"))??;
    let _place = gateway.reports.passing.place().ok_or(BUSY)?;
    let mut batch = bounded::read(&body, VALUES).map_err(|unread| match unread {
        Unread::TooMany => TOO_LARGE,
        Unread::Malformed => (StatusCode::BAD_REQUEST, "the body is no JSON"),
    })?;
    drop(body);
    let key = Key::of(&parts.headers, &route.route.sticky);
    let user = (!key.fresh).then_some(key.text.as_str());
    // A key follows the split, and a user of a cohort does not.
    let cohort = cohort::of(&parts.headers, &route.cohorts).and_then(|name| route.cohort(&name));
    let version = cohort.map(|place| route.cohorts[place].route.to.as_str());
    fill(&mut batch, route.route.service.as_str(), route.route.environment.as_str(), user, version);
    let asking = ask(api, parts.headers.get(AUTHORIZATION), batch.to_string());
    let answer = tokio::time::timeout(LIMIT, asking).await;
    let answer =
        answer.map_err(|_| (StatusCode::GATEWAY_TIMEOUT, "no answer in time; send it again, each counts once"))?;
    answer.map_err(|error| {
        tracing::debug!(%error, "a report could not be passed on");
        (StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer; send it again")
    })
}

/// Adds what the request itself says where a report says nothing.
fn fill(batch: &mut Value, service: &str, environment: &str, user: Option<&str>, version: Option<&str>) {
    let outcomes = batch.get_mut("outcomes").and_then(Value::as_array_mut);
    for outcome in outcomes.into_iter().flatten().filter_map(Value::as_object_mut) {
        outcome.entry("service").or_insert_with(|| service.into());
        outcome.entry("environment").or_insert_with(|| environment.into());
        let is_told = |name: &str| outcome.contains_key(name);
        let (version, user) = match (is_told("version"), is_told("key")) {
            (false, false) => (version, user),
            _ => (None, None),
        };
        outcome.extend(
            [("version", version), ("key", user)]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (name.to_string(), value.into()))),
        );
    }
}

async fn ask(
    api: SocketAddr,
    token: Option<&HeaderValue>,
    body: String,
) -> Result<Response<ResponseBody>, api::Trouble> {
    let mut request = Request::post("/api/v1/outcomes").header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    let answer = api::ask(api, request.body(Full::new(Bytes::from(body)))?, BODY_LIMIT).await?;
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(ResponseBody::own(body));
    *response.status_mut() = parts.status;
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

/// The gateway's own word.
fn told(status: StatusCode, sentence: &'static str) -> Response<ResponseBody> {
    let error = "proxy_internal_response";
    let body = json!({ "error": error, "status": status.as_u16(), "message": sentence });
    let mut response = Response::new(ResponseBody::own(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(value) = HeaderValue::try_from(format!("slipway; error={error}; details=\"{sentence}\"")) {
        headers.insert("proxy-status", value);
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_says_is_kept_and_what_it_leaves_out_is_filled_in() {
        let mut batch = json!({ "outcomes": [{ "kind": "a" }, { "service": "x", "version": "1" }, 7] });
        fill(&mut batch, "shop", "production", Some("ann"), None);
        let expected = json!({ "outcomes": [
            { "kind": "a", "service": "shop", "environment": "production", "key": "ann" },
            { "service": "x", "version": "1", "environment": "production" }, 7
        ] });
        assert_eq!(batch, expected);
    }

    #[test]
    fn whoever_is_of_a_cohort_had_its_version_and_speaks_for_nobody_else() {
        let mut batch = json!({ "outcomes": [{ "kind": "a" }, { "key": "bob" }, { "version": "1" }] });
        fill(&mut batch, "shop", "production", Some("ann"), Some("2"));
        let told: Vec<(&Value, &Value)> =
            (0..3).map(|i| &batch["outcomes"][i]).map(|o| (&o["version"], &o["key"])).collect();
        let (one, two, ann, bob) = (json!("1"), json!("2"), json!("ann"), json!("bob"));
        assert_eq!(told, [(&two, &ann), (&Value::Null, &bob), (&one, &Value::Null)]);
    }
}
