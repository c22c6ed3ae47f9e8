//! For each strategy: a good version reaches everybody, a bad one is taken back by itself, nothing fails by Slipway,
//! and capacity never falls below what was promised. As the client sees it.

mod common;

use common::{Stage, Watch, alone, nothing_failed_by_slipway, weight};

/// A bad build: what makes it bad, and a word that the cause must hold.
struct Bad {
    version: &'static str,
    variables: &'static [(&'static str, &'static str)],
    cause: &'static str,
}

const BAD: [Bad; 4] = [
    Bad { version: "2.0.0-errors", variables: &[("FAIL_RATE", "0.5")], cause: "errors" },
    Bad { version: "2.0.0-slow", variables: &[("SLOW_MS", "3500"), ("SLOW_RATE", "0.6")], cause: "latency" },
    Bad { version: "2.0.0-smoke", variables: &[("SMOKE_FAIL", "1")], cause: "smoke" },
    Bad { version: "2.0.0-crash", variables: &[("CRASH_AFTER", "20")], cause: "" },
];

async fn story(production: &str, keeps_stable: bool) {
    let _alone = alone().await;
    let stage = Stage::set(production).await;
    let watch = Watch::begin(&stage);
    let (good, code) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!((good["outcome"].as_str(), code), (Some("succeeded"), 0), "{good:#}");
    assert_eq!(weight(&stage.lane().await, "1.1.0"), 10_000);
    assert_eq!(stage.stable().await, "1.1.0");
    let mut ends = Vec::new();
    for Bad { version, variables, cause: word } in BAD {
        let (bad, code) = stage.release(version, variables, &[]).await;
        assert_eq!((bad["outcome"].as_str(), code), (Some("rolled_back"), 10), "{version}: {bad:#}");
        let cause = bad["cause"].as_str().unwrap_or_default();
        assert!(cause.contains(word), "{version}: {cause}");
        let steps = bad["steps"].as_array().expect("steps");
        assert_eq!(steps.iter().filter(|step| step["state"] == "failed").count(), 1, "{bad:#}");
        let lane = stage.lane().await;
        assert_eq!(stage.stable().await, "1.1.0", "{version}");
        assert_eq!((weight(&lane, "1.1.0"), weight(&lane, version)), (10_000, 0), "{version}");
        // What was sent before the traffic was back has been answered by then.
        stage.gives("1.1.0", 300).await;
        let met = stage.given(version) > 0;
        assert!(!met || bad["exposed_requests"].as_u64() > Some(0), "{version}: {bad:#}");
        if met {
            ends.push((version, stage.recorded(bad["rollout"].as_str().expect("an id"), "traffic.returned").await));
        }
    }
    let (stable, all) = (watch.fewest_stable(), watch.fewest_in_all());
    drop(watch);
    if keeps_stable {
        assert_eq!(stable, 3, "stable keeps all of its instances");
    }
    assert!(all >= 3, "ready capacity fell to {all}");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    let met: Vec<&str> = ends.iter().map(|(version, _)| *version).collect();
    assert_eq!(met, ["2.0.0-errors", "2.0.0-slow", "2.0.0-crash"], "no user meets what fails its smoke test");
    for (version, returned) in ends {
        let last = report.versions[version].last_sent_ms;
        assert!(last <= returned, "{version} got a request {} ms after its way back was confirmed", last - returned);
    }
    assert_eq!(report.versions["1.1.0"].failed, 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn canary() {
    story("{ instances: 3, strategy: { canary: { steps: [20%, 60%, 100%], verify: 4s } } }", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_green() {
    story("{ instances: 3, strategy: { blue-green: { verify: 10s } } }", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling() {
    story("{ instances: 3, strategy: { rolling: { batch: 1, verify: 10s } } }", false).await;
}
