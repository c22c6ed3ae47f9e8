//! A real browser: Debian's Chromium, driven through `e2e/browser/driver.mjs`. Ends with whoever dropped it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// How long one request to the driver may take; what it waits for has limits of its own.
const LIMIT: Duration = Duration::from_secs(300);
/// How long a page may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// A browser.
pub struct Browser {
    pipe: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    next: AtomicU64,
    driver: Child,
}

/// How a page looks at things.
#[derive(Debug, Clone)]
pub struct Sight {
    /// Where its paths begin: `http://127.0.0.1:7070`.
    pub base: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Dark instead of light.
    pub dark: bool,
    /// Whether scripts run.
    pub script: bool,
}

impl Sight {
    /// A wide, light page with scripts.
    pub fn wide(base: impl Into<String>) -> Sight {
        Sight { base: base.into(), size: (1280, 900), dark: false, script: true }
    }
}

/// An element: by role and name, by label, or by CSS.
#[derive(Debug, Clone)]
pub struct At(Value);

impl At {
    /// By role and a part of its accessible name.
    pub fn role(role: &str, name: &str) -> At {
        At(json!({ "role": role, "name": name }))
    }

    /// By its label.
    pub fn label(label: &str) -> At {
        At(json!({ "label": label }))
    }

    /// By CSS.
    pub fn css(css: &str) -> At {
        At(json!({ "css": css }))
    }
}

/// A page in a browser, with cookies of its own.
pub struct Tab<'a> {
    browser: &'a Browser,
    name: String,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> anyhow::Result<Browser> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let installed = folder.join("node_modules/playwright-core").is_dir();
        ensure!(installed, "playwright-core is missing in {}: run scripts/setup", folder.display());
        let chromium =
            ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|path| Path::new(path).exists());
        let chromium = chromium.context("chromium is missing: run scripts/setup")?;
        let mut driver = Command::new("node")
            .arg(folder.join("driver.mjs"))
            .arg(chromium)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node is missing: run scripts/setup")?;
        let (stdin, stdout) = (driver.stdin.take().context("no pipe")?, driver.stdout.take().context("no pipe")?);
        let pipe = Mutex::new((stdin, BufReader::new(stdout).lines()));
        Ok(Browser { pipe, next: AtomicU64::new(1), driver })
    }

    /// Opens a page.
    pub async fn tab(&self, sight: &Sight) -> anyhow::Result<Tab<'_>> {
        let name = format!("tab-{}", self.next.fetch_add(1, Relaxed));
        let options = json!({
            "baseURL": sight.base,
            "viewport": { "width": sight.size.0, "height": sight.size.1 },
            "colorScheme": if sight.dark { "dark" } else { "light" },
            "javaScriptEnabled": sight.script,
            "timezoneId": "Europe/Berlin",
            "locale": "en-GB",
        });
        self.ask(json!({ "act": "open", "name": name, "options": options })).await?;
        Ok(Tab { browser: self, name })
    }

    async fn ask(&self, mut request: Value) -> anyhow::Result<Value> {
        let id = self.next.fetch_add(1, Relaxed);
        request["id"] = id.into();
        let mut pipe = self.pipe.lock().await;
        let (stdin, lines) = &mut *pipe;
        stdin.write_all(format!("{request}\n").as_bytes()).await.context("the browser is gone")?;
        // An answer to a request that nobody waited for any more may come first.
        let answer = loop {
            let line =
                tokio::time::timeout(LIMIT, lines.next_line()).await.context("the browser does not answer")??;
            let answer: Value = serde_json::from_str(&line.context("the browser has ended; see its output above")?)?;
            if answer["id"] == id {
                break answer;
            }
        };
        if let Some(error) = answer["error"].as_str() {
            bail!("{error}");
        }
        Ok(answer["value"].clone())
    }

    /// Ends it.
    pub async fn end(self) -> anyhow::Result<()> {
        let Browser { pipe, mut driver, .. } = self;
        // The end of its input is what makes the driver close the browser.
        drop(pipe);
        tokio::time::timeout(LIMIT, driver.wait()).await.context("the browser does not end")??;
        Ok(())
    }
}

