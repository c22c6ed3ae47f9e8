//! One control plane that knows very many services, with a thousand of them rolled out at once: what it needs, and how
//! long a plan takes meanwhile. Services, instances and requests exist in memory only; planner, store and API are real.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use slipway_core::names::Digest;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::console::crowd::{self, Crowd};
use crate::figures::Row;

const SERVICES: usize = 10_000;
const MOVING: usize = 1_000;
/// Plans that are asked for while the thousand are rolled out.
const PLANS: usize = 500;
/// How long the processor is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// The bars.
const MEGABYTES: f64 = 1_000.0;
const PLAN_MS: f64 = 100.0;
const IDLE_PERCENT: f64 = 20.0;

/// The other process: says where it listens, that all serve and, once it is told to go on, that `moving` are rolled out.
pub async fn serve(services: usize, moving: usize) -> anyhow::Result<()> {
    let crowd = Crowd::start().await?;
    println!("{}", crowd.address);
    crowd.serve(services).await?;
    println!("serving");
    let mut word = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut word).await?;
    ensure!(!word.is_empty(), "nobody listens any more");
    crowd.roll(moving).await?;
    println!("rolling");
    crowd.count().await
}

/// The rows of the table. SCALE_SERVICES and SCALE_MOVING are for fewer, or more.
pub async fn measure() -> anyhow::Result<Vec<Row>> {
    let number = |name: &str, otherwise| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let (services, moving) = (number("SCALE_SERVICES", SERVICES), number("SCALE_MOVING", MOVING));
    println!("scale: {services} services are released, then {moving} of them rolled out at once");
    let began = Instant::now();
    let mut plane = Plane::start(services, moving).await?;
    plane.expect("serving").await?;
    let released = began.elapsed().as_secs_f64();
    let idle = plane.processor(WATCHED).await?;
    let at_rest = plane.memory("VmRSS:")?;
    let began = Instant::now();
    plane.stdin.write_all(b"go\n").await?;
    plane.expect("rolling").await?;
    let begun = began.elapsed().as_secs_f64();
    let rolling = plane.processor(WATCHED).await?;
    let plans = plane.plans(services).await?;
    let peak = plane.memory("VmHWM:")?;
    let mut sorted = plans.clone();
    sorted.sort_by(f64::total_cmp);
    let p99 = sorted.get(sorted.len() * 99 / 100).copied().context("no plan was made")?;
    let kept = peak <= MEGABYTES && p99 <= PLAN_MS && idle <= IDLE_PERCENT;
    println!(
        "scale: {services} services, {moving} rolling out: memory {peak:.0} MB (bar {MEGABYTES}), planning p99 {p99:.1} ms \
         (bar {PLAN_MS}), idle loop {idle:.1}% of a core (bar {IDLE_PERCENT}): {}",
        if kept { "kept" } else { "MISSED" }
    );
    let row = |what: String, samples, unit, limit| Row { what, samples, unit, limit };
    Ok(vec![
        row(
            format!("memory at most, {services} services, {moving} rolling out (RSS)"),
            vec![peak],
            "MB",
            Some(MEGABYTES),
        ),
        row(format!("memory, {services} services at rest (RSS)"), vec![at_rest], "MB", None),
        row(format!("a plan, {moving} rolling out"), plans, "ms", Some(PLAN_MS)),
        row(format!("processor, {services} services at rest"), vec![idle], "%", Some(IDLE_PERCENT)),
        row(format!("processor, {moving} rolling out, counts by the second"), vec![rolling], "%", None),
        row(format!("until {services} first releases serve"), vec![released], "s", None),
        row(format!("until {moving} canaries have users"), vec![begun], "s", None),
    ])
}

struct Plane {
    child: Child,
    pid: u32,
    address: String,
    stdin: ChildStdin,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Plane {
    async fn start(services: usize, moving: usize) -> anyhow::Result<Plane> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--scale", &services.to_string(), &moving.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it has ended")?;
        let stdin = child.stdin.take().context("no pipe")?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
        let address = lines.next_line().await?.context("it did not come")?;
        Ok(Plane { child, pid, address, stdin, lines })
    }

    async fn expect(&mut self, word: &str) -> anyhow::Result<()> {
        let said = self.lines.next_line().await?;
        if said.is_none() {
            anyhow::bail!("it ended before it was {word}: {}", self.child.wait().await?);
        }
        ensure!(said.as_deref() == Some(word), "it says {said:?}, not {word}");
        Ok(())
    }

    /// A line of its memory in the kernel's account.
    fn memory(&self, line: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|l| l.strip_prefix(line)).context("no such line")?;
        let kilobytes: f64 = line.split_whitespace().next().context("no number")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// The share of one core that it takes over a time.
    async fn processor(&self, over: Duration) -> anyhow::Result<f64> {
        let (before, began) = (self.ticks()?, Instant::now());
        tokio::time::sleep(over).await;
        // Linux counts in hundredths of a second (USER_HZ), whatever its timer.
        Ok((self.ticks()? - before) / began.elapsed().as_secs_f64())
    }

    fn ticks(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let (_, fields) = stat.rsplit_once(')').context("no stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [user, system] = [fields.get(11), fields.get(12)].map(|f| f.and_then(|f| f.parse::<f64>().ok()));
        Ok(user.context("no number")? + system.context("no number")?)
    }

    /// Plans of releases of services that nothing happens to, one after another, in milliseconds.
    async fn plans(&self, services: usize) -> anyhow::Result<Vec<f64>> {
        let http = reqwest::Client::new();
        let url = format!("http://{}/api/v1/plans", self.address);
        let mut samples = Vec::with_capacity(PLANS);
        for n in 0..PLANS {
            let service = crowd::name(services - 1 - n % services);
            let wanted = json!({
                "file": crowd::file(&service), "version": "1.2.0", "artifact": Digest::of(b"it"), "environment": "production",
            });
            let request = http.post(&url).bearer_auth(crowd::TOKEN).json(&wanted);
            let began = Instant::now();
            let answer = request.send().await?.error_for_status()?.bytes().await?;
            samples.push(began.elapsed().as_secs_f64() * 1_000.0);
            ensure!(!answer.is_empty(), "there is no plan");
        }
        Ok(samples)
    }
}
