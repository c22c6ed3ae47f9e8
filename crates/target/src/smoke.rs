//! Runs smoke tests against one incarnation of an instance. What is expected is decided in `core::smoke`; here requests
//! are sent and commands run. Called by the process target.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use rustix::process::{Pid, Signal, kill_process_group};
use slipway_core::names::InstanceId;
use slipway_core::smoke::{Answer, SmokeReport, SmokeResult, Values, capture, check, fill, fill_json, shorten};
use slipway_core::spec::{SmokeAction, SmokeTest};
use slipway_core::units::{Millis, Timestamp};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::http;
use crate::shim::resolve;

/// How much of a body or of a command's output is read.
const READ_LIMIT: usize = 1 << 20;
/// How long a failure may be, in characters.
const FAILURE_LIMIT: usize = 500;

/// Where and on whose behalf tests run.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where the instance listens.
    pub address: SocketAddr,
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
    let mut values = Values::from([
        ("url".to_string(), format!("http://{}", place.address)),
        ("port".to_string(), place.address.port().to_string()),
    ]);
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

async fn perform(test: &SmokeTest, place: &Place, values: &Values) -> Result<Values, String> {
    let output = match &test.action {
        SmokeAction::Http { .. } => request(&test.action, place.address, values).await?,
        SmokeAction::Tcp => {
            let connected = TcpStream::connect(place.address).await;
            connected.map_err(|e| format!("expected a connection to {}, got: {}", place.address, http::plain(&e)))?;
            return Ok(Values::new());
        }
        SmokeAction::Command(command) => Bytes::from(command_output(command, place, values).await?),
    };
    capture(&test.capture, &output)
}

/// Sends a test's request and checks the answer; returns its body.
async fn request(action: &SmokeAction, address: SocketAddr, values: &Values) -> Result<Bytes, String> {
    let SmokeAction::Http { method, path, headers, json, expect } = action else { return Ok(Bytes::new()) };
    let path = fill(path, values);
    let mut request = Request::builder().method(method.as_str()).uri(&path).header("user-agent", "slipway-smoke");
    let has = |name: &str| headers.keys().any(|key| key.eq_ignore_ascii_case(name));
    if !has("host") {
        request = request.header("host", address.to_string());
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
    let values = Values::from([
        ("url".to_string(), format!("http://{}", place.address)),
        ("port".to_string(), place.address.port().to_string()),
    ]);
    command_output(command, place, &values).await.map(drop)
}

/// Runs a command and returns what it wrote to its standard output. Dropping this kills it with its whole group.
async fn command_output(command: &[String], place: &Place, values: &Values) -> Result<Vec<u8>, String> {
    let command: Vec<String> = command.iter().map(|part| fill(part, values)).collect();
    let (name, arguments) = command.split_first().ok_or("the command is empty")?;
    let path = place.env.get("PATH").map_or("", String::as_str);
    let mut child = Command::new(resolve(name, &place.work_dir, path)?)
        .args(arguments)
        .arg0(name)
        .env_clear()
        .envs(&place.env)
        .current_dir(&place.work_dir)
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {name}: {e}"))?;
    let group = Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = async { tokio::join!(read(out), read(err)) };
    tokio::pin!(read);
    // What it left running may hold its output open for ever: once it has ended, only what is there counts.
    let (status, read) = tokio::select! {
        read = &mut read => (child.wait().await, read),
        status = child.wait() => {
            drop(group);
            (status, read.await)
        }
    };
    let status = status.map_err(|e| format!("cannot wait for {name}: {e}"))?;
    let (out, err) = (read.0.unwrap_or_default(), read.1.unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim_ascii().is_empty() { &out } else { &err };
    let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(350)..]).trim().to_string();
    Err(format!("expected {name} to exit with 0, got {status}: {tail}"))
}

/// A process group that is killed when it is not needed any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Reads to the end and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    (&mut from).take(READ_LIMIT as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}
