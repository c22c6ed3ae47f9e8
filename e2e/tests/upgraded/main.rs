//! The gateway's program is replaced while it serves: nobody notices, whatever it is that they do, and where the new
//! program does not come up, nothing has happened.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod joined;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clients::{Connection, Socket, Steady};
use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::process;
use slipway_e2e::{Options, Output, Slipway, kill, program, until};
use tokio::process::Command;

/// Each step waits for a person: there are never so many requests.
const PRODUCTION: &str = "{ instances: 1, strategy: { canary: { steps: [10%, 50%, 100%], verify: 2s, standby: 1h, \
                          min_requests: 1000000 } } }";
const BLUE_GREEN: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s } } }";
const MIB: usize = 1 << 20;

/// A program that can be replaced.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new() -> Installed {
        let installed = Installed { folder: tempfile::tempdir().expect("a folder") };
        installed.renew();
        installed
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("slipway")
    }

    /// Puts the program there once more, as a package would.
    fn renew(&self) {
        self.unpack();
        self.install();
    }

    /// Puts the program beside it.
    fn unpack(&self) {
        std::fs::copy(program("slipway").expect("the program"), self.folder.path().join("next")).expect("a copy");
    }

    /// Has what was put beside it take its place, in no time.
    fn install(&self) {
        std::fs::rename(self.folder.path().join("next"), self.path()).expect("it takes the place");
    }

    /// Puts something else there.
    fn put(&self, script: &str, mode: u32) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, script).expect("a script");
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode)).expect("its mode");
        std::fs::rename(fresh, self.path()).expect("it takes the place");
    }

    async fn slipway(&self, further: &[&str]) -> Slipway {
        let further = further.iter().map(|word| word.to_string()).collect();
        let options = Options { slipway: Some(self.path()), further, ..Options::default() };
        Slipway::start(options).await.expect("Slipway starts")
    }
}

/// A program that does nothing until it is killed, and that is found by what it is told.
fn hang(state: &Path) -> String {
    format!("exec tail -f {}\n", state.join("lock").display())
}

/// Runs the command on a program that nobody has replaced.
async fn upgrade(state: &Path) -> Output {
    let mut command = Command::new(program("slipway").expect("the program"));
    command.args(["gateway", "upgrade", "--json", "--state"]).arg(state).stdin(Stdio::null());
    let output = command.output().await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Output { command: "slipway gateway upgrade".into(), code: output.status.code().unwrap_or(-1), stdout, stderr }
}

/// Upgrades, once the one that serves has started; the process that drains and the one that serves then.
async fn upgraded(state: &Path) -> (u32, u32) {
    let done = until("it has finished its start", async || {
        let output = upgrade(state).await;
        (!output.stderr.contains("has not finished its start: try again")).then_some(output)
    });
    let done = done.await.expect("a start").expect(0).expect("it is upgraded").json().expect("JSON");
    let pid = |of: &str| done[of]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
    (pid("from"), pid("to"))
}

/// The process that a gateway's folder is locked by.
fn serves(state: &Path) -> u32 {
    let text = std::fs::read_to_string(state.join("lock")).expect("a lock");
    text.lines().next().expect("a line").parse().expect("a process id")
}

/// Each gateway's name and state.
async fn listed(slipway: &Slipway) -> Vec<(String, String)> {
    let all = slipway.get("/gateways").await.unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    all.as_array().into_iter().flatten().map(|gateway| (text(&gateway["name"]), text(&gateway["state"]))).collect()
}

async fn are(slipway: &Slipway, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, state)| (name.to_string(), state.to_string())).collect();
    let seen =
        until("gateways are as they should be", async || (listed(slipway).await == expected).then_some(())).await;
    if let Err(error) = seen {
        panic!("{error}: {expected:?}, but {:?}; {}", listed(slipway).await, slipway.said());
    }
}

