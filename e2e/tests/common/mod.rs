//! What the stories share: a Slipway with the shop in production under steady traffic, and one story at a time.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod post;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;
use slipway_e2e::{Options, Output, Slipway, build, until, until_within};
use slipway_load::{Load, LoadHandle, Report};
use tokio::sync::{Mutex, MutexGuard};

/// Two cores carry one story at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Waits for the story before.
pub async fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// Slipway with the shop in production, and traffic on it.
pub struct Stage {
    /// Slipway.
    pub slipway: Slipway,
    /// The traffic.
    pub load: LoadHandle,
}

impl Stage {
    /// Releases 1.0.0 into production, declared as `production`, and puts 300 requests per second on it.
    pub async fn set(production: &str) -> Stage {
        Stage::set_with(production, 300.0).await
    }

    /// The same of a shop whose objectives, with what stands before them, are these `sections`, by 2,000 users; once some
    /// hundred answers have come.
    pub async fn set_declared(production: &str, sections: &str) -> Stage {
        let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
        slipway.declare(&format!("production: {production}")).expect("a declared file");
        let file = slipway.scratch().join("slipway.yaml");
        let text = std::fs::read_to_string(&file).expect("it is there");
        let (head, tail) = text.split_once("objectives:\n").expect("objectives");
        let rest = tail.split_once("environments:").expect("environments").1;
        std::fs::write(&file, format!("{head}{sections}environments:{rest}")).expect("it is written");
        let first = build(slipway.scratch(), "build-1.0.0", &[]).expect("a build");
        slipway.release("1.0.0", &first, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");
        let load = crowd(&slipway, 300.0);
        until("answers come", async || (load.snapshot().requests > 200).then_some(())).await.expect("answers");
        Stage { slipway, load }
    }

    /// The same at another rate.
    pub async fn set_with(production: &str, rate: f64) -> Stage {
        Stage::set_on(Slipway::start(Options::default()).await.expect("Slipway starts"), production, rate).await
    }

    /// The same on a Slipway that runs already.
    pub async fn set_on(slipway: Slipway, production: &str, rate: f64) -> Stage {
        slipway.declare(&format!("production: {production}")).expect("a declared file");
        let first = build(slipway.scratch(), "build-1.0.0", &[]).expect("a build");
        slipway.release("1.0.0", &first, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");
        let load = crowd(&slipway, rate);
        until("answers come", async || (load.snapshot().requests > 50.min(rate as u64 * 2)).then_some(()))
            .await
            .expect("answers");
        Stage { slipway, load }
    }

    /// Releases a build of the shop that behaves as `variables` say; returns its final JSON and the exit code.
    pub async fn release(&self, version: &str, variables: &[(&str, &str)], more: &[&str]) -> (Value, i32) {
        let build = build(self.slipway.scratch(), &format!("build-{version}"), variables).expect("a build");
        let output = self.slipway.release(version, &build, "production", more).await.expect("it runs");
        let code = output.code;
        (output.json().unwrap_or_else(|e| panic!("{e}\n{output}")), code)
    }

    /// Asks for a release and does not wait; the rollout's id.
    pub async fn begin(&self, version: &str, variables: &[(&str, &str)], more: &[&str]) -> String {
        let (asked, code) = self.release(version, variables, &[more, &["--detach"]].concat()).await;
        assert_eq!(code, 0, "{asked:#}");
        asked["rollout"].as_str().expect("an id").to_string()
    }

    /// A rollout as it stands; null while it cannot be asked for.
    pub async fn rollout(&self, id: &str) -> Value {
        self.slipway.get(&format!("/rollouts/{id}")).await.unwrap_or_default()
    }

    /// Waits until the step named `name` is at hand, its traffic confirmed. One that may be over within seconds is missed on a
    /// machine that is busy enough: what has to be done in its course wants a step that waits, by its `min_requests`.
    pub async fn at_step(&self, id: &str, name: &str) {
        let mut now = Value::Null;
        until(&format!("{id} is at step {name}"), async || {
            now = self.rollout(id).await;
            (step_state(&now, name) == "waiting").then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}: {now:#}"));
    }

    /// Waits until a rollout has an outcome.
    pub async fn outcome(&self, id: &str) -> Value {
        let ended = until_within(Duration::from_secs(300), &format!("{id} has an outcome"), async || {
            let now = self.rollout(id).await;
            now["outcome"].is_string().then_some(now)
        })
        .await;
        match ended {
            Ok(now) => now,
            Err(error) => {
                panic!("{error}: {:#}; the control plane said {}", self.rollout(id).await, self.slipway.said())
            }
        }
    }

    /// A command about the shop in production, as `pause`, with `--json`.
    pub async fn say(&self, word: &str, more: &[&str]) -> Output {
        let arguments = [word, "shop", "--env", "production", "--json"];
        self.slipway.cli(&[&arguments, more].concat()).await.expect("it runs")
    }

    /// `status --json` of the shop in production.
    pub async fn lane(&self) -> Value {
        self.slipway.lane("shop", "production").await.expect("a status").expect("a lane")
    }

    /// Answers that a version has given.
    pub fn given(&self, version: &str) -> u64 {
        self.load.snapshot().versions.get(version).map_or(0, |seen| seen.requests)
    }

    /// Waits until a version has given `n` more answers.
    pub async fn gives(&self, version: &str, n: u64) {
        let wanted = self.given(version) + n;
        until(&format!("{version} has given {n} more answers"), async || (self.given(version) >= wanted).then_some(()))
            .await
            .expect("answers");
    }

    /// When the first entry of this kind was written about a rollout, in milliseconds since 1970.
    pub async fn recorded(&self, rollout: &str, kind: &str) -> u64 {
        let entries = self.slipway.get(&format!("/journal?limit=1000&rollout={rollout}")).await.expect("a journal");
        let entry = entries.as_array().expect("entries").iter().rev().find(|entry| entry["kind"] == kind);
        entry.and_then(|entry| entry["at"].as_u64()).unwrap_or_else(|| panic!("no {kind} in {entries:#}"))
    }

    /// The version that serves.
    pub async fn stable(&self) -> String {
        let lane = self.slipway.lane("shop", "production").await.expect("a status").expect("a lane");
        lane["stable"]["version"].as_str().unwrap_or_default().to_string()
    }

    /// Ends everything; what the client saw.
    pub async fn strike(self) -> Report {
        let verified = self.slipway.cli(&["journal", "verify"]).await.expect("it runs");
        assert_eq!(verified.code, 0, "{verified}");
        let report = self.load.stop().await;
        let said = self.slipway.said();
        self.slipway.down().await.unwrap_or_else(|e| panic!("{e}\n{said}"));
        report
    }
}

/// So many requests a second to the shop, by 2,000 users.
pub fn crowd(slipway: &Slipway, rate: f64) -> LoadHandle {
    let options = slipway_load::Options {
        host: Some("shop.local".into()),
        rate,
        users: 2_000,
        ..slipway_load::Options::new(slipway.traffic_url())
    };
    Load::start(options).expect("the load starts")
}

/// No request failed by Slipway's doing.
pub fn nothing_failed_by_slipway(report: &Report) {
    assert_eq!(report.failures.by_slipway, 0, "{:?}", report.first_failures);
}

/// Watches how many instances are ready, from outside, for as long as it lives.
pub struct Watch {
    fewest_stable: Arc<AtomicU64>,
    fewest_in_all: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin(stage: &Stage) -> Watch {
        let fewest_stable = Arc::new(AtomicU64::new(u64::MAX));
        let fewest_in_all = Arc::new(AtomicU64::new(u64::MAX));
        let (one, all) = (fewest_stable.clone(), fewest_in_all.clone());
        let url = format!("http://{}/api/v1/services/shop", stage.slipway.api);
        let token = stage.slipway.token().expect("a token");
        let task = tokio::spawn(async move {
            let client = reqwest::Client::new();
            loop {
                let Ok(answer) = client.get(&url).bearer_auth(&token).send().await else { continue };
                let Ok(lanes) = answer.json::<Value>().await else { continue };
                let ready = |role: &str| lanes[0][role]["ready"].as_u64().unwrap_or(0);
                one.fetch_min(ready("stable"), Relaxed);
                all.fetch_min(ready("stable") + ready("candidate"), Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        Watch { fewest_stable, fewest_in_all, task }
    }

    /// The fewest ready instances of the version that served at the time.
    pub fn fewest_stable(&self) -> u64 {
        self.fewest_stable.load(Relaxed)
    }

    /// The fewest ready instances of both versions together.
    pub fn fewest_in_all(&self) -> u64 {
        self.fewest_in_all.load(Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The ids and process ids of a version's instances, as `role` of a lane.
pub fn instances(lane: &Value, role: &str) -> Vec<(String, u64)> {
    let all = lane[role]["instances"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|i| Some((i["id"].as_str()?.to_string(), i["pid"].as_u64()?))).collect()
}

/// The state of a rollout's step: `pending`, `waiting`, `done`; empty where there is none of that name.
pub fn step_state<'a>(rollout: &'a Value, name: &str) -> &'a str {
    let mut steps = rollout["steps"].as_array().into_iter().flatten();
    steps.find(|step| step["name"] == name).and_then(|step| step["state"].as_str()).unwrap_or_default()
}

/// A version's share of the traffic in basis points.
pub fn weight(lane: &Value, version: &str) -> u64 {
    let parts = lane["split"].as_array().into_iter().flatten();
    parts.filter(|part| part["version"] == version).filter_map(|part| part["weight_bp"].as_u64()).sum()
}
