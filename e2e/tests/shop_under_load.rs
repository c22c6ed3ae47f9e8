//! The shop under the load generator, without Slipway between them: what the end-to-end tests measure with.

use std::time::Duration;

use slipway_e2e::{Standalone, build, until};
use slipway_load::{Load, LoadHandle, Options};

async fn seen(load: &LoadHandle, n: u64) -> anyhow::Result<()> {
    until("enough requests were made", async || (load.snapshot().requests >= n).then_some(())).await
}

#[tokio::test]
async fn a_failing_shop_is_blamed_and_a_good_one_is_not() -> anyhow::Result<()> {
    for (rate, failing) in [("0", false), ("0.3", true)] {
        let shop = Standalone::start(&[("VERSION", "1"), ("FAIL_RATE", rate)]).await?;
        let load = Load::start(Options::new(format!("http://{}/", shop.address)))?;
        seen(&load, 300).await?;
        let report = load.stop().await;
        assert_eq!(report.failures.by_slipway, 0, "{:?}", report.first_failures);
        assert_eq!(report.failures.by_service > 0, failing);
        assert_eq!(report.versions["1"].requests, report.requests);
    }
    Ok(())
}

#[tokio::test]
async fn an_outage_is_seen_from_its_first_request_to_its_last() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("outage");
    let shop = Standalone::start(&[("VERSION", "1"), ("OUTAGE_FILE", &file.to_string_lossy())]).await?;
    let load = Load::start(Options::new(format!("http://{}/", shop.address)))?;
    seen(&load, 100).await?;
    assert_eq!(load.snapshot().failures.total(), 0);
    std::fs::write(&file, "")?;
    until("the outage is felt", async || (load.snapshot().failures.by_service > 50).then_some(())).await?;
    std::fs::remove_file(&file)?;
    let over = load.snapshot();
    seen(&load, over.requests + 200).await?;
    let report = load.stop().await;
    assert!(report.failures.by_service - over.failures.by_service <= 32, "what was under way at most");
    assert_eq!(report.failures.kinds.keys().collect::<Vec<_>>(), ["status_503"]);
    Ok(())
}

#[tokio::test]
async fn slow_answers_and_crashes_show() -> anyhow::Result<()> {
    let shop = Standalone::start(&[("VERSION", "1"), ("SLOW_MS", "150"), ("SLOW_RATE", "0.1")]).await?;
    let load = Load::start(Options::new(format!("http://{}/", shop.address)))?;
    seen(&load, 300).await?;
    let slow = load.stop().await.versions["1"].latency;
    assert!(slow.p99_ms >= 150.0, "{slow:?}");

    let mut shop = Standalone::start(&[("CRASH_AFTER", "50")]).await?;
    let timeout = Duration::from_secs(5);
    let load = Load::start(Options { timeout, ..Options::new(format!("http://{}/", shop.address)) })?;
    assert_eq!(shop.process.wait().await?.code(), Some(3));
    seen(&load, 100).await?;
    let report = load.stop().await;
    assert!(report.failures.kinds.contains_key("connect"), "{:?}", report.failures);
    Ok(())
}

#[test]
fn builds_differ_by_name_and_behaviour_only() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bad = build(folder.path(), "bad", &[("FAIL_RATE", "0.3")])?;
    assert_eq!(std::fs::read_to_string(bad.join("shop.env"))?, "BUILD=bad\nFAIL_RATE=0.3\n");
    let good = build(folder.path(), "good", &[])?;
    assert_eq!(std::fs::read(bad.join("shop"))?, std::fs::read(good.join("shop"))?);
    Ok(())
}
