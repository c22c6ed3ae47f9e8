//! Several gateways on one routing stream, as processes of their own: a shift waits for all that are alive; one that cannot
//! be reached is left out in time, keeps its instances, and comes back with the newest table.

mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::process::{self, Signal};
use slipway_e2e::{Options, Slipway, free_port, program, until};
use slipway_load::{Load, LoadHandle};
use tokio::process::{Child, Command};

/// Each step waits for a person: there are never so many requests.
const PRODUCTION: &str = "{ instances: 2, strategy: { canary: { steps: [10%, 50%, 100%], verify: 2s, standby: 1s, \
                          min_requests: 1000000 } } }";
const BLUE_GREEN: &str = "{ instances: 2, strategy: { blue-green: { verify: 2s, standby: 1s } } }";

/// Long enough for a slow machine to act within, short enough to be waited for.
const GRACE: &str = "10s";

/// How long a gateway that stood still waits to be told of a newer table, as after a start; then it serves what it has.
const TABLE_WAIT: Duration = Duration::from_millis(500);

/// A Slipway that gateways may join, and find again after a restart.
async fn slipway() -> Slipway {
    let listen = format!("127.0.0.1:{}", free_port());
    let further = ["--gateways-listen", &listen, "--gateway-grace", GRACE].map(str::to_string).to_vec();
    Slipway::start(Options { further, ..Options::default() }).await.expect("Slipway starts")
}

/// A gateway that joined. Killed when dropped.
struct Edge {
    child: Child,
    name: String,
    invitation: PathBuf,
    traffic: SocketAddr,
}

impl Edge {
    /// Invites one and starts it.
    async fn join(slipway: &Slipway, name: &str) -> Edge {
        let invitation = slipway.scratch().join(format!("{name}.json"));
        let out = invitation.to_string_lossy();
        slipway
            .cli(&["gateway", "invite", name, "--out", &out])
            .await
            .expect("it runs")
            .expect(0)
            .expect("an invitation");
        let traffic = ([127, 0, 0, 1], 0).into();
        let child = start(slipway, name, &invitation, traffic);
        let mut edge = Edge { child, name: name.to_string(), invitation, traffic };
        edge.traffic =
            edge.is(slipway, "connected").await["traffic"].as_str().expect("an address").parse().expect("one");
        edge
    }

    /// Starts it again, after its process has ended.
    fn again(&mut self, slipway: &Slipway) {
        self.child = start(slipway, &self.name, &self.invitation, self.traffic);
    }

    fn signal(&self, signal: Signal) {
        process::signal(self.child.id().expect("it runs"), signal).expect("a signal");
    }

    /// Waits until it is in this state; how it is.
    async fn is(&self, slipway: &Slipway, state: &str) -> Value {
        until(&format!("{} is {state}", self.name), async || {
            gateway(slipway, &self.name).await.filter(|gateway| gateway["state"] == state)
        })
        .await
        .unwrap_or_else(|error| panic!("{error}; the control plane said {}", slipway.said()))
    }

    fn load(&self) -> LoadHandle {
        let options = slipway_load::Options {
            host: Some("shop.local".into()),
            rate: 100.0,
            users: 500,
            ..slipway_load::Options::new(format!("http://{}/", self.traffic))
        };
        Load::start(options).expect("the load starts")
    }
}

