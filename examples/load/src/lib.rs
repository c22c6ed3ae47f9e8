//! Steady traffic of many users, and an honest account of what they suffered.
//!
//! Open loop: requests are due at a fixed pace whatever became of those before, and latency is counted from when a
//! request was due, so that a service that stalls cannot hide it. Every request is written down with the version that
//! answered it; every failure is blamed on the service or on Slipway ([`Blame`]).
//!
//! Not here: ramps, scripts, TLS. Used by the `load` program and in-process by the end-to-end tests.

#![forbid(unsafe_code)]

mod blame;
mod histogram;
mod report;
mod tally;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use hyper::Uri;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use blame::Blame;
pub use hyper::Method;
pub use report::{Failure, Failures, Latency, Report, Second, Version};

use crate::tally::Tally;

/// What traffic to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to: `http://host:port`, with or without a path.
    pub url: String,
    /// The `Host` header, where it is not the URL's own.
    pub host: Option<String>,
    /// Requests per second in all; may be below one.
    pub rate: f64,
    /// How long; until it is stopped where absent.
    pub duration: Option<Duration>,
    /// How many users there are.
    pub users: u32,
    /// How users make themselves known.
    pub cookies: Cookies,
    /// The first user makes a third of all requests, and tries again at once, up to three times, when one fails.
    pub unequal: bool,
    /// Requests that may be under way at once, each on a kept-alive connection of its own.
    pub connections: usize,
    /// Paths, one picked at random for each request; the URL's path where empty.
    pub paths: Vec<String>,
    /// Request method.
    pub method: Method,
    /// How long a request may take in all.
    pub timeout: Duration,
}

impl Options {
    /// 300 requests per second of 200 users with a cookie `session`, 32 at once, until stopped.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            host: None,
            rate: 300.0,
            duration: None,
            users: 200,
            cookies: Cookies::Own("session".into()),
            unequal: false,
            connections: 32,
            paths: Vec::new(),
            method: Method::GET,
            timeout: Duration::from_secs(10),
        }
    }
}

/// How users make themselves known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cookies {
    /// Each sends a cookie of this name with a value of its own.
    Own(String),
    /// They send back what cookies they were given, as browsers do, and have none of their own.
    Kept,
    /// Not at all. Users cannot be told apart then, and are not counted.
    None,
}

/// Traffic in the making.
pub struct Load;

impl Load {
    /// Starts the traffic, on the runtime that this is called from.
    pub fn start(options: Options) -> anyhow::Result<LoadHandle> {
        let plan = Arc::new(Plan::new(options)?);
        let tally = Arc::new(Tally::new(plan.options.users));
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        for _ in 0..plan.options.connections {
            workers.spawn(worker::run(plan.clone(), tally.clone(), stopped.clone()));
        }
        Ok(LoadHandle { tally, stop, workers })
    }
}

/// A hold on running traffic. Dropping it cuts the traffic off.
pub struct LoadHandle {
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl LoadHandle {
    /// What happened until now.
    pub fn snapshot(&self) -> Report {
        self.tally.report()
    }

    /// The last `n` whole seconds.
    pub fn last_seconds(&self, n: usize) -> Vec<Second> {
        self.tally.last_seconds(n)
    }

    /// Sends nothing new, waits for what is under way, and tells what happened.
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        self.finished().await
    }

    /// Waits for the end of the declared duration; for ever where none was declared.
    pub async fn finished(&mut self) -> Report {
        while self.workers.join_next().await.is_some() {}
        self.tally.report()
    }
}

/// Options that were checked, and the pace that they give.
pub(crate) struct Plan {
    pub(crate) options: Options,
    pub(crate) authority: String,
    pub(crate) host: String,
    pub(crate) paths: Vec<String>,
    pub(crate) jars: worker::Jars,
    start: Instant,
    issued: std::sync::atomic::AtomicU64,
}

impl Plan {
    fn new(options: Options) -> anyhow::Result<Self> {
        ensure!(options.rate > 0.0 && options.rate <= 1e6, "the rate must be above 0 and at most a million per second");
        ensure!(options.users > 0, "there must be at least one user");
        ensure!(options.connections > 0, "there must be at least one connection");
        let uri: Uri = options.url.parse().with_context(|| format!("{:?} is not a URL", options.url))?;
        ensure!(uri.scheme_str() == Some("http"), "{:?} does not start with http://", options.url);
        let authority = uri.authority().context("the URL names no host")?;
        let port = authority.port_u16().unwrap_or(80);
        let paths = match options.paths.is_empty() {
            true => vec![uri.path_and_query().map_or("/".into(), ToString::to_string)],
            false => options.paths.clone(),
        };
        for path in &paths {
            ensure!(path.starts_with('/') && path.parse::<Uri>().is_ok(), "{path:?} is not a path");
        }
        let host = options.host.clone().unwrap_or_else(|| authority.to_string());
        ensure!(hyper::header::HeaderValue::from_str(&host).is_ok(), "{host:?} is not a host");
        let authority = format!("{}:{port}", authority.host());
        let jars = worker::Jars::default();
        Ok(Self { authority, host, paths, options, jars, start: Instant::now(), issued: 0.into() })
    }

    /// When the next request is due; `None` when the traffic is over.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let n = self.issued.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let after = Duration::from_secs_f64(n as f64 / self.options.rate);
        if self.options.duration.is_some_and(|duration| after >= duration) { None } else { Some(self.start + after) }
    }
}
