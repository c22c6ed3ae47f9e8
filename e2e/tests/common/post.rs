//! Slipway with couriers in production and parcels for them: what the stories of workers share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;
use slipway_e2e::{Options, Output, Page, Slipway, program, until};

const PAGE: &str = "docs/how-to/workers.md";
const OBJECTIVE: &str = "objectives: [{ name: parcels, bad: outcome parcel_lost, of: parcel_taken, at_most: 2% }]\n";
/// The usual way.
pub const ROLLING: &str = "{ instances: 2, strategy: { rolling: { verify: 2s } } }";

/// Parcels that wait at the most.
const WAITING: usize = 20;

/// Parcels that come in steadily.
pub struct Parcels {
    queue: PathBuf,
    sent: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Parcels {
    pub fn come(queue: PathBuf, pause: Duration) -> Parcels {
        let (sent, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        for name in ["waiting", "taken", "done"] {
            fs::create_dir_all(queue.join(name)).expect("a queue");
        }
        let (to, n, stop) = (queue.join("waiting"), sent.clone(), over.clone());
        let task = tokio::spawn(async move {
            while !stop.load(Relaxed) {
                // As many as wait to be taken, and no more than can be delivered when it is over.
                if fs::read_dir(&to).expect("a folder").count() < WAITING {
                    let parcel = to.join(format!("{:07}", n.load(Relaxed)));
                    fs::write(parcel, b"").expect("room for a parcel");
                    n.fetch_add(1, Relaxed);
                }
                tokio::time::sleep(pause).await;
            }
        });
        Parcels { queue, sent, over, task }
    }

    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.queue.join(folder)).expect("a folder");
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// How many each version has delivered.
    pub fn delivered(&self) -> BTreeMap<String, u64> {
        let mut by = BTreeMap::new();
        for parcel in self.names("done") {
            let text = fs::read_to_string(self.queue.join("done").join(parcel)).expect("a parcel");
            *by.entry(text.split(' ').next().unwrap_or_default().to_string()).or_default() += 1;
        }
        by
    }

    pub async fn delivers(&self, version: &str, n: u64) {
        let had = self.delivered().get(version).copied().unwrap_or(0);
        until(&format!("{version} delivers {n} more"), async || {
            (self.delivered().get(version).copied().unwrap_or(0) >= had + n).then_some(())
        })
        .await
        .expect("deliveries");
    }

    /// No more come; waits until every parcel is delivered. None may have been cut.
    pub async fn end(mut self) {
        self.over.store(true, Relaxed);
        (&mut self.task).await.expect("it ends");
        let sent = self.sent.load(Relaxed) as usize;
        until("every parcel is delivered", async || (self.names("done").len() == sent).then_some(()))
            .await
            .unwrap_or_else(|e| panic!("{e}: taken {:?}, waiting {:?}", self.names("taken"), self.names("waiting")));
        assert_eq!(self.names("taken"), Vec::<String>::new(), "cut");
    }

    /// What couriers noted of others that ran at the same time.
    pub fn overlaps(&self) -> String {
        fs::read_to_string(self.queue.join("overlaps")).unwrap_or_default()
    }
}

/// Slipway with couriers in production, and parcels for them.
pub struct Post {
    /// Slipway.
    pub slipway: Slipway,
    /// What is to be delivered.
    pub parcels: Parcels,
    /// The page of workers.
    pub page: Page,
}

impl Post {
    pub async fn open(head: &str, production: &str) -> Post {
        let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
        let made = slipway.json(&["token", "create", "couriers", "--may", "report"]).await.expect("a token");
        let token = made["token"].as_str().expect("its text").to_string();
        let queue = slipway.scratch().join("queue");
        let file = format!(
            "service: courier\nkind: worker\n{head}{OBJECTIVE}health: {{ running_for: 1s, interval: 500ms }}\n\
             run:\n  command: [./courier]\n  stop_grace: 20s\n  env:\n    QUEUE: {}\n    OUTCOMES_TOKEN: {token}\n    \
             OUTCOMES_URL: http://{}/api/v1/outcomes\nenvironments: {{ production: {production} }}\n",
            queue.display(),
            slipway.api
        );
        fs::write(slipway.scratch().join("slipway.yaml"), file).expect("a declared file");
        let parcels = Parcels::come(queue, Duration::from_millis(30));
        let post = Post { slipway, parcels, page: Page::open(PAGE) };
        let (first, code) = post.release("1.0.0", &[], &[]).await;
        assert_eq!((code, &first["outcome"]), (0, &"succeeded".into()), "{first:#}");
        post
    }

    /// Another strategy for what comes.
    pub fn declare(&self, from: &str, to: &str) {
        let file = self.slipway.scratch().join("slipway.yaml");
        let text = fs::read_to_string(&file).expect("it is there");
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).expect("it is written");
    }

    pub fn build(&self, version: &str, variables: &[(&str, &str)]) -> PathBuf {
        build(self.slipway.scratch(), &format!("build-{version}"), variables)
    }

    pub async fn release(&self, version: &str, variables: &[(&str, &str)], more: &[&str]) -> (Value, i32) {
        let build = self.build(version, variables);
        let output = self.slipway.release(version, &build, "production", more).await.expect("it runs");
        let code = output.code;
        (output.json().unwrap_or_else(|e| panic!("{e}\n{output}")), code)
    }

    pub async fn say(&self, command: &str) -> Output {
        self.page.run(&self.slipway, command, None).await
    }

    pub async fn lane(&self) -> Value {
        self.slipway.lane("courier", "production").await.expect("a status").expect("a lane")
    }

    /// Waits until only this version has instances, so many of them, all ready.
    pub async fn only(&self, version: &str, instances: u64) {
        until(&format!("{instances} of {version} and no others"), async || {
            let lane = self.lane().await;
            let all = lane["stable"]["instances"].as_array().cloned().unwrap_or_default();
            let alone = lane["stable"]["version"] == version && all.len() as u64 == instances;
            let others = self.slipway.shims().len() as u64 != instances;
            (alone && lane["stable"]["ready"] == instances && !others).then_some(())
        })
        .await
        .expect("they are");
    }

    /// Entries of the journal of a kind.
    pub async fn journal(&self, kind: &str) -> Vec<Value> {
        let entries = self.slipway.get("/journal?limit=1000").await.expect("a journal");
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.into_iter().filter(|entry| entry["kind"] == kind).collect()
    }

    /// Ends everything: every parcel was delivered, and nobody was killed with one.
    pub async fn close(self) {
        self.parcels.end().await;
        let verified = self.slipway.cli(&["journal", "verify"]).await.expect("it runs");
        assert_eq!(verified.code, 0, "{verified}");
        self.slipway.down().await.expect("it goes down");
    }
}

pub fn build(folder: &Path, name: &str, variables: &[(&str, &str)]) -> PathBuf {
    let build = folder.join(name);
    fs::create_dir_all(&build).expect("a folder");
    fs::copy(program("courier").expect("it is built"), build.join("courier")).expect("a copy");
    let lines = variables.iter().map(|(key, value)| format!("{key}={value}\n"));
    fs::write(build.join("courier.env"), format!("BUILD={name}\n{}", lines.collect::<String>())).expect("a file");
    build
}
