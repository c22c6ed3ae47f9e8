//! One Slipway on which cell after cell is played, under load.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use slipway_e2e::{Options, Slipway, build, program, until_within};
use slipway_load::{Load, LoadHandle};

use crate::checks;
use crate::kinds::{Kind, Rest};
use crate::points::{Points, Strike};

/// Requests per second.
const RATE: f64 = 60.0;
/// How long a cell may take to settle; what is waited for, not how long it takes.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a point is waited for after everything has settled: renewals come every three seconds, later on a machine that is
/// busy.
const LATE: Duration = Duration::from_secs(20);

const FILE: &str = "\
service: shop
run: { command: [./shop] }
health: { http: /healthz, interval: 100ms, timeout: 10s, healthy_after: 1 }
smoke:
  - { name: the database answers, http: { path: /ready, expect: { status: 200 } } }
traffic: { host: shop.local, path: /, sticky: { cookie: session } }
objectives: [{ name: errors, bad: failed, at_most: 60%, tolerate: 50% }]
environments:
  production: ";

/// Two versions that take turns.
const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

/// A Slipway with the shop in production.
pub struct Stage {
    pub kind: Kind,
    pub slipway: Slipway,
    pub points: Points,
    load: LoadHandle,
    /// The version that serves, by its place.
    stable: usize,
    _points_folder: tempfile::TempDir,
}

impl Stage {
    /// Sets one, with the first version in production and the second one known.
    pub async fn set(kind: Kind, database: Option<String>) -> anyhow::Result<Stage> {
        let folder = tempfile::Builder::new().prefix("points-").tempdir()?;
        let points = Points::new(folder.path().to_path_buf());
        let (slipway, variables) = (Some(program("slipway-failpoints")?), vec![points.variable()]);
        let slipway = Slipway::start(Options { database, slipway, variables, ..Options::default() }).await?;
        fs::write(slipway.scratch().join("slipway.yaml"), format!("{FILE}{}\n", kind.production()))?;
        for version in VERSIONS {
            build(slipway.scratch(), version, &[])?;
        }
        let load = Load::start(slipway_load::Options {
            host: Some("shop.local".into()),
            rate: RATE,
            connections: 4,
            ..slipway_load::Options::new(slipway.traffic_url())
        })?;
        let mut stage = Stage { kind, slipway, points, load, stable: 0, _points_folder: folder };
        for (place, version) in VERSIONS.into_iter().enumerate() {
            if place == 1 && (kind == Kind::Rollback || kind.follows_success()) {
                // It becomes known when it is released, and does not stay.
                continue;
            }
            let path = stage.slipway.scratch().join(version);
            stage.slipway.release(version, &path, "production", &[]).await?.expect(0)?;
            stage.stable = place;
        }
        stage.load = stage.fresh_load()?;
        if !kind.follows_success() {
            stage.settled(kind.before()).await?;
        }
        Ok(stage)
    }

    /// What was before the first version served does not count.
    fn fresh_load(&self) -> anyhow::Result<LoadHandle> {
        Load::start(slipway_load::Options {
            host: Some("shop.local".into()),
            rate: RATE,
            connections: 4,
            ..slipway_load::Options::new(self.slipway.traffic_url())
        })
    }

