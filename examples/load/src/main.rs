//! `load`: the command line of [`slipway_load`].

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use hyper::Method;
use slipway_load::{Cookies, Load, LoadHandle, Options, Report};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Steady HTTP traffic of many users, and an honest account of what they suffered.
///
/// Requests are due at a fixed pace whatever became of those before. The account is one line of JSON on standard
/// output when the traffic is over or interrupted (SIGINT, SIGTERM); README.md tells what is in it.
#[derive(Parser)]
#[command(
    name = "load",
    after_help = "Example:\n  load --url http://127.0.0.1:8080/ --host shop.local --rate 300 --duration 60s"
)]
struct Arguments {
    /// Where to
    #[arg(long)]
    url: String,
    /// The Host header, where it is not the URL's own
    #[arg(long)]
    host: Option<String>,
    /// Requests per second
    #[arg(long, default_value_t = 300.0)]
    rate: f64,
    /// How long, as 500ms, 60s or 5m; until interrupted where absent
    #[arg(long, value_parser = length)]
    duration: Option<Duration>,
    /// How many users there are
    #[arg(long, default_value_t = 200)]
    users: u32,
    /// Name of the cookie by which users are known
    #[arg(long, default_value = "session")]
    cookie: String,
    /// Users send no cookies, and cannot be told apart
    #[arg(long, conflicts_with = "keep_gateway_cookies")]
    no_cookies: bool,
    /// Users send back the cookies that they were given, and none of their own
    #[arg(long)]
    keep_gateway_cookies: bool,
    /// One user makes a third of the requests, and tries again when one fails
    #[arg(long)]
    unequal: bool,
    /// Requests that may be under way at once
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// A path; may be given more than once
    #[arg(long = "path")]
    paths: Vec<String>,
    /// Request method
    #[arg(long, default_value = "GET")]
    method: Method,
    /// How long a request may take in all
    #[arg(long, default_value = "10s", value_parser = length)]
    timeout: Duration,
    /// Print what happened since the last time this often, one line of JSON each
    #[arg(long, value_parser = whole_seconds)]
    json_every: Option<Duration>,
    /// Write the account to this file as well
    #[arg(long)]
    report: Option<PathBuf>,
}

impl Arguments {
    fn options(&self) -> Options {
        let cookies = match (self.no_cookies, self.keep_gateway_cookies) {
            (true, _) => Cookies::None,
            (_, true) => Cookies::Kept,
            _ => Cookies::Own(self.cookie.clone()),
        };
        Options {
            url: self.url.clone(),
            host: self.host.clone(),
            rate: self.rate,
            duration: self.duration,
            users: self.users,
            cookies,
            unequal: self.unequal,
            connections: self.connections,
            paths: self.paths.clone(),
            method: self.method.clone(),
            timeout: self.timeout,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let report = run(&arguments).await?;
    let line = serde_json::to_string(&report)?;
    if let Some(path) = &arguments.report {
        std::fs::write(path, format!("{line}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

async fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut load = Load::start(arguments.options())?;
    let every = arguments.json_every.unwrap_or(Duration::from_secs(3600));
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            report = load.finished() => return Ok(report),
            _ = terminate.recv() => return Ok(load.stop().await),
            _ = interrupt.recv() => return Ok(load.stop().await),
            _ = ticks.tick(), if arguments.json_every.is_some() => progress(&load, every)?,
        }
    }
}

fn progress(load: &LoadHandle, every: Duration) -> anyhow::Result<()> {
    for second in load.last_seconds(every.as_secs() as usize) {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&second)?)?;
    }
    Ok(())
}

fn length(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a length of time such as 500ms, 60s or 5m".to_string())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("it needs a unit: ms, s or m".into()),
    }
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    match length(text)? {
        length if length.as_millis() >= 1000 && length.as_millis() % 1000 == 0 => Ok(length),
        _ => Err("only whole seconds".into()),
    }
}
