//! The crowded console as a browser shows it: a real Chromium beside the open pages.

use std::time::{Duration, Instant};

use slipway_e2e::{At, Browser, Sight};

use super::crowd;

const LOADS: usize = 20;
/// Services whose rollouts are paused here: others than those that are paused elsewhere in the benchmark.
const PAUSED: std::ops::Range<usize> = 30..45;
/// From the beginning of the navigation until everything is there and painted, in milliseconds.
const SHOWN: &str = "(() => { const page = performance.getEntriesByType('navigation')[0]; \
                     const paint = performance.getEntriesByName('first-contentful-paint')[0]; \
                     return Math.ceil(Math.max(page.domComplete, paint ? paint.startTime : 0)); })()";

/// How long the overview takes until it is shown, and how long a press elsewhere takes until it is on screen; in
/// milliseconds.
pub async fn measure(base: &str, press: impl AsyncFn(&str) -> anyhow::Result<()>) -> anyhow::Result<[Vec<f64>; 2]> {
    let browser = Browser::start().await?;
    let tab = browser.tab(&Sight::wide(base.to_string())).await?;
    tab.goto("/").await?;
    tab.fill(At::label("Token"), crowd::TOKEN).await?;
    tab.press("Enter").await?;
    tab.until(At::css("#live"), "service-499").await?;
    let (mut shown, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..LOADS {
        tab.goto("/").await?;
        shown.push(tab.eval(SHOWN).await?.as_f64().unwrap_or(f64::INFINITY));
    }
    tab.until(At::css("#live"), "service-499").await?;
    for n in PAUSED {
        let service = format!("service-{n:03}");
        let began = Instant::now();
        press(&service).await?;
        tab.until_within(At::css("#live"), &format!(r"paused\s+{service}"), Duration::from_secs(20)).await?;
        seen.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    tab.close().await?;
    browser.end().await?;
    Ok([shown, seen])
}
