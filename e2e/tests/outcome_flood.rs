//! Very many outcomes, as fast as the API takes them: what is over the bound is refused and told when to come again, nothing
//! that was taken is lost or counted twice, memory stays bounded, and a rollback goes through meanwhile.
//!
//! `FLOOD_OUTCOMES=1000000` sends a million instead of 200,000.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::{Value, json};
use slipway_e2e::{build, until, until_within};
use tokio::task::JoinSet;

const BATCH: u64 = 1_000;
/// How many times as many are sent where none is refused.
const AT_MOST: u64 = 5;
/// Who reports at the same time.
const REPORTERS: u64 = 8;
/// What the control plane may grow by, in KiB: ids are kept for ten minutes at most, 5,000 a second, some 60 MiB.
const GROWTH_KIB: u64 = 200 << 10;
const ORDERS: &str = "  - { name: orders, bad: outcome order_failed, of: order_placed, at_most: 2% }\n";

/// Somebody who reports orders of one version.
#[derive(Clone)]
struct Reporter {
    client: reqwest::Client,
    url: String,
    token: String,
    taken: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    /// A rollback was asked for.
    over: Arc<AtomicBool>,
}

/// What came of a batch.
enum Came {
    /// It was looked at: new ones, and those that had been taken before.
    In { taken: u64, again: u64 },
    /// None of it was taken; to be sent again after so many seconds.
    Refused(u64),
}

impl Reporter {
    /// Sends the batch of this number. Sent again it is the same.
    async fn send(&self, number: u64, size: u64) -> Came {
        let one = |i: u64| {
            json!({ "service": "shop", "environment": "production", "kind": "order_placed", "version": "1.1.0",
                    "id": format!("{number}-{i}") })
        };
        let body = json!({ "outcomes": (0..size).map(one).collect::<Vec<_>>() });
        let answer = self.client.post(&self.url).bearer_auth(&self.token).json(&body).send().await.expect("an answer");
        if answer.status() == 429 {
            let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
            self.refused.fetch_add(size, Ordering::SeqCst);
            return Came::Refused(after.filter(|secs| *secs >= 1).expect("when to come again"));
        }
        assert_eq!(answer.status(), 200);
        let told: Value = answer.json().await.expect("JSON");
        // Once it is taken back, nobody is on it.
        let refusals = told["refused"].as_array().expect("a list");
        if !refusals.is_empty() && self.over.load(Ordering::SeqCst) {
            assert!(refusals.iter().all(|one| one["code"] == "not_serving"), "{told:#}");
            return Came::In { taken: 0, again: 0 };
        }
        assert_eq!(told["refused"], json!([]), "{told:#}");
        let (taken, again) = (told["taken"].as_u64().expect("a number"), told["again"].as_u64().expect("a number"));
        assert_eq!(taken + again, size, "{told:#}");
        self.taken.fetch_add(taken, Ordering::SeqCst);
        Came::In { taken, again }
    }

    /// Sends it as often as it is told to, each time as late as it is told to.
    async fn insist(&self, number: u64, size: u64) -> (u64, u64) {
        loop {
            match self.send(number, size).await {
                Came::In { taken, again } => return (taken, again),
                Came::Refused(secs) => tokio::time::sleep(Duration::from_secs(secs)).await,
            }
        }
    }
}

/// What the judge has been shown of the orders of a rollout's version.
async fn counted(stage: &Stage, rollout: &str) -> Option<u64> {
    let samples = stage.slipway.get(&format!("/rollouts/{rollout}/samples")).await.ok()?;
    let samples = samples.as_array().cloned().or_else(|| samples["samples"].as_array().cloned())?;
    let points = samples.iter().rev().find_map(|sample| sample["objectives"].as_array())?;
    points.iter().find(|point| point["name"] == "orders")?["n"].as_u64()
}

