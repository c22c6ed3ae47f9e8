//! The shop as a real process: what it answers when good, and that each way of being bad is what it says.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

struct Shop {
    process: Child,
    url: String,
    said: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(folder);
    command.env("PORT", "0").env("VERSION", "1.2.3").env("INSTANCE", "shop-7");
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Shop {
    fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_with_file(variables, "")
    }

    fn start_with_file(variables: &[(&str, &str)], file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if !file.is_empty() {
            std::fs::write(folder.path().join("shop.env"), file).unwrap();
        }
        let mut process = command(folder.path(), variables).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("listens on ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended before it listened");
        }
        let url = format!("http://{}", line.trim().rsplit(' ').next().unwrap());
        Self { process, url, said, _folder: folder }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        Client::new().get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Its exit code, and all that it said on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.process.wait().unwrap().code(), text)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The exit code and standard error of a shop that does not get as far as listening.
fn refuses(variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), variables).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_good_shop_serves_and_signs_its_answers() {
    let shop = Shop::start(&[]);
    for path in ["/", "/healthz", "/ready", "/version", "/nothing"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.headers()["x-version"], "1.2.3", "{path}");
        assert_eq!(answer.headers()["x-instance"], "shop-7", "{path}");
        let wanted = if path == "/nothing" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status(), wanted, "{path}");
    }
    assert!(shop.get("/").await.text().await.unwrap().contains("1.2.3"));
    let version: Value = shop.get("/version").await.json().await.unwrap();
    assert_eq!(version, json!({"version": "1.2.3", "instance": "shop-7"}));
}

#[tokio::test]
async fn a_user_logs_in_sees_the_cart_and_checks_out() {
    let shop = Shop::start(&[]);
    let client = Client::new();
    assert_eq!(shop.status("/cart").await, 401);
    let login = client.post(format!("{}/login", shop.url)).json(&json!({"user": "ann"})).send().await.unwrap();
    let login: Value = login.json().await.unwrap();
    assert_eq!(login["ok"], true);
    let cart = client.get(format!("{}/cart", shop.url)).bearer_auth(login["token"].as_str().unwrap());
    assert_eq!(cart.send().await.unwrap().json::<Value>().await.unwrap()["user"], "ann");
    for order in 1..3 {
        let answer = client.post(format!("{}/checkout", shop.url)).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({"ok": true, "order": order}));
    }
    let nobody = client.post(format!("{}/login", shop.url)).body("?").send().await.unwrap();
    assert_eq!(nobody.status(), 400);
}

#[tokio::test]
async fn its_file_goes_before_its_environment() {
    let shop = Shop::start_with_file(&[("FAIL_RATE", "0")], "# a bad build\nFAIL_RATE=1\n");
    assert_eq!(shop.status("/").await, 500);
    assert_eq!([shop.status("/healthz").await, shop.status("/ready").await], [200, 200]);
}

#[tokio::test]
async fn a_share_of_requests_fails() {
    let shop = Shop::start(&[("FAIL_RATE", "0.3")]);
    let client = Client::new();
    let mut failed = 0;
    for _ in 0..400 {
        let answer = client.get(&shop.url).send().await.unwrap();
        failed += u32::from(answer.status() == 500);
        assert_eq!(answer.headers()["x-version"], "1.2.3");
    }
    // 120 expected, nine standard deviations either way.
    assert!((40..200).contains(&failed), "{failed}");
}

#[tokio::test]
async fn one_user_fails_and_the_others_do_not() {
    let shop = Shop::start(&[("FAIL_FOR_USER", "ann")]);
    let as_user = |cookie: &'static str| Client::new().get(&shop.url).header("cookie", cookie).send();
    assert_eq!(as_user("a=b; session=ann").await.unwrap().status(), 500);
    assert_eq!(as_user("session=annabel").await.unwrap().status(), 200);
    assert_eq!(shop.status("/").await, 200);
}

#[tokio::test]
async fn delays_are_at_least_as_long_as_said() {
    let shop = Shop::start(&[("SLOW_MS", "120")]);
    for path in ["/", "/slow?ms=5"] {
        let start = std::time::Instant::now();
        assert_eq!(shop.status(path).await, 200);
        assert!(start.elapsed().as_millis() >= 120, "{path}");
    }
}

