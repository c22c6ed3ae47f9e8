//! Runs smoke tests against one incarnation of an instance. What is expected is decided in `core::smoke`; here requests
//! are sent and commands run. Called by the process target.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use slipway_core::address::Address;
use slipway_core::names::InstanceId;
use slipway_core::smoke::{Answer, SmokeReport, SmokeResult, Values, capture, check, fill, fill_json, shorten};
use slipway_core::spec::{SmokeAction, SmokeTest};
use slipway_core::units::{Millis, Timestamp};

use crate::{command, http};

/// How much of a body is read.
const READ_LIMIT: usize = 1 << 20;
/// How long a failure may be, in characters.
const FAILURE_LIMIT: usize = 500;

/// Where and on whose behalf tests run.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where the instance listens.
    pub address: Address,
    /// The instance's working folder, in which commands run.
    pub work_dir: PathBuf,
    /// The whole environment of commands: the instance's own.
    pub env: BTreeMap<String, String>,
    /// The instance.
    pub instance: InstanceId,
    /// Which start of it.
    pub incarnation: u32,
}

/// Runs `tests` in order, up to the first failure. Ends when the tests' time limits are over at the latest.
pub async fn run(tests: &[SmokeTest], place: &Place, now: &(dyn Fn() -> Timestamp + Send + Sync)) -> SmokeReport {
    let mut values = given(&place.address);
    let mut results = Vec::new();
    for test in tests {
        let begun = Instant::now();
        let outcome = tokio::time::timeout(test.timeout.as_duration(), perform(test, place, &values)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("expected an end within {}, got none", test.timeout)));
        let took = Millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        let failure = outcome.map(|captured| values.extend(captured)).err().map(|why| shorten(&why, FAILURE_LIMIT));
        let failed = failure.is_some();
        results.push(SmokeResult { name: test.name.clone(), took, failure });
        if failed {
            break;
        }
    }
    SmokeReport { instance: place.instance.clone(), incarnation: place.incarnation, at: now(), tests: results }
}

/// What every test may use.
fn given(address: &Address) -> Values {
    let place = match address {
        Address::Tcp(address) => ("port".to_string(), address.port().to_string()),
        Address::Unix(socket) => ("socket".to_string(), socket.to_string()),
    };
    Values::from([("url".to_string(), format!("http://{}", address.host())), place])
}

async fn perform(test: &SmokeTest, place: &Place, values: &Values) -> Result<Values, String> {
    let output = match &test.action {
        SmokeAction::Http { .. } => request(&test.action, &place.address, values).await?,
        SmokeAction::Tcp => {
            let connected = http::connect(&place.address).await;
            connected.map_err(|e| format!("expected a connection to {}, got: {}", place.address, http::plain(&e)))?;
            return Ok(Values::new());
        }
        SmokeAction::Command(command) => Bytes::from(command_output(command, place, values).await?),
    };
    capture(&test.capture, &output)
}

/// Sends a test's request and checks the answer; returns its body.
async fn request(action: &SmokeAction, address: &Address, values: &Values) -> Result<Bytes, String> {
    let SmokeAction::Http { method, path, headers, json, expect } = action else { return Ok(Bytes::new()) };
    let path = fill(path, values);
    let mut request = Request::builder().method(method.as_str()).uri(&path).header("user-agent", "slipway-smoke");
    let has = |name: &str| headers.keys().any(|key| key.eq_ignore_ascii_case(name));
    if !has("host") {
        request = request.header("host", address.host());
    }
    if json.is_some() && !has("content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(name, fill(value, values));
    }
    let body = json.as_ref().map_or_else(Vec::new, |json| fill_json(json, values).to_string().into_bytes());
    let request =
        request.body(Full::new(Bytes::from(body))).map_err(|e| format!("{method} {path} cannot be sent: {e}"))?;
    let (head, body) =
        http::whole(address, request, READ_LIMIT).await.map_err(|e| format!("expected an answer, got: {e}"))?;
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    check(expect, &Answer { status: head.status.as_u16(), headers: &headers, body: &body })?;
    Ok(body)
}

/// Whether a command exits with 0. Ends when whoever asks has no more patience.
pub(crate) async fn succeeds(command: &[String], place: &Place) -> Result<(), String> {
    command_output(command, place, &given(&place.address)).await.map(drop)
}

async fn command_output(command: &[String], place: &Place, values: &Values) -> Result<Vec<u8>, String> {
    let words: Vec<String> = command.iter().map(|part| fill(part, values)).collect();
    command::output(&words, &place.work_dir, &place.env, &[]).await
}