/// Memory of a process that is in use, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_bounded_counts_once_and_holds_up_no_way_back() {
    let _alone = alone().await;
    let many: u64 = std::env::var("FLOOD_OUTCOMES").ok().map_or(200_000, |n| n.parse().expect("a number"));
    let stage = Stage::set("{ instances: 1, strategy: { blue-green: { verify: 1s } } }").await;
    let slipway = &stage.slipway;
    slipway.declare("production: { instances: 1, strategy: { blue-green: { verify: 20m } } }").expect("a file");
    let file = slipway.scratch().join("slipway.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    // How fast the shop answers while all of this goes on is nobody's question.
    let (head, tail) = text.split_once("  - { name: latency").expect("an objective");
    let rest = tail.split_once("environments:").expect("environments").1;
    std::fs::write(&file, format!("{head}{ORDERS}environments:{rest}")).expect("it is written");
    build(slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    let rollout = stage.begin("1.1.0", &[], &[]).await;
    let made = slipway.json(&["token", "create", "shop-reports", "--may", "report"]).await.expect("a token");
    let reporter = Reporter {
        client: reqwest::Client::new(),
        url: format!("http://{}/api/v1/outcomes", slipway.api),
        token: made["token"].as_str().expect("its text").to_string(),
        taken: Arc::default(),
        refused: Arc::default(),
        over: Arc::default(),
    };
    stage.at_step(&rollout, "verification").await;

    // Single ones until the judge is shown one: from then on they belong to the split that is verified.
    let (mut single, mut first) = (0, None);
    while first.is_none() {
        assert!(single < 10, "nothing that is reported is shown to the judge");
        single += 1;
        reporter.insist(u64::MAX - single, 1).await;
        let shown = async || counted(&stage, &rollout).await.filter(|n| *n > 0);
        first = until_within(Duration::from_secs(30), "the judge is shown what is reported", shown).await.ok();
    }
    // All but the newest were about the split before.
    let early = single - 1;

    let pid = slipway.control_plane().expect("it runs");
    let before = resident(pid);
    let (next, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut senders = JoinSet::new();
    for _ in 0..REPORTERS {
        let (reporter, next, sent) = (reporter.clone(), next.clone(), sent.clone());
        senders.spawn(async move {
            let (mut last_in, mut last_refused) = (None, None);
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                // A machine that is slow enough sends more, until it is too much.
                let flooded = reporter.refused.load(Ordering::SeqCst) > 0 || number * BATCH >= AT_MOST * many;
                if number * BATCH >= many && flooded {
                    return (last_in, last_refused);
                }
                sent.fetch_add(BATCH, Ordering::SeqCst);
                match reporter.send(number, BATCH).await {
                    Came::In { taken, again } => {
                        assert_eq!((taken, again), (BATCH, 0), "nobody has sent it before");
                        last_in = Some(number);
                    }
                    Came::Refused(_) => last_refused = Some(number),
                }
            }
        });
    }
    let lasts = senders.join_all().await;
    let (taken, refused) = (reporter.taken.load(Ordering::SeqCst), reporter.refused.load(Ordering::SeqCst));
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent >= many);
    assert_eq!(taken - single + refused, sent, "each batch is taken whole or refused whole");
    assert!(refused > 0, "{taken} of {sent} were taken, and none refused");
    let grown = resident(pid).saturating_sub(before);
    println!("{sent} outcomes were sent, {taken} taken, {refused} refused; the control plane grew by {grown} KiB");
    assert!(grown < GROWTH_KIB, "it grew by {grown} KiB");

    // What was taken is known when it comes again; what was refused was not taken in part.
    for (last_in, last_refused) in lasts {
        if let Some(number) = last_in {
            assert_eq!(reporter.insist(number, BATCH).await, (0, BATCH), "batch {number} was taken");
        }
        if let Some(number) = last_refused {
            assert_eq!(reporter.insist(number, BATCH).await, (BATCH, 0), "batch {number} was refused");
        }
    }
    let taken = reporter.taken.load(Ordering::SeqCst);
    let all = until_within(Duration::from_secs(180), "the judge is shown each of them once", async || {
        (counted(&stage, &rollout).await? == taken - early).then_some(())
    });
    all.await.expect("none is lost and none counts twice");

    // Meanwhile the way back is as free as ever.
    let ended = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for sender in 0..REPORTERS {
        let (reporter, ended) = (reporter.clone(), ended.clone());
        senders.spawn(async move {
            for number in 0.. {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                reporter.send(((sender + 1) << 40) | number, BATCH).await;
            }
        });
    }
    let refused = reporter.refused.load(Ordering::SeqCst);
    until("the flood is there again", async || (reporter.refused.load(Ordering::SeqCst) > refused).then_some(()))
        .await
        .expect("it is refused");
    reporter.over.store(true, Ordering::SeqCst);
    let back = stage.say("rollback", &[]).await;
    ended.store(true, Ordering::SeqCst);
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(stage.outcome(&rollout).await["outcome"], "rolled_back");
    assert_eq!(stage.stable().await, "1.0.0");
    senders.join_all().await;
    nothing_failed_by_slipway(&stage.strike().await);
}
