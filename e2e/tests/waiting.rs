//! Commands that wait: they outlast a control plane that dies and comes back, and they show what comes while it comes.

mod common;

use std::process::Stdio;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Slipway, build, until};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [20%, 60%, 100%], verify: 5s } } }";

/// A command that runs, and the lines that it writes.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn begin(slipway: &Slipway, arguments: &[&str]) -> Running {
        let mut command = slipway.command(arguments).expect("a command");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Running { child, lines }
    }

    /// The next line that `fits`.
    async fn line(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.expect("text") {
                if fits(&line) {
                    return line;
                }
            }
            panic!("it ended before {what}");
        };
        let limit = std::time::Duration::from_secs(300);
        tokio::time::timeout(limit, found).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    async fn end(mut self) -> i32 {
        self.child.wait().await.expect("it ends").code().unwrap_or(-1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_outlasts_a_restart() {
    let _alone = alone().await;
    let mut stage = Stage::set(CANARY).await;
    let folder = build(stage.slipway.scratch(), "build-1.1.0", &[]).expect("a build");
    let path = folder.to_string_lossy().into_owned();
    let release = ["release", "-f", "slipway.yaml", "--version", "1.1.0", "--path", &path, "--env", "production"];
    let mut waiting = Running::begin(&stage.slipway, &[&release[..], &["--json"]].concat());
    let mut journal = Running::begin(&stage.slipway, &["journal", "--follow", "--json", "--limit", "1"]);
    let seq = |line: &str| serde_json::from_str::<Value>(line).expect("an entry")["seq"].as_u64().expect("a number");
    until("it has users", async || (stage.given("1.1.0") > 0).then_some(())).await.expect("users");
    let before = seq(&journal.line("an entry of before", |line| line.contains("traffic.confirmed")).await);

    stage.slipway.kill_control_plane().await.expect("it is killed");
    // Not many: the lease of the split goes on running out until it is back.
    stage.gives("1.0.0", 20).await;
    stage.slipway.restart().await.expect("it starts again");

    let end = waiting.line("the end of the release", |_| true).await;
    let end: Value = serde_json::from_str(&end).expect("one object on one line");
    assert_eq!((end["outcome"].as_str(), end["version"].as_str()), (Some("succeeded"), Some("1.1.0")), "{end:#}");
    assert_eq!(waiting.end().await, 0);
    let after = journal.line("the end in the journal", |line| line.contains("rollout.ended")).await;
    assert!(seq(&after) > before, "it went on where it had been: {before}, then {after}");
    let asked = stage.slipway.json(&["journal", "--limit", "1000"]).await.expect("a journal");
    let asked = asked.as_array().expect("entries").iter().filter(|entry| entry["kind"] == "rollout.asked").count();
    assert_eq!(asked, 2, "one for each version, however often it was asked");
    drop(journal);
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_instances_write_is_shown_now_and_after_their_end() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let mut follow = Running::begin(&stage.slipway, &["logs", "shop", "--follow"]);
    let words = "crashes on purpose";
    let (end, code) = stage.release("1.2.0", &[("CRASH_AFTER", "20")], &[]).await;
    assert_eq!((end["outcome"].as_str(), code), (Some("rolled_back"), 10), "{end:#}");
    let line = follow.line("the last words of 1.2.0", |line| line.contains(words)).await;
    assert!(line.starts_with("shop-production-") && line.contains(" 1.2.0 | shop crashes"), "{line}");
    let of = async |version: &str| {
        let output = stage.slipway.cli(&["logs", "shop", "--version", version, "--json"]).await.expect("it runs");
        output.expect(0).expect("it works").stdout
    };
    let kept = of("1.2.0").await;
    let lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert!(lines.iter().any(|line| line["line"].as_str().is_some_and(|text| text.contains(words))), "{kept}");
    assert!(lines.iter().all(|line| line["version"] == "1.2.0"), "{kept}");
    assert!(!of("1.0.0").await.contains(words), "and of no other version");
    let unknown = stage.slipway.cli(&["logs", "nobody"]).await.expect("it runs");
    assert_eq!(unknown.code, 2, "{unknown}");
    let unknown = stage.slipway.cli(&["logs", "shop", "--version", "9.9.9"]).await.expect("it runs");
    assert!(unknown.code == 2 && unknown.stderr.contains("no version 9.9.9 of shop is known"), "{unknown}");
    drop(follow);
    nothing_failed_by_slipway(&stage.strike().await);
}