/// Waits until these upgrades are recorded, the newest first, each as the processes that gave way and that serve.
async fn recorded(slipway: &Slipway, upgrades: &[(u32, u32)]) {
    let expected: Vec<_> = upgrades.iter().map(|(from, to)| [u64::from(*from), u64::from(*to)]).collect();
    let mut said = Vec::new();
    let seen = until("upgrades are recorded", async || {
        let journal = slipway.get("/journal?limit=1000&kind=gateway.upgraded").await.ok()?;
        let pids = |entry: &Value| ["from", "to"].map(|of| entry["evidence"][of]["pid"].as_u64().unwrap_or_default());
        said = journal.as_array()?.iter().map(pids).collect();
        (said == expected).then_some(())
    });
    let seen = seen.await;
    assert!(seen.is_ok(), "{upgrades:?}, but {said:?}; {}", slipway.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_on_through_an_upgrade_and_nobody_notices() {
    let _alone = alone().await;
    let installed = Installed::new();
    let stage = Stage::set_on(installed.slipway(&[]).await, PRODUCTION, 100.0).await;
    let (at, state) = (stage.slipway.traffic, stage.slipway.data.join("gateway"));
    let rollout = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&rollout, "10%").await;

    let (anew, two) = (Steady::anew(at), Steady::two(at));
    let mut socket = Socket::open(at).await;
    let url = format!("http://{at}/download?mb=2&seconds=8");
    let download = reqwest::Client::new().get(url).header("host", "shop.local").send().await.expect("an answer");
    let download = tokio::spawn(async move { download.bytes().await.map(|bytes| bytes.len()) });
    tokio::join!(anew.goes_on(), two.goes_on());
    installed.renew();
    // Not long before the upgrade: what goes on too slowly, or not at all, is cut after a while.
    let mut upload = Connection::open(at).await.expect("a connection");
    upload.say("POST /checkout HTTP/1.1\r\nhost: shop.local\r\ncontent-length: 4\r\n\r\n{").await.expect("it is sent");
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(at).await.expect("a connection");
        let answer = connection.ask("").await.expect("an answer");
        assert!(answer.status == 200 && !answer.close, "{answer:?}");
        idle.push(connection);
    }
    // One that was accepted and has said nothing.
    let mut silent = Connection::open(at).await.expect("a connection");
    let (old, new) = upgraded(&state).await;
    assert!(old != new && process::runs(old) && serves(&state) == new);
    let answer = silent.ask("").await.expect("an answer");
    assert!(answer.status == 200 && answer.close, "{answer:?}");
    upload.say("} \n").await.expect("it is sent");
    assert_eq!(upload.answer().await.expect("an answer").status, 200);
    are(&stage.slipway, &[("local", "connected"), (&format!("local.{old}"), "draining")]).await;
    recorded(&stage.slipway, &[(old, new)]).await;
    let promoted = stage.say("promote", &[]).await;
    assert_eq!(promoted.code, 0, "{promoted}");
    stage.at_step(&rollout, "50%").await;
    tokio::join!(anew.goes_on(), two.goes_on());
    socket.lives().await;
    let promoted = stage.say("promote", &[]).await;
    assert_eq!(promoted.code, 0, "{promoted}");

    let ended = stage.outcome(&rollout).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended:#}");
    let mut hasty = idle.pop().expect("a connection");
    let twice = "GET / HTTP/1.1\r\nhost: shop.local\r\n\r\n".repeat(2);
    hasty.say(&twice).await.expect("nobody has closed it");
    let both = [hasty.answer().await.expect("an answer"), hasty.answer().await.expect("the other one")];
    assert_eq!(both.map(|answer| (answer.status, answer.close)), [(200, false), (200, true)]);
    for mut connection in idle {
        let answer = connection.ask("").await.expect("nobody has closed it");
        assert!((answer.status, answer.version.as_str(), answer.close) == (200, "1.1.0", true), "{answer:?}");
        assert!(connection.ask("").await.is_err(), "it ends with the answer");
    }
    assert_eq!(download.await.expect("it ends").expect("a body"), 2 * MIB, "not a byte is missing");
    socket.lives().await;
    assert!(process::runs(old));
    drop(socket);
    until("it ends with its last connection", async || (!process::runs(old)).then_some(())).await.expect("it ends");
    are(&stage.slipway, &[("local", "connected")]).await;
    let journal = stage.slipway.get("/journal?limit=1000").await.expect("a journal");
    assert!(journal.as_array().expect("entries").iter().all(|e| e["kind"] != "gateway.lost"), "{journal:#}");
    anew.stop().await;
    two.stop().await;
    let report = stage.strike().await;
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_come_up_changes_nothing() {
    let _alone = alone().await;
    let installed = Installed::new();
    let stage = Stage::set_on(installed.slipway(&[]).await, PRODUCTION, 100.0).await;
    let state = stage.slipway.data.join("gateway");
    let old = serves(&state);
    let anew = Steady::anew(stage.slipway.traffic);
    let mut socket = Socket::open(stage.slipway.traffic).await;
    for (script, mode, why) in [
        ("#!/bin/sh\necho 'a library is missing' >&2\nexit 3\n", 0o755, "it said: a library is missing"),
        ("#!/bin/sh\necho nonsense >&0\nHANG", 0o755, "says what is no answer"),
        ("#!/bin/sh\nHANG", 0o755, "has not said within 10 seconds that it is a gateway"),
        ("#!/bin/sh\n", 0o644, "cannot be started: Permission denied"),
    ] {
        installed.put(&script.replace("HANG", &hang(&state)), mode);
        let mut asked = std::pin::pin!(upgrade(&state));
        let begun = until("the program was started", async || {
            let report = std::fs::read_to_string(state.join("upgrade.json")).unwrap_or_default();
            report.contains("\"starting\"").then_some(())
        });
        let failed = tokio::select! {
            failed = &mut asked => failed,
            begun = begun => {
                begun.expect("it is");
                let other = upgrade(&state).await;
                // Unless the first one has failed meanwhile, which is no second one at the same time.
                let refused = other.code == 12 && other.stderr.contains("is under way");
                let failed = script != "#!/bin/sh\nHANG" && other.code == 1 && other.stderr.contains(why);
                assert!(refused || failed, "{other}");
                asked.await
            }
        };
        let failed = failed.expect(1).expect("it fails");
        assert!(failed.stderr.contains(why) && failed.stderr.contains(&format!("process {old}")), "{failed}");
        assert_eq!(serves(&state), old);
        are(&stage.slipway, &[("local", "connected")]).await;
        anew.goes_on().await;
        socket.lives().await;
    }
    let left = stage.slipway.processes();
    assert!(left.iter().all(|process| !process.command.contains("tail")), "{left:#?}");
    installed.renew();
    // As a full disk does it.
    let in_the_way = state.join("upgrade.tmp");
    std::fs::create_dir(&in_the_way).expect("a folder");
    let told = Command::new("kill").args(["-USR2", &old.to_string()]).status().await.expect("kill");
    assert!(told.success());
    until("it says why not", async || {
        let log = std::fs::read_to_string(stage.slipway.data.join("logs/gateway.log")).unwrap_or_default();
        log.contains("upgrade.json cannot be written").then_some(())
    })
    .await
    .expect("it does");
    std::fs::remove_dir(in_the_way).expect("it is empty");
    let (from, to) = upgraded(&state).await;
    assert!(from == old && serves(&state) == to);
    recorded(&stage.slipway, &[(from, to)]).await;
    socket.lives().await;
    anew.goes_on().await;
    anew.stop().await;
    let report = stage.strike().await;
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_told_to_end_while_it_hands_over_leaves_nobody_behind() {
    let _alone = alone().await;
    let installed = Installed::new();
    let stage = Stage::set_on(installed.slipway(&[]).await, PRODUCTION, 20.0).await;
    let state = stage.slipway.data.join("gateway");
    let old = serves(&state);
    // It says what a gateway says, until the folder is its own.
    let says = r#"echo '{"type":"here","version":"0"}' >&0; read offer; echo '{"type":"ready","in_step":true}' >&0; read yours"#;
    installed.put(&format!("#!/bin/sh\n{says}\n{}", hang(&state)), 0o755);
    installed.unpack();
    let hangs = async || {
        let hangs = until("the folder is its own", async || {
            stage.slipway.processes().into_iter().find(|process| process.command.contains("tail -f"))
        });
        hangs.await.expect("it is");
        installed.install();
        let told = Command::new("kill").args(["-TERM", &old.to_string()]).status().await.expect("kill");
        assert!(told.success());
        until("it has ended", async || (!process::runs(old)).then_some(())).await.expect("it ends");
        let left = async || {
            let mut left = stage.slipway.processes().into_iter();
            (!left.any(|process| process.command.contains("tail -f"))).then_some(())
        };
        until("nothing of the new one is left", left).await.expect("it is ended");
    };
    let (failed, ()) = tokio::join!(upgrade(&state), hangs());
    let failed = failed.expect(1).expect("it fails");
    assert!(failed.stderr.contains("it was told to end"), "{failed}");
    until("another one serves", async || (serves(&state) != old && process::runs(serves(&state))).then_some(()))
        .await
        .expect("it is started again");
    let (_, anew) = upgraded(&state).await;
    assert!(process::runs(anew));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_one_after_the_other_survive_deaths_and_end_with_everything() {
    let _alone = alone().await;
    let installed = Installed::new();
    let mut stage = Stage::set_on(installed.slipway(&[]).await, BLUE_GREEN, 20.0).await;
    let (at, state) = (stage.slipway.traffic, stage.slipway.data.join("gateway"));
    let mut first = Socket::open(at).await;
    let (one, two) = upgraded(&state).await;
    let mut second = Socket::open(at).await;
    recorded(&stage.slipway, &[(one, two)]).await;
    // With nobody to ask.
    stage.slipway.kill_control_plane().await.expect("it is killed");
    let (gave_way, three) = upgraded(&state).await;
    assert_eq!(gave_way, two);
    stage.slipway.restart().await.expect("it starts again");
    let mut drain = [one, two].map(|pid| (format!("local.{pid}"), "draining"));
    drain.sort();
    let drain = drain.each_ref().map(|(name, state)| (name.as_str(), *state));
    are(&stage.slipway, &[("local", "connected"), drain[0], drain[1]]).await;
    recorded(&stage.slipway, &[(two, three), (one, two)]).await;

    kill(three).await.expect("it is killed");
    let four = until("another one serves", async || {
        let four = serves(&state);
        (four != three && process::runs(four)).then_some(four)
    })
    .await
    .expect("it is started again");
    are(&stage.slipway, &[("local", "connected"), drain[0], drain[1]]).await;
    first.lives().await;
    second.lives().await;
    let (released, code) = stage.release("1.1.0", &[], &[]).await;
    assert!(code == 0, "a shift is confirmed by those that drain, too: {released:#}");
    // With a program that hangs under way: it holds nothing yet.
    installed.put(&format!("#!/bin/sh\n{}", hang(&state)), 0o755);
    installed.unpack();
    let waits = upgrade(&state);
    let hangs = async || {
        let hangs = until("the program hangs", async || {
            stage.slipway.processes().into_iter().find(|process| process.command.contains("tail -f"))
        });
        let hangs = hangs.await.expect("it does").pid;
        installed.install();
        kill(four).await.expect("it is killed");
        hangs
    };
    let (failed, hangs) = tokio::join!(waits, hangs());
    failed.expect(1).expect("nobody is there to say what became of it");
    until("another one serves", async || (serves(&state) != four && process::runs(serves(&state))).then_some(()))
        .await
        .expect("it is started again");
    // A process of the same number would be refused by it.
    until("it is forgotten what was under way", async || {
        let report = std::fs::read_to_string(state.join("upgrade.json")).unwrap_or_default();
        (!report.contains("starting")).then_some(())
    })
    .await
    .expect("it is");
    kill(hangs).await.expect("it is killed");
    are(&stage.slipway, &[("local", "connected"), drain[0], drain[1]]).await;
    let four = serves(&state);

    kill(one).await.expect("it is killed");
    first.ends_by_being_cut().await;
    are(&stage.slipway, &[("local", "connected"), (&format!("local.{two}"), "draining")]).await;
    second.lives().await;
    assert!([two, four].iter().all(|pid| process::runs(*pid)));
    let load = stage.load.stop().await;
    assert!(load.requests > 0);
    stage.slipway.down().await.expect("nothing is left");
    second.ends_by_being_cut().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_longer_than_the_limit_is_cut() {
    let _alone = alone().await;
    let installed = Installed::new();
    // So much traffic that none of its connections is left at the old process when the limit is over.
    let stage = Stage::set_on(installed.slipway(&["--upgrade-drain", "5s"]).await, BLUE_GREEN, 100.0).await;
    let socket = Socket::open(stage.slipway.traffic).await;
    let (old, _) = upgraded(&stage.slipway.data.join("gateway")).await;
    socket.ends_by_being_cut().await;
    until("it ends", async || (!process::runs(old)).then_some(())).await.expect("it ends");
    let log = std::fs::read_to_string(stage.slipway.data.join("logs/gateway.log")).expect("a log");
    assert!(log.contains("requests were still running when the drain was over: cut"), "{log}");
    are(&stage.slipway, &[("local", "connected")]).await;
    nothing_failed_by_slipway(&stage.strike().await);
}