    /// The version that serves.
    pub fn stable(&self) -> &'static str {
        VERSIONS[self.stable]
    }

    /// The command that releases the other version.
    pub fn release(&self) -> [&str; 11] {
        let version = VERSIONS[1 - self.stable];
        [
            "release",
            "-f",
            "slipway.yaml",
            "--version",
            version,
            "--path",
            version,
            "--env",
            "production",
            "--detach",
            "--json",
        ]
    }

    /// The points that are passed when nothing goes wrong.
    pub async fn undisturbed(&mut self) -> anyhow::Result<Vec<String>> {
        self.play(None).await?;
        let mut passed = self.points.passed();
        // By time, not by what is done: it may or may not fall into a rollout as short as this one.
        passed.push("effect:renew".to_string());
        // A turn that is kept without an entry: samples are due by time, and a way back may be over before one is.
        let goes_back = self.kind == Kind::Rollback || self.kind.follows_success();
        passed.retain(|point| point != "journal:nothing" || !goes_back);
        passed.sort();
        passed.dedup();
        Ok(passed)
    }

    /// Plays one cell: one rollout, in whose course this happens. Checks how it ends.
    pub async fn cell(&mut self, strike: &Strike) -> anyhow::Result<()> {
        self.play(Some(strike)).await
    }

    async fn play(&mut self, strike: Option<&Strike>) -> anyhow::Result<()> {
        if self.kind.follows_success() {
            self.succeeds().await.context("the release to go back from")?;
        }
        let head = self.head().await.context("a newest entry")?;
        let open = self.kind.prepare(self).await;
        self.points.forget();
        if let Some(strike) = strike {
            self.points.arm(strike);
        }
        let answered = {
            let command = self.slipway.command(&self.kind.command(self))?.output();
            tokio::spawn(command)
        };
        if let Some(strike) = strike {
            self.struck(strike, head).await?;
        }
        let answered = answered.await??;
        if !answered.status.success() {
            // A write that failed is an answer; one that broke off is asked for again by the command itself.
            let said = String::from_utf8_lossy(&answered.stdout);
            ensure!(strike.is_some_and(|strike| strike.way == "fail"), "{said}");
            if self.rollout(head, open.as_deref()).await.is_none() {
                self.slipway.cli(&self.kind.command(self)).await?.expect(0)?;
            }
        }
        let asked = until_within(PATIENCE, "it is begun", async || self.rollout(head, open.as_deref()).await).await?;
        let ended = self.ended(&asked).await?;
        let outcome = self.kind.outcome_of(strike);
        ensure!(ended["outcome"] == outcome, "it should be {outcome}: {ended:#}");
        if self.kind.changes() && outcome == "succeeded" {
            self.stable = 1 - self.stable;
        }
        let stable = self.settled(self.kind.after()).await?;
        ensure!(stable == self.stable(), "{stable} serves, not {}", self.stable());
        self.points.disarm();
        checks::journal(self, head).await?;
        checks::processes(self)?;
        checks::client(&self.load.snapshot())
    }

    /// Releases the other version, undisturbed.
    async fn succeeds(&mut self) -> anyhow::Result<()> {
        let release: Vec<&str> = self.release().into_iter().filter(|word| *word != "--detach").collect();
        self.slipway.cli(&release).await?.expect(0)?;
        self.stable = 1 - self.stable;
        let stable = self.settled(self.kind.before()).await?;
        ensure!(stable == self.stable(), "{stable} serves, not {}", self.stable());
        Ok(())
    }

    /// Waits until it has happened; starts the control plane again where it was killed by it.
    async fn struck(&mut self, strike: &Strike, head: u64) -> anyhow::Result<()> {
        let happened =
            async || until_within(PATIENCE, "the point is passed", async || self.points.struck().then_some(())).await;
        let settled = async || {
            // A point that is not passed in a whole rollout is passed later, or not at all.
            loop {
                if self.rollout(head, None).await.is_some() && self.settled(self.kind.after()).await.is_ok() {
                    tokio::time::sleep(LATE).await;
                    return;
                }
            }
        };
        tokio::select! {
            happened = happened() => happened?,
            () = settled() => ensure!(self.points.struck(), "the point was not passed"),
        }
        if strike.way != "kill" {
            return Ok(());
        }
        self.slipway.control_plane_ended().await?;
        self.slipway.restart().await
    }

    /// The number of the newest entry.
    async fn head(&self) -> Option<u64> {
        self.slipway.get("/journal?limit=1").await.ok()?[0]["seq"].as_u64()
    }

    /// What was recorded after an entry.
    pub async fn recorded(&self, after: u64) -> Option<Vec<Value>> {
        self.slipway.get(&format!("/journal?limit=1000&after={after}")).await.ok()?.as_array().cloned()
    }

    /// The rollout that was asked for after an entry, or the way back of the one that is open.
    async fn rollout(&self, after: u64, open: Option<&str>) -> Option<String> {
        let kinds: &[&str] = if open.is_some() { &["decided.undo"] } else { &["rollout.asked", "rollback.asked"] };
        let entries = self.recorded(after).await?;
        let asked = entries.iter().find(|e| kinds.iter().any(|kind| e["kind"] == *kind))?;
        Some(asked["rollout"].as_str()?.to_string())
    }

    /// How many entries there are of a kind.
    async fn told(&self, kind: &str) -> Option<usize> {
        let entries = self.slipway.get(&format!("/journal?limit=10000&kind={kind}")).await.ok()?;
        entries.as_array().map(Vec::len)
    }

    async fn ended(&self, id: &str) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let ended = until_within(PATIENCE, &format!("{id} has ended"), async || {
            last = self.slipway.get(&format!("/rollouts/{id}")).await.ok()?;
            (last["state"] == "ended").then(|| last.clone())
        })
        .await;
        ended.with_context(|| format!("{last:#}\nit said {}", self.slipway.said()))
    }

    /// Waits until nothing is open, and nothing runs that is not needed; the version that serves.
    async fn settled(&self, rest: Rest) -> anyhow::Result<String> {
        let mut last = Value::Null;
        let settled = until_within(PATIENCE, "everything has settled", async || {
            last = self.slipway.get("/services/shop").await.ok()?[0].clone();
            let standby = last["standby"].is_object() == rest.standby;
            let ready = |role: &str| last[role]["ready"].as_u64().unwrap_or(0) as usize;
            let instances = ready("stable") + ready("standby") == rest.instances;
            let ours = self.slipway.shims().len() == rest.instances;
            let weight = last["split"].as_array().is_some_and(|parts| {
                parts.iter().any(|part| part["version"] == last["stable"]["version"] && part["weight_bp"] == 10_000)
            });
            let so = last["rollout"].is_null() && standby && instances && ours && weight;
            (so && self.told("instance.starting").await? == self.told("instance.stopped").await? + rest.instances)
                .then_some(())
        })
        .await;
        settled.with_context(|| format!("{last:#}\n{:#?}", self.slipway.shims()))?;
        let stable = last["stable"]["version"].as_str().unwrap_or_default();
        Ok(stable.to_string())
    }

    /// The newest entries of the journal and what the control plane said, for whoever reads of a failure.
    pub async fn story(&self) -> String {
        let entries = self.slipway.get("/journal?limit=60").await.unwrap_or_default();
        let entries = entries.as_array().cloned().unwrap_or_default();
        let lines = entries
            .iter()
            .rev()
            .map(|e| format!("{} {} {} {} {}\n", e["seq"], e["at"], e["kind"], e["rollout"], e["cause"]));
        format!("\n{}{}", lines.collect::<String>(), self.slipway.said())
    }

    /// Ends everything.
    pub async fn strike(self) -> anyhow::Result<()> {
        let report = self.load.stop().await;
        checks::client(&report)?;
        self.slipway.down().await
    }
}
