//! Pages that are left open while things happen: they do not fall behind, and neither they nor the control plane grow. Two
//! minutes here; `make soak` lets the same go on for an hour.

mod common;

use std::time::{Duration, Instant};

use common::{Stage, alone};
use slipway_e2e::{At, Browser, Held, Sight, Tab, until};

/// A canary that gathers evidence for as long as the pages are open, and an environment before it that changes meanwhile. The
/// last that is declared has the host.
const CANARY: &str =
    "{ instances: 1, strategy: { canary: { steps: [10%, 100%], min_requests: 100000000, step_limit: 1d } } }";
const QUIET: &str = "staging: { instances: 1, strategy: { blue-green: { verify: 1s } } }";
/// The candidate's requests that may have come since the number that its page shows last: it gets about thirty a second.
const BEHIND: u64 = 600;
/// How long the pages stay open, where `SOAK_MINUTES` does not say.
const MINUTES: u64 = 2;
/// Changes before what the pages hold is measured for the first time: by then everything is loaded that ever is.
const WARM: u64 = 20;
/// More than a page that leaks nothing may hold at the end: what the browser itself keeps differs by that much.
const SLACK_BYTES: u64 = 1 << 20;
const SLACK_NODES: u64 = 200;
/// More than the control plane may have grown, in bytes: its caches fill while the test runs.
const SLACK_CONTROL: u64 = 48 << 20;

/// Bytes of memory that are a process's own.
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("its share of memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Connections that a process has open: files of its database come and go by themselves.
fn handles(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    open.filter(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
        .count()
}

fn no_more(what: &str, before: Held, after: Held) {
    assert!(after.bytes <= before.bytes + SLACK_BYTES, "{what}: {before:?}, then {after:?}");
    assert!(after.nodes <= before.nodes + SLACK_NODES, "{what}: {before:?}, then {after:?}");
    assert!(after.listeners <= before.listeners + SLACK_NODES, "{what}: {before:?}, then {after:?}");
}

/// Requests that the candidate has met, as the page of its rollout says.
async fn shown(rollout: &Tab<'_>) -> anyhow::Result<u64> {
    let said = rollout.until(At::css("section[aria-labelledby=evidence] > p"), "requests met").await?;
    Ok(said.split(' ').next().unwrap_or_default().replace(',', "").parse()?)
}

/// The page of the rollout is not further behind than `BEHIND` requests.
async fn keeps_up(stage: &Stage, id: &str, rollout: &Tab<'_>) -> anyhow::Result<()> {
    let told = stage.rollout(id).await["exposed_requests"].as_u64().unwrap_or_default();
    until("the page shows what the API told", async || (shown(rollout).await.ok()? >= told).then_some(())).await?;
    let (now, shown) =
        (stage.rollout(id).await["exposed_requests"].as_u64().unwrap_or_default(), shown(rollout).await?);
    assert!(now <= shown + BEHIND, "{now} requests have met it, and the page says {shown}");
    Ok(())
}

/// Begins or ends maintenance, and waits until both pages say so: nothing else is changed before.
async fn change(stage: &Stage, n: u64, overview: &Tab<'_>, service: &Tab<'_>) -> anyhow::Result<()> {
    let (word, calm) = if n.is_multiple_of(2) { ("on", false) } else { ("off", true) };
    let command = ["maintenance", word, "shop", "--env", "staging"];
    stage.slipway.cli(&command).await?.expect(0)?;
    let (there, here) = match calm {
        true => ("1 changing, nobody is needed", r"^(?![\s\S]*\bin maintenance)[\s\S]*since"),
        false => ("1 needs a look, 1 changing", r"\bin maintenance"),
    };
    overview.until(At::css("#live"), there).await?;
    service.until(At::css("#live .lanes"), here).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_left_open_neither_grows_nor_falls_behind() -> anyhow::Result<()> {
    let _alone = alone().await;
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(MINUTES);
    let stage = Stage::set(CANARY).await;
    stage.slipway.declare(&format!("{QUIET}\nproduction: {CANARY}"))?;
    let first = stage.slipway.scratch().join("build-1.0.0");
    stage.slipway.release("1.0.0", &first, "staging", &[]).await?.expect(0)?;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "10%").await;
    let control = stage.slipway.control_plane().expect("a control plane");
    let (browser, token) = (Browser::start().await?, stage.slipway.token()?);
    let sight = Sight::wide(format!("http://{}", stage.slipway.api));
    let before = handles(control);
    let (overview, service, rollout) =
        (browser.tab(&sight).await?, browser.tab(&sight).await?, browser.tab(&sight).await?);
    let canary = format!("/rollouts/{id}");
    for (tab, path) in [(&overview, "/"), (&service, "/services/shop"), (&rollout, &*canary)] {
        tab.goto(path).await?;
        tab.fill(At::label("Token"), token.trim()).await?;
        tab.press("Enter").await?;
        tab.until(At::css("#live"), "1\\.0\\.0").await?;
    }
    rollout.until(At::css(".band"), r"\d of \d+ bad; between").await?;
    for n in 0..WARM {
        change(&stage, n, &overview, &service).await?;
        keeps_up(&stage, &id, &rollout).await?;
    }
    let met = shown(&rollout).await?;
    let held = (overview.holds().await?, service.holds().await?, memory(control));
    let charted = rollout.holds().await?;
    let (began, mut changes) = (Instant::now(), 0);
    // An even number, so that the pages say the same as when they were measured.
    // And enough of them to show something, however long that takes.
    while began.elapsed() < Duration::from_secs(60 * minutes) || changes < 20 * minutes || changes % 2 == 1 {
        change(&stage, changes, &overview, &service).await?;
        keeps_up(&stage, &id, &rollout).await?;
        changes += 1;
    }
    no_more("the overview", held.0, overview.holds().await?);
    no_more("the service", held.1, service.holds().await?);
    no_more("the rollout", charted, rollout.holds().await?);
    assert!(shown(&rollout).await? > met + 100, "the rollout's page went on all the while");
    let now = memory(control);
    assert!(now <= held.2 + SLACK_CONTROL, "the control plane had {} bytes, and now {now}", held.2);
    println!(
        "{changes} changes in {:?}, each seen on its pages before the next, and a canary followed; control plane {} -> {now} bytes",
        began.elapsed(),
        held.2
    );
    for tab in [&overview, &service, &rollout] {
        assert_eq!(tab.troubles().await?, Vec::<String>::new());
    }
    // What is kept is seen: a measure that always says the same would show nothing.
    let clean = overview.holds().await?;
    overview.eval("(window.kept = Array.from({ length: 200000 }, (_, i) => ({ kept: i }))).length").await?;
    let kept = overview.holds().await?;
    assert!(kept.bytes > clean.bytes + SLACK_BYTES, "{clean:?}, then {kept:?}");
    overview.close().await?;
    service.close().await?;
    rollout.close().await?;
    browser.end().await?;
    until("nothing of the pages is left at the control plane", async || (handles(control) <= before + 2).then_some(()))
        .await?;
    stage.strike().await;
    Ok(())
}