#[tokio::test]
async fn it_crashes_in_the_middle_of_a_request() {
    for variables in [[("CRASH_AFTER", "3")], [("CRASH_RATE", "1")]] {
        let shop = Shop::start(&variables);
        let mut answered = 0;
        while Client::new().get(&shop.url).send().await.is_ok() {
            answered += 1;
        }
        assert_eq!(answered, if variables[0].0 == "CRASH_AFTER" { 2 } else { 0 });
        assert_eq!(shop.end().0, Some(3));
    }
}

#[tokio::test]
async fn bad_logins_bad_health_and_a_shared_outage() {
    let shop = Shop::start(&[("SMOKE_FAIL", "1"), ("NEVER_HEALTHY", "1")]);
    let login = Client::new().post(format!("{}/login", shop.url)).json(&json!({"user": "ann"})).send().await.unwrap();
    assert_eq!(login.status(), 500);
    assert_eq!(shop.status("/healthz").await, 503);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outage");
    let shop = Shop::start(&[("OUTAGE_FILE", file.to_str().unwrap())]);
    assert_eq!(shop.status("/ready").await, 200);
    std::fs::write(&file, "").unwrap();
    assert_eq!([shop.status("/").await, shop.status("/ready").await, shop.status("/healthz").await], [503, 503, 200]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(shop.status("/").await, 200);
}

#[test]
fn what_keeps_it_from_starting() {
    assert_eq!(refuses(&[("EXIT_AT_START", "1")], &[]), (Some(1), "shop: EXIT_AT_START is set\n".into()));
    assert_eq!(refuses(&[("FAIL_RATE", "x")], &[]).1, "shop: FAIL_RATE=x is not a fitting number\n");
    assert_eq!(refuses(&[], &["--prot", "1"]).1, "shop: unknown arguments [\"--prot\", \"1\"]; try --help\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, text) = refuses(&[], &["--port", &port]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with(&format!("shop: cannot listen on port {port}: ")), "{text}");
    let elsewhere = Shop::start(&[("PORT", &port), ("IGNORE_PORT", "1")]);
    assert!(!elsewhere.url.ends_with(&format!(":{port}")));
}

#[test]
fn it_talks_and_forks_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = command(folder.path(), &[("LOG_MB", "3"), ("FORK_CHILDREN", "2")]).spawn().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    let (mut bytes, mut line) = (0, String::new());
    while !line.contains("listens on ") {
        bytes += line.len();
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended before it listened");
    }
    assert_eq!(bytes, 3 << 20);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).unwrap();
    let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 2);
    process.kill().unwrap();
    process.wait().unwrap();
    for pid in children {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL)
            .expect("they outlive it, being nobody's concern but a shim's");
    }
}

#[tokio::test]
async fn asked_to_stop_it_finishes_what_is_under_way() {
    let shop = Shop::start(&[]);
    let mut download = shop.get("/download?mb=2&seconds=1").await;
    let mut events = shop.get("/events").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut size = download.chunk().await.unwrap().unwrap().len();
    assert!(events.chunk().await.unwrap().unwrap().starts_with(b"id: 0\nevent: tick\ndata: {\"n\":0,"));
    let (mut socket, answer) =
        tokio_tungstenite::connect_async(format!("{}/ws", shop.url.replace("http", "ws"))).await.unwrap();
    assert_eq!(answer.headers()["x-version"], "1.2.3");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));

    shop.signal(Signal::TERM);
    assert!(matches!(socket.next().await.unwrap().unwrap(), Message::Close(Some(_))), "a goodbye");
    while events.chunk().await.unwrap().is_some() {}
    while let Some(chunk) = download.chunk().await.unwrap() {
        size += chunk.len();
    }
    assert_eq!(size, 2 << 20);
    drop(socket);
    assert_eq!(shop.end(), (Some(0), String::new()));
}

#[tokio::test]
async fn it_may_ignore_being_asked() {
    let mut shop = Shop::start(&[("IGNORE_SIGTERM", "1")]);
    shop.signal(Signal::TERM);
    let mut line = String::new();
    shop.said.read_line(&mut line).unwrap();
    assert_eq!(line, "shop ignores SIGTERM\n");
    assert_eq!(shop.status("/").await, 200);
    shop.signal(Signal::KILL);
    assert_eq!(shop.process.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_late_start_can_be_stopped_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = command(folder.path(), &[("START_DELAY_MS", "600000")]).spawn().unwrap();
    while !catches(process.id(), Signal::TERM) {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

/// Whether a process has a handler for a signal.
fn catches(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}