fn start(slipway: &Slipway, name: &str, invitation: &std::path::Path, traffic: SocketAddr) -> Child {
    let mut command = Command::new(program("slipway").expect("the program"));
    command.arg("gateway").arg("--join").arg(invitation).arg("--traffic").arg(traffic.to_string());
    command.arg("--state").arg(slipway.scratch().join(format!("state-{name}")));
    command.current_dir(slipway.scratch()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().expect("a gateway")
}

async fn gateway(slipway: &Slipway, name: &str) -> Option<Value> {
    let all = slipway.json(&["gateway", "list"]).await.ok()?;
    all.as_array()?.iter().find(|gateway| gateway["name"] == name).cloned()
}

/// The whole journal, oldest first.
async fn journal(slipway: &Slipway) -> Vec<Value> {
    let mut entries = slipway.get("/journal?limit=1000").await.expect("a journal").as_array().expect("entries").clone();
    entries.reverse();
    entries
}

/// Which version answers at a gateway.
async fn asked(client: &reqwest::Client, at: SocketAddr) -> anyhow::Result<String> {
    let answer = client.get(format!("http://{at}/")).header("host", "shop.local").send().await?;
    let version = answer.headers().get("x-version").map(|v| v.to_str().map(str::to_string)).transpose()?;
    Ok(version.unwrap_or_else(|| format!("{} of no version", answer.status())))
}

/// Instances of a version that run.
async fn running(stage: &Stage, version: &str) -> usize {
    let of_version = |p: &process::Process| {
        std::fs::read_to_string(format!("/proc/{}/environ", p.pid))
            .is_ok_and(|e| e.split('\0').any(|line| line == format!("VERSION={version}")))
    };
    stage.slipway.processes().iter().filter(|p| !p.command.contains("run-instance") && of_version(p)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_still_is_left_out_in_time_and_comes_back_with_the_newest_table() {
    let _alone = alone().await;
    let stage = Stage::set_on(slipway().await, PRODUCTION, 100.0).await;
    let slipway = &stage.slipway;
    let (two, three) = (Edge::join(slipway, "edge-2").await, Edge::join(slipway, "edge-3").await);
    let load = two.load();
    // A connection of its own for each: an idle one may be closed in the moment in which the gateway wakes up.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    until("edge-3 serves", async || (asked(&client, three.traffic).await.ok()? == "1.0.0").then_some(()))
        .await
        .expect("it");

    let rollout = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&rollout, "10%").await;
    three.signal(Signal::STOP);
    // On their way to a gateway that stands still: it reads them before it can read anything newer.
    let held: Vec<_> = (0..8)
        .map(|_| {
            let (client, at) = (client.clone(), three.traffic);
            tokio::spawn(async move { asked(&client, at).await.map(|version| (version, Instant::now())) })
        })
        .collect();
    let promoted = stage.say("promote", &[]).await;
    assert_eq!(promoted.code, 0, "{promoted}");
    three.is(slipway, "lost").await;
    stage.at_step(&rollout, "50%").await;
    let entries = journal(slipway).await;
    // By what they say of themselves: what happens at gateways is written down beside what lanes decide.
    let at = |kind: &str, about: Option<u64>| {
        let is_it = |e: &&Value| e["kind"] == kind && e["evidence"]["weight_bp"].as_u64() == about;
        let found = entries.iter().find(is_it).and_then(|e| e["at"].as_u64());
        found.unwrap_or_else(|| panic!("no {kind} of {about:?} in {entries:#?}"))
    };
    let lost = at("gateway.lost", None);
    assert!(at("traffic.shifting", Some(5_000)) < lost, "it was there when the shift began");
    assert!(lost <= at("traffic.confirmed", Some(5_000)), "and was waited for until it was lost");

    stage.say("promote", &[]).await.expect(0).expect("on to everybody");
    let ended = stage.outcome(&rollout).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended:#}");
    until("the standby is given up", async || {
        journal(slipway).await.iter().any(|e| e["kind"] == "standby.ended").then_some(())
    })
    .await
    .expect("it ends");
    // A rollout more: what only others used ends, what edge-3 may use does not.
    slipway.declare(&format!("production: {BLUE_GREEN}")).expect("a declared file");
    let (again, code) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!(code, 0, "{again:#}");
    until("the second instance of 1.1.0 ends, which edge-3 never heard of", async || {
        (running(&stage, "1.1.0").await == 1).then_some(())
    })
    .await
    .expect("it ends");
    assert_eq!(running(&stage, "1.0.0").await, 2);
    assert!(gateway(slipway, "edge-3").await.expect("it is known")["kept"].as_u64() >= Some(3));
    let status = slipway.cli(&["status"]).await.expect("it runs");
    assert!(status.stdout.contains("gateway edge-3 is lost"), "{status}");

    let woken = Instant::now();
    three.signal(Signal::CONT);
    for asked in held {
        let (version, at) = asked.await.expect("it ends").expect("an answer");
        let in_vain = at.saturating_duration_since(woken) >= TABLE_WAIT;
        assert!(version == "1.2.0" || in_vain, "{version}: nothing is served at once by the table of before");
    }
    three.is(slipway, "connected").await;
    until("nothing is kept any more", async || {
        (running(&stage, "1.0.0").await + running(&stage, "1.1.0").await == 0).then_some(())
    })
    .await
    .expect("they end");
    assert!(journal(slipway).await.iter().any(|e| e["kind"] == "gateway.back"));
    nothing_failed_by_slipway(&load.stop().await);
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_is_not_waited_for_and_serves_what_it_has_when_it_is_alone() {
    let _alone = alone().await;
    let mut stage = Stage::set_on(slipway().await, PRODUCTION, 100.0).await;
    let mut two = Edge::join(&stage.slipway, "edge-2").await;
    let client = reqwest::Client::new();
    let serves = async |version: &str, at: SocketAddr| {
        until(&format!("{version} is served"), async || (asked(&client, at).await.ok()? == version).then_some(()))
            .await
            .expect("it is")
    };
    serves("1.0.0", two.traffic).await;
    let rollout = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&rollout, "10%").await;
    two.child.kill().await.expect("it is killed");
    stage.say("promote", &[]).await.expect(0).expect("on to half of the users");
    stage.at_step(&rollout, "50%").await;
    stage.say("promote", &[]).await.expect(0).expect("on to everybody");
    let ended = stage.outcome(&rollout).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended:#}");
    two.again(&stage.slipway);
    until("edge-2 has the newest table", async || {
        gateway(&stage.slipway, "edge-2").await.filter(|edge| edge["state"] == "connected" && edge["newest"] == true)
    })
    .await
    .expect("it");
    // Never the older one, which still runs for it.
    assert_eq!(asked(&client, two.traffic).await.expect("an answer"), "1.1.0");

    stage.slipway.kill_control_plane().await.expect("it is killed");
    two.child.kill().await.expect("it is killed");
    two.again(&stage.slipway);
    serves("1.1.0", two.traffic).await;
    stage.slipway.restart().await.expect("it starts again");
    let gone = stage.slipway.cli(&["gateway", "forget", "edge-2"]).await.expect("it runs");
    assert_eq!(gone.code, 0, "{gone}");
    assert!(gateway(&stage.slipway, "edge-2").await.is_none());
    serves("1.1.0", two.traffic).await;
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_taken_at_every_gateway_by_whom_the_api_lets_and_once() {
    let _alone = alone().await;
    let mut stage = Stage::set_on(slipway().await, PRODUCTION, 20.0).await;
    let two = Edge::join(&stage.slipway, "edge-2").await;
    let client = reqwest::Client::new();
    let own = stage.slipway.traffic;
    until("edge-2 serves", async || (asked(&client, two.traffic).await.ok()? == "1.0.0").then_some(()))
        .await
        .expect("it");
    let token = async |right: &str| {
        let made = stage.slipway.json(&["token", "create", right, "--may", right]).await.expect("a token");
        made["token"].as_str().expect("its text").to_string()
    };
    let (reporter, reader) = (token("report").await, token("rollback").await);
    let report = async |at: SocketAddr, token: &str, id: &str| {
        let batch = serde_json::json!({ "outcomes": [{ "kind": "order_placed", "id": id }, { "kind": "Not One", "id": "odd" }] });
        let asks = client.post(format!("http://{at}/.slipway/outcomes")).bearer_auth(token).json(&batch);
        let answer = asks.header("host", "shop.local").header("cookie", "session=ann").send().await.expect("an answer");
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_string());
        (answer.status().as_u16(), kind, answer.json::<Value>().await.expect("JSON"))
    };
    // Not in the first seconds of a split.
    let told = until("it is taken", async || {
        let (status, _, told) = report(two.traffic, &reporter, "a").await;
        (status == 200 && told["taken"] == 1).then_some(told)
    });
    let told = told.await.expect("it is");
    assert_eq!(told["refused"][0]["code"], "malformed", "{told:#}");
    let (_, _, again) = report(own, &reporter, "a").await;
    assert_eq!((&again["taken"], &again["again"]), (&0.into(), &1.into()), "at another gateway: {again:#}");
    let (_, _, again) = report(two.traffic, &reporter, "a").await;
    assert_eq!(again["again"], 1, "{again:#}");
    for token in [&reader, "nobody's"] {
        assert_eq!(report(two.traffic, token, "b").await, report(own, token, "b").await, "no more rights");
    }

    stage.slipway.kill_control_plane().await.expect("it is killed");
    let (status, _, away) = report(two.traffic, &reporter, "c").await;
    assert!(status == 503 && away["message"].as_str().is_some_and(|why| why.contains("send it again")), "{away:#}");
    assert_eq!(report(own, &reporter, "c").await.2, away, "the same by the data folder's own");
    stage.slipway.restart().await.expect("it starts again");
    until("it is taken", async || (report(two.traffic, &reporter, "c").await.2["taken"] == 1).then_some(()))
        .await
        .expect("it is");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_invited_or_is_forgotten_is_refused() {
    let _alone = alone().await;
    let slipway = slipway().await;
    let two = Edge::join(&slipway, "edge-2").await;
    let refused = async |what: &str, change: &dyn Fn(&mut Value)| {
        let mut invitation: Value =
            serde_json::from_slice(&std::fs::read(&two.invitation).expect("an invitation")).expect("JSON");
        change(&mut invitation);
        let file = slipway.scratch().join("changed.json");
        std::fs::write(&file, invitation.to_string()).expect("a file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
        let log = slipway.scratch().join("refused.log");
        let mut command = Command::new(program("slipway").expect("the program"));
        command.arg("gateway").arg("--join").arg(&file).arg("--traffic").arg("127.0.0.1:0");
        command.arg("--state").arg(slipway.scratch().join(format!("state-{what}"))).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
        let mut stranger = command.kill_on_drop(true).spawn().expect("a gateway");
        until(&format!("the caller with {what} is told"), async || {
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            let listens = told.contains("listens at 127.0.0.1:") && told.contains("there is no routing table yet");
            let why = told.contains("not connected to the control plane at 127.0.0.1:") && told.contains(what);
            (listens && why && told.contains("oin with a new invitation")).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", slipway.said()));
        stranger.kill().await.expect("it ends");
        let told = std::fs::read_to_string(&log).expect("a log");
        assert_eq!(told.matches(what).count(), 1, "once: {told}");
    };
    let other = slipway.json(&["gateway", "invite", "edge-3"]).await.expect("another invitation");
    refused("a wrong token", &|invitation| invitation["token"] = "0".repeat(64).into()).await;
    refused("not, or no longer, its name's", &|invitation| {
        invitation["certificate"] = other["certificate"].clone();
        invitation["key"] = other["key"].clone();
    })
    .await;
    refused("was not invited", &|invitation| invitation["name"] = "edge-9".into()).await;
    refused("UnknownIssuer", &|invitation| invitation["authority"] = invitation["certificate"].clone()).await;
    two.is(&slipway, "connected").await;

    slipway.cli(&["gateway", "forget", "edge-2"]).await.expect("it runs").expect(0).expect("it is forgotten");
    until("the forgotten one is refused", async || slipway.said().contains("is forgotten").then_some(()))
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", slipway.said()));
    assert!(gateway(&slipway, "edge-2").await.is_none());
    slipway.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_its_own_that_hangs_is_replaced_and_holds_up_no_rollback() {
    let _alone = alone().await;
    let stage = Stage::set_on(slipway().await, PRODUCTION, 100.0).await;
    let slipway = &stage.slipway;
    let rollout = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&rollout, "10%").await;
    let hangs = slipway.gateway().expect("a gateway");
    process::signal(hangs, Signal::STOP).expect("it stands still");
    let back = stage.say("rollback", &[]).await;
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(stage.outcome(&rollout).await["outcome"], "rolled_back");
    until("it is killed", async || (!process::runs(hangs)).then_some(())).await.expect("an end");
    until("another one has taken its place", async || {
        gateway(slipway, "local").await.filter(|now| now["state"] == "connected" && now["pid"] != hangs)
    })
    .await
    .unwrap_or_else(|error| panic!("{error}; the control plane said {}", slipway.said()));
    assert_eq!(asked(&reqwest::Client::new(), slipway.traffic).await.expect("an answer"), "1.0.0");
    let lost = journal(slipway).await.into_iter().find(|e| e["kind"] == "gateway.lost").expect("it is recorded");
    let cause = lost["cause"].as_str().expect("a sentence");
    assert!(cause.contains("slipway up ends its process") && !cause.contains("gateway forget"), "{cause}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_its_own_that_hangs_keeps_no_control_plane_from_starting() {
    let _alone = alone().await;
    let mut stage = Stage::set_on(slipway().await, PRODUCTION, 100.0).await;
    let hangs = stage.slipway.gateway().expect("a gateway");
    // In this order: where it stood still already, the death of its parent would wake it up.
    stage.slipway.kill_control_plane().await.expect("it is killed");
    process::signal(hangs, Signal::STOP).expect("it stands still");
    stage.slipway.restart().await.unwrap_or_else(|error| panic!("{error}: {}", stage.slipway.said()));
    until("it is killed", async || (!process::runs(hangs)).then_some(())).await.expect("an end");
    assert_eq!(asked(&reqwest::Client::new(), stage.slipway.traffic).await.expect("an answer"), "1.0.0");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_one_ends_at_once_is_said_until_it_runs() {
    let _alone = alone().await;
    let further = ["--access-log".to_string()].to_vec();
    let slipway = Slipway::start(Options { further, ..Options::default() }).await.expect("Slipway starts");
    let log = slipway.data.join("logs/access.log");
    std::fs::remove_file(&log).expect("a log");
    std::fs::create_dir(&log).expect("a folder in its place");
    process::signal(slipway.gateway().expect("a gateway"), Signal::KILL).expect("it is killed");
    let status = until("it is said", async || {
        let status = slipway.cli(&["status"]).await.ok()?.stdout;
        (status.contains("gateway local is ended: it ended at once") && status.contains("cannot open the access log"))
            .then_some(status)
    });
    status.await.unwrap_or_else(|error| panic!("{error}: {}", slipway.said()));
    std::fs::remove_dir(&log).expect("it can be written again");
    until("it runs", async || {
        gateway(&slipway, "local").await.filter(|g| g["state"] == "connected" && g["trouble"].is_null())
    })
    .await
    .expect("it");
    slipway.down().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_without_certificates_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program("slipway").expect("the program"));
    command.arg("gateway").args(["--traffic", "127.0.0.1:0", "--tls", "127.0.0.1:0"]).arg("--state").arg(folder.path());
    let ends = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(Duration::from_secs(60), ends).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("--tls needs certificates"), "{said}");
}
