//! The harness itself, with a program in Slipway's place that only pretends: a test that trusts a harness which
//! overlooks what is left behind, or kills what it should not, tests nothing.
//!
//! One test at a time: a script that is being written while another test starts a program is held open by that one, and
//! cannot be run.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::alone;
use slipway_e2e::process::{self, runs};
use slipway_e2e::{Options, Slipway, until};

/// Understands `up`, `gateway`, `down` and `status`. `DOWN` stands for what `down` does to the gateway, which waits for what
/// never comes and starts nothing.
const PRETENDER: &str = r#"#!/bin/bash
here=$(dirname "$0")
case "$1" in
up)
    while [ $# -gt 0 ]; do
        case "$1" in --data) data=$2 ;; --api) api=$2 ;; --traffic) traffic=$2 ;; esac
        shift
    done
    mkdir -p "$data"
    rm -f "$data/stop"
    echo "$data" > "$here/data"
    printf secret > "$data/token"
    echo "up $api $traffic" >> "$here/log"
    "$0" gateway --data "$data" > /dev/null 2>&1 &
    echo $! > "$data/gateway.pid"
    echo "{\"api\":\"http://127.0.0.1:7171\",\"traffic\":\"127.0.0.1:8181\",\"data\":\"$data\"}"
    while [ ! -e "$data/stop" ]; do sleep 0.02; done
    ;;
gateway) [ -p "$3/never" ] || mkfifo "$3/never"; read -r _ <> "$3/never" ;;
status) echo "[{\"service\":\"shop\",\"environment\":\"production\",\"seen\":\"$SLIPWAY_SERVER $SLIPWAY_TOKEN\"}]" ;;
down)
    data=$(cat "$here/data")
    touch "$data/stop"
    DOWN
    ;;
*) echo "what is $1?" >&2; exit 2 ;;
esac
"#;

const KILL_GATEWAY: &str =
    r#"kill -9 $(cat "$data/gateway.pid"); while kill -0 $(cat "$data/gateway.pid") 2>/dev/null; do sleep 0.02; done"#;

/// The gateway, which is started behind the back of `up`.
async fn gateway(slipway: &Slipway) -> u32 {
    until("the gateway has started", async || slipway.gateway()).await.unwrap()
}

struct Pretender(tempfile::TempDir);

impl Pretender {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("slipway"), script).unwrap();
        fs::set_permissions(folder.path().join("slipway"), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn options(&self) -> Options {
        Options { slipway: Some(self.0.path().join("slipway")), ..Options::default() }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).unwrap()
    }
}

#[tokio::test]
async fn it_starts_talks_kills_restarts_and_takes_down() {
    let _alone = alone().await;
    let pretender = Pretender::new(&PRETENDER.replace("DOWN", KILL_GATEWAY));
    let options = pretender.options();
    let first = format!("up {} {}", options.api, options.traffic);
    let mut slipway = Slipway::start(options).await.unwrap();
    assert_eq!((slipway.api.port(), slipway.traffic_url()), (7171, "http://127.0.0.1:8181/".to_string()));
    let lane = slipway.lane("shop", "production").await.unwrap().unwrap();
    assert_eq!(lane["seen"], "http://127.0.0.1:7171 secret");
    assert_eq!(slipway.lane("shop", "staging").await.unwrap(), None);

    let output = slipway.cli(&["nonsense"]).await.unwrap();
    assert_eq!((output.code, output.stderr.as_str()), (2, "what is nonsense?\n"));
    assert!(output.clone().expect(0).is_err() && output.json().is_err());

    let (control_plane, gateway) = (slipway.control_plane().unwrap(), gateway(&slipway).await);
    assert!(runs(control_plane) && slipway.restart().await.is_err(), "it still runs");
    slipway.kill_control_plane().await.unwrap();
    assert!(!runs(control_plane) && runs(gateway), "the gateway outlives it");
    slipway.kill_gateway().await.unwrap();
    assert!(!runs(gateway));
    slipway.restart().await.unwrap();
    assert_eq!(pretender.log(), format!("{first}\nup 127.0.0.1:7171 127.0.0.1:8181\n"));

    let scratch = slipway.scratch().to_path_buf();
    slipway.down().await.unwrap();
    assert!(!scratch.exists());
}

#[tokio::test]
async fn what_down_leaves_behind_is_noticed_and_then_removed() {
    let _alone = alone().await;
    let pretender = Pretender::new(&PRETENDER.replace("DOWN", ":"));
    let slipway = Slipway::start(pretender.options()).await.unwrap();
    let gateway = gateway(&slipway).await;
    let error = slipway.down().await.unwrap_err().to_string();
    assert!(error.contains("left behind") && error.contains(&gateway.to_string()), "{error}");
    until("the gateway is gone", async || (!runs(gateway)).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_tells_why() {
    let _alone = alone().await;
    let pretender = Pretender::new("#!/bin/bash\necho the port is taken >&2\nexit 1\n");
    let error = Slipway::start(pretender.options()).await.err().unwrap().to_string();
    assert!(error.contains("exit status: 1") && error.contains("the port is taken"), "{error}");
    let pretender = Pretender::new("#!/bin/bash\necho listening\nsleep 60\n");
    let error = Slipway::start(pretender.options()).await.err().unwrap().to_string();
    assert_eq!(error, "slipway up printed listening");
}

#[tokio::test]
async fn only_what_belongs_to_a_folder_is_found() {
    let _alone = alone().await;
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sleep_in = |folder: &std::path::Path| {
        tokio::process::Command::new("sleep").arg("600").current_dir(folder).kill_on_drop(true).spawn().unwrap()
    };
    let (mut mine, theirs) = (sleep_in(one.path()), sleep_in(other.path()));
    let (mine_id, theirs_id) = (mine.id().unwrap(), theirs.id().unwrap());
    let found = until("it is seen", async || {
        let found = process::belonging_to(one.path());
        found.iter().any(|process| process.command == "sleep 600").then_some(found)
    });
    assert_eq!(found.await.unwrap().iter().map(|process| process.pid).collect::<Vec<_>>(), [mine_id]);
    slipway_e2e::kill(mine_id).await.unwrap();
    assert!(!runs(mine_id) && runs(theirs_id), "ended, though nobody has waited for it yet");
    assert!(process::belonging_to(one.path()).is_empty());
    mine.wait().await.unwrap();
    assert!(process::signal(u32::MAX, process::Signal::TERM).is_err());
}