/// What a page holds in the browser's memory.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Of script objects.
    pub bytes: u64,
    /// Of the document, and those that are kept beside it.
    pub nodes: u64,
    /// Listeners of events.
    pub listeners: u64,
}

impl Tab<'_> {
    async fn ask(&self, act: &str, mut request: Value) -> anyhow::Result<Value> {
        request["act"] = act.into();
        request["name"] = self.name.clone().into();
        self.browser.ask(request).await
    }

    /// Goes somewhere; the status of the answer.
    pub async fn goto(&self, path: &str) -> anyhow::Result<u64> {
        Ok(self.ask("goto", json!({ "path": path })).await?.as_u64().unwrap_or(0))
    }

    /// Where it is.
    pub async fn url(&self) -> anyhow::Result<String> {
        Ok(text(self.ask("url", json!({})).await?))
    }

    /// Clicks.
    pub async fn click(&self, at: At) -> anyhow::Result<()> {
        self.ask("click", json!({ "at": at.0 })).await.map(drop)
    }

    /// Writes into a field.
    pub async fn fill(&self, at: At, words: &str) -> anyhow::Result<()> {
        self.ask("fill", json!({ "at": at.0, "text": words })).await.map(drop)
    }

    /// Chooses one of several.
    pub async fn choose(&self, at: At, words: &str) -> anyhow::Result<()> {
        self.ask("choose", json!({ "at": at.0, "text": words })).await.map(drop)
    }

    /// Types where the focus is, a key after another.
    pub async fn type_in(&self, words: &str) -> anyhow::Result<()> {
        self.ask("type", json!({ "text": words })).await.map(drop)
    }

    /// Presses a key: `Tab`, `Enter`, `/`.
    pub async fn press(&self, key: &str) -> anyhow::Result<()> {
        self.ask("press", json!({ "key": key })).await.map(drop)
    }

    /// What an element says.
    pub async fn text(&self, at: At) -> anyhow::Result<String> {
        Ok(text(self.ask("text", json!({ "at": at.0 })).await?))
    }

    /// How many elements there are.
    pub async fn count(&self, css: &str) -> anyhow::Result<u64> {
        Ok(self.ask("count", json!({ "at": { "css": css } })).await?.as_u64().unwrap_or(0))
    }

    /// Waits until an element says something that fits a regular expression; all that it says then.
    pub async fn until(&self, at: At, pattern: &str) -> anyhow::Result<String> {
        self.until_within(at, pattern, PATIENCE).await
    }

    /// The same with another limit.
    pub async fn until_within(&self, at: At, pattern: &str, limit: Duration) -> anyhow::Result<String> {
        let request = json!({ "at": at.0, "pattern": pattern, "limit": limit.as_millis() as u64 });
        Ok(text(self.ask("until", request).await?))
    }

    /// The element that has the focus: its tag and its name.
    pub async fn focused(&self) -> anyhow::Result<String> {
        Ok(text(self.ask("focused", json!({})).await?))
    }

    /// A picture of the whole page, below `target/screens`.
    pub async fn shoot(&self, name: &str) -> anyhow::Result<PathBuf> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screens").join(format!("{name}.png"));
        self.ask("shoot", json!({ "file": file })).await?;
        Ok(file)
    }

    /// What axe has against the page.
    pub async fn axe(&self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.ask("axe", json!({})).await?)?)
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, script: &str) -> anyhow::Result<Value> {
        self.ask("eval", json!({ "script": script })).await
    }

    /// What the page holds in the browser's memory, without what is only waiting to be collected.
    pub async fn holds(&self) -> anyhow::Result<Held> {
        let held = self.ask("holds", json!({})).await?;
        let of = |key: &str| held[key].as_u64().context("the browser does not say what it holds");
        Ok(Held { bytes: of("bytes")?, nodes: of("nodes")?, listeners: of("listeners")? })
    }

    /// Errors of scripts, of the console and of requests since the last time that this was asked.
    pub async fn troubles(&self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.ask("troubles", json!({})).await?)?)
    }

    /// Closes it with its cookies.
    pub async fn close(self) -> anyhow::Result<()> {
        self.ask("close", json!({})).await.map(drop)
    }
}

fn text(value: Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}
