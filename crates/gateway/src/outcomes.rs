//! The reserved path by which outcomes are reported without knowing where the API is: `POST /.slipway/outcomes`. What the
//! request itself says of service, environment and user is filled in where a report leaves it out; the API decides who
//! may report, and its answer is passed on. Nothing is kept here.

mod passing;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use slipway_core::traffic::link::Answer;
use tokio::sync::SemaphorePermit;

use crate::api::{self, Way};
use crate::bounded::{self, Unread};
use crate::cohort;
use crate::gateway::Gateway;
use crate::key::Key;
use crate::request::{check, host_name};
use crate::response::ResponseBody;

pub(crate) use self::passing::{BODY_LIMIT, BROKEN_OFF, LATE, LIMIT, Refused, Reports, TOO_LARGE, to_api};

/// The path.
pub(crate) const PATH: &str = "/.slipway/outcomes";
/// Values in one: many more than the thousand outcomes that the API takes have.
const VALUES: usize = 32_000;

/// Passes a batch on to the API.
pub(crate) async fn handle(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<ResponseBody> {
    pass(gateway, request).await.unwrap_or_else(|(status, sentence)| told(status, &sentence))
}

/// The body, and the room that it takes.
async fn collect(reports: &Reports, mut body: Incoming) -> Result<(BytesMut, Option<SemaphorePermit<'_>>), Refused> {
    let (mut whole, mut taken) = (BytesMut::new(), None::<SemaphorePermit<'_>>);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BROKEN_OFF)?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > BODY_LIMIT {
            return Err(TOO_LARGE);
        }
        let more = reports.room(data.len())?;
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole, taken))
}

async fn pass(gateway: &Gateway, request: Request<Incoming>) -> Result<Response<ResponseBody>, Refused> {
    let refused = |status, sentence: &'static str| Err((status, sentence.into()));
    if request.method() != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "outcomes are reported by POST");
    }
    // Who may report the API decides; whoever does not even say who he is costs nothing.
    if !request.headers().contains_key(AUTHORIZATION) {
        return refused(StatusCode::UNAUTHORIZED, "outcomes are reported with a token that may report");
    }
    let Ok(host) = check(&gateway.tuning, &request) else {
        return refused(StatusCode::BAD_REQUEST, "the request's head cannot be used");
    };
    let Some(route) = gateway.served().find(&host_name(&host), PATH).cloned() else {
        return refused(StatusCode::NOT_FOUND, "no service is routed for this host");
    };
    let Some(way) = api::way(gateway) else {
        return refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "no control plane that takes reports was heard of yet; send it again",
        );
    };
    let (parts, body) = request.into_parts();
    let came = tokio::time::timeout(LIMIT, collect(&gateway.reports, body)).await;
    let (body, _room) = came.map_err(|_| LATE)??;
    let _place = gateway.reports.place()?;
    let mut batch = bounded::read(&body, VALUES).map_err(|unread| match unread {
        Unread::TooMany => TOO_LARGE,
        Unread::Malformed => (StatusCode::BAD_REQUEST, "the body is no JSON".into()),
    })?;
    drop(body);
    let key = Key::of(&parts.headers, &route.route.sticky);
    let user = (!key.fresh).then_some(key.text.as_str());
    // A key follows the split, and a user of a cohort does not.
    let cohort = cohort::of(&parts.headers, &route.cohorts).and_then(|name| route.cohort(&name));
    let version = cohort.map(|place| route.cohorts[place].route.to.as_str());
    fill(&mut batch, route.route.service.as_str(), route.route.environment.as_str(), user, version);
    let (authorization, batch) = (parts.headers.get(AUTHORIZATION), Bytes::from(batch.to_string()));
    let answer = match &way {
        Way::Api(address) => to_api(*address, authorization, batch).await,
        Way::Hub(invitation) => passing::to_hub(invitation, authorization, &batch).await,
    };
    answer.map(passed_on)
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

/// The API's word.
fn passed_on(answer: Answer) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in [(CONTENT_TYPE, answer.content_type), (RETRY_AFTER, answer.retry_after)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The gateway's own word.
fn told(status: StatusCode, sentence: &str) -> Response<ResponseBody> {
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
