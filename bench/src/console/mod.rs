//! The console under a crowd: 500 services, 50 rollouts at once, 200 open pages.

pub mod crowd;
mod screen;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::header::{COOKIE, ETAG, IF_NONE_MATCH, SET_COOKIE};
use reqwest::redirect::Policy;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::figures::{Row, megabytes};

const SERVICES: usize = 500;
const MOVING: usize = 50;
const PAGES: usize = 200;
const LOOKS: usize = 100;
const PRESSES: usize = 20;
/// How long the pages stay open before they are measured again.
const OPEN: Duration = Duration::from_secs(20);

struct Console {
    base: String,
    cookie: String,
    http: reqwest::Client,
    pid: u32,
    _crowd: Child,
}

/// The rows of the table.
pub async fn measure() -> anyhow::Result<Vec<Row>> {
    println!("console: {SERVICES} services, {MOVING} rollouts at once, {PAGES} open pages");
    let console = Arc::new(Console::start().await?);
    let alone = console.looks().await?;
    let before = megabytes(console.pid)?;
    let fetched = Arc::new(AtomicU64::new(0));
    let mut pages = Vec::new();
    for n in 0..PAGES {
        let service = format!("service-{:03}", n % MOVING);
        let (path, topic) = match n % 3 {
            0 => ("/".to_string(), "lanes".to_string()),
            1 => (format!("/services/{service}"), format!("service:{service}")),
            _ => (format!("/rollouts/{}", console.rollout(&service).await?), format!("lane:{service}/production")),
        };
        pages.push(tokio::spawn(console.clone().watch(path, topic, fetched.clone())));
    }
    tokio::time::sleep(OPEN).await;
    let crowded = console.looks().await?;
    let seen = console.presses().await?;
    let [shown, on_screen] = screen::measure(&console.base, async |service| console.pause(service).await).await?;
    ensure!(fetched.load(Relaxed) > PAGES as u64, "the pages have not followed");
    let after = megabytes(console.pid)?;
    pages.iter().for_each(tokio::task::JoinHandle::abort);
    let row = |what: &str, samples, unit, limit| Row { what: what.to_string(), samples, unit, limit };
    Ok(vec![
        row("overview of 500 services, alone", alone, "ms", Some(100.0)),
        row("overview of 500 services, 200 pages open", crowded, "ms", Some(100.0)),
        row("pressed, then in the page of another", seen, "ms", Some(1_000.0)),
        row("overview in Chromium, until it is shown", shown, "ms", Some(1_000.0)),
        row("pressed, then on screen in Chromium", on_screen, "ms", Some(1_000.0)),
        row("memory for 200 open pages (PSS)", vec![after - before], "MB", Some(100.0)),
    ])
}

impl Console {
    async fn start() -> anyhow::Result<Console> {
        let mut crowd = Command::new(std::env::current_exe()?)
            .args(["--crowd", &SERVICES.to_string(), &MOVING.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = crowd.id().context("it has ended")?;
        let mut lines = BufReader::new(crowd.stdout.take().context("no pipe")?).lines();
        let address = lines.next_line().await?.context("the crowd did not come")?;
        let http = reqwest::Client::builder().redirect(Policy::none()).build()?;
        let base = format!("http://{address}");
        let form = http.post(format!("{base}/sign-in")).header("content-type", "application/x-www-form-urlencoded");
        let answer = form.body(format!("token={}", crowd::TOKEN)).send().await?;
        let cookie = answer.headers().get(SET_COOKIE).context("nobody was let in")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_string();
        Ok(Console { base, cookie, http, pid, _crowd: crowd })
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).header(COOKIE, &self.cookie)
    }

    async fn looks(&self) -> anyhow::Result<Vec<f64>> {
        let mut samples = Vec::new();
        for _ in 0..LOOKS {
            let began = Instant::now();
            let page = self.get("/").send().await?.error_for_status()?.text().await?;
            samples.push(began.elapsed().as_secs_f64() * 1_000.0);
            ensure!(page.contains("service-499"), "the page is not whole");
        }
        Ok(samples)
    }

    /// What an open page does: it listens, and fetches its part again when it hears something.
    async fn watch(self: Arc<Console>, path: String, topic: String, fetched: Arc<AtomicU64>) -> anyhow::Result<()> {
        let mut stream = self.get(&format!("/live?topics={topic}")).send().await?.error_for_status()?;
        let mut tag = String::new();
        while let Some(chunk) = stream.chunk().await? {
            if chunk.windows(7).any(|w| w == b"changed") {
                let part = self.get(&path).header("x-live", "1").header(IF_NONE_MATCH, &tag).send().await?;
                if let Some(new) = part.headers().get(ETAG) {
                    tag = new.to_str()?.to_string();
                }
                part.bytes().await?;
                fetched.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }

    /// The open rollout of a service.
    async fn rollout(&self, service: &str) -> anyhow::Result<String> {
        let asked = self.http.get(format!("{}/api/v1/services/{service}", self.base)).bearer_auth(crowd::TOKEN);
        let lanes: serde_json::Value = asked.send().await?.error_for_status()?.json().await?;
        Ok(lanes[0]["rollout"].as_str().with_context(|| format!("nothing is open in {service}"))?.to_string())
    }

    async fn pause(&self, service: &str) -> anyhow::Result<()> {
        let act = format!("{}/api/v1/services/{service}/environments/production/pause", self.base);
        self.http.post(act).bearer_auth(crowd::TOKEN).send().await?.error_for_status()?;
        Ok(())
    }

    /// A rollout is paused through the API: how long until a page that is open elsewhere has it.
    async fn presses(&self) -> anyhow::Result<Vec<f64>> {
        let mut samples = Vec::new();
        for n in 0..PRESSES {
            let service = format!("service-{n:03}");
            let mut stream = self.get(&format!("/live?topics=service:{service}")).send().await?.error_for_status()?;
            let began = Instant::now();
            self.pause(&service).await?;
            loop {
                let chunk = stream.chunk().await?.context("the stream has ended")?;
                if chunk.windows(7).any(|w| w == b"changed") {
                    let part = self.get("/").header("x-live", "1").send().await?.text().await?;
                    let card = part.split(&format!(">{service} ")).next().unwrap_or_default();
                    if card.rfind("paused") > card.rfind("<li") {
                        break;
                    }
                }
            }
            samples.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(samples)
    }
}
