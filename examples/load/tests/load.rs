//! The generator against a server that answers by script: pace, users, versions, and whose failure is whose.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slipway_load::{Blame, Cookies, Load, LoadHandle, Options, Report};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a scripted server does with a request.
enum Reply {
    /// These header lines and status, with a short body.
    Answer(u16, &'static str),
    /// These bytes, then the end of the connection.
    Raw(&'static str),
    /// Nothing, for ever.
    Silence,
}

type Script = Arc<dyn Fn(u64, &str) -> Reply + Send + Sync>;

struct Server {
    url: String,
    connections: Arc<AtomicU64>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Answers the `n`th request, counted from 0, as `script` says.
async fn server(script: impl Fn(u64, &str) -> Reply + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (connections, requests) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let server = Server { url, connections: connections.clone(), heads: heads.clone() };
    let script: Script = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, SeqCst);
            tokio::spawn(converse(stream, script.clone(), requests.clone(), heads.clone()));
        }
    });
    server
}

async fn converse(stream: TcpStream, script: Script, requests: Arc<AtomicU64>, heads: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        heads.lock().unwrap().push(head.clone());
        match script(requests.fetch_add(1, SeqCst), &head) {
            Reply::Answer(status, headers) => {
                let answer = format!("HTTP/1.1 {status} Scripted\r\n{headers}content-length: 2\r\n\r\nok");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Reply::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

fn options(server: &Server, rate: f64) -> Options {
    Options { rate, users: 10, connections: 4, ..Options::new(&server.url) }
}

async fn until(load: &LoadHandle, done: impl Fn(&Report) -> bool) {
    let waiting = async {
        while !done(&load.snapshot()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it never came to that");
}

/// The report of at least `n` requests.
async fn after(options: Options, n: u64) -> Report {
    let load = Load::start(options).unwrap();
    until(&load, |report| report.requests >= n).await;
    load.stop().await
}

const GOOD: Reply = Reply::Answer(200, "x-version: 1\r\n");

#[tokio::test]
async fn a_declared_duration_makes_a_known_number_of_requests() {
    let server = server(|_, _| GOOD).await;
    let duration = Some(Duration::from_secs(1));
    let mut load = Load::start(Options { duration, ..options(&server, 250.0) }).unwrap();
    let report = load.finished().await;
    assert_eq!((report.requests, report.failures.total(), report.unsigned), (250, 0, 0));
    let version = &report.versions["1"];
    assert_eq!((version.requests, version.users, version.failed), (250, 10, 0));
    assert!(report.start_ms <= version.first_ms && version.last_sent_ms <= version.last_ms);
    assert_eq!(report.seconds.iter().map(|second| second.requests).sum::<u64>(), 250);
    assert!(report.duration_ms >= 990, "not faster than it was asked to be");
    assert!(server.connections.load(SeqCst) <= 4, "connections are kept");
}

#[tokio::test]
async fn requests_say_who_they_are_from_and_for() {
    let server = server(|_, _| GOOD).await;
    let paths = vec!["/a?x=1".into(), "/b".into()];
    let method = hyper::Method::POST;
    after(Options { host: Some("shop.local".into()), paths, method, ..options(&server, 500.0) }, 50).await;
    let heads = server.heads.lock().unwrap();
    for path in ["POST /a?x=1 HTTP/1.1\r\n", "POST /b HTTP/1.1\r\n"] {
        assert!(heads.iter().any(|head| head.starts_with(path)), "{path}");
    }
    assert!(heads.iter().all(|head| head.contains("host: shop.local\r\n") && head.contains("cookie: session=user-")));
}

#[tokio::test]
async fn failures_are_blamed_on_who_failed() {
    use Blame::{Service, Slipway};
    type Case = (&'static str, fn(u64, &str) -> Reply, Blame);
    let cases: [Case; 6] = [
        ("status_500", |_, _| Reply::Answer(500, "x-version: 1\r\n"), Service),
        (
            "connection_terminated",
            |_, _| Reply::Answer(502, "proxy-status: slipway; error=connection_terminated\r\n"),
            Service,
        ),
        (
            "destination_unavailable",
            |_, _| Reply::Answer(503, "proxy-status: slipway; error=destination_unavailable\r\n"),
            Slipway,
        ),
        ("no_answer", |_, _| Reply::Raw(""), Slipway),
        ("truncated", |_, _| Reply::Raw("HTTP/1.1 200 OK\r\nx-version: 1\r\ncontent-length: 9\r\n\r\nhalf"), Service),
        ("time_out", |_, _| Reply::Silence, Slipway),
    ];
    for (kind, script, blame) in cases {
        let server = server(script).await;
        let timeout = if kind == "time_out" { Duration::from_millis(20) } else { Duration::from_secs(30) };
        let report = after(Options { timeout, ..options(&server, 500.0) }, 20).await;
        let n = report.requests;
        assert_eq!(report.failures.kinds, BTreeMap::from([(kind.to_string(), n)]));
        let wanted = if blame == Service { (n, 0) } else { (0, n) };
        assert_eq!((report.failures.by_service, report.failures.by_slipway), wanted, "{kind}");
        assert!(report.first_failures.iter().all(|f| f.kind == kind && f.blame == blame && !f.detail.is_empty()));
    }
    let report = after(Options { users: 1, ..Options::new("http://127.0.0.1:1/") }, 5).await;
    assert_eq!(report.failures.kinds.keys().collect::<Vec<_>>(), ["connect"]);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_failure() {
    let server = server(|n, _| match n % 2 {
        0 => GOOD,
        _ => Reply::Raw("HTTP/1.1 200 OK\r\nx-version: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
    });
    let report = after(options(&server.await, 500.0), 100).await;
    assert_eq!(report.failures.total(), 0, "{:?}", report.first_failures);
}

#[tokio::test]
async fn versions_users_and_the_way_back_are_seen() {
    let server =
        server(|n, _| Reply::Answer(200, if (50..100).contains(&n) { "x-version: 2\r\n" } else { "x-version: 1\r\n" }));
    let load = Load::start(Options { users: 1, connections: 1, ..options(&server.await, 500.0) }).unwrap();
    until(&load, |report| report.requests >= 150).await;
    let report = load.stop().await;
    assert_eq!(report.switches, BTreeMap::from([("1 -> 2".into(), 1), ("2 -> 1".into(), 1)]));
    assert_eq!((report.versions["2"].requests, report.versions["2"].users, report.max_switches_of_a_user), (50, 1, 2));
    assert!(report.versions["2"].last_ms <= report.versions["1"].last_ms);
}

#[tokio::test]
async fn one_user_may_be_a_nuisance() {
    let server = server(|_, head| {
        let nuisance = head.contains("session=user-0\r\n");
        Reply::Answer(if nuisance { 500 } else { 200 }, "x-version: 1\r\n")
    });
    let report = after(Options { unequal: true, ..options(&server.await, 2000.0) }, 900).await;
    let version = &report.versions["1"];
    assert_eq!((version.users, version.users_failed), (10, 1));
    // A third of the pace, four times each: two thirds of all requests are expected.
    let share = version.failed as f64 / report.requests as f64;
    assert!((0.5..0.8).contains(&share), "{share}");
}

#[tokio::test]
async fn cookies_are_kept_or_not_as_told() {
    let given = |_: u64, head: &str| match head.contains("cookie: slipway=abc\r\n") {
        true => GOOD,
        false => Reply::Answer(200, "x-version: 2\r\nset-cookie: slipway=abc; Path=/; HttpOnly\r\n"),
    };
    let kept = options(&server(given).await, 500.0);
    let report = after(Options { cookies: Cookies::Kept, users: 1, connections: 1, ..kept }, 20).await;
    assert_eq!(report.versions["2"].requests, 1, "asked once, remembered ever after");
    let none = options(&server(given).await, 500.0);
    let report = after(Options { cookies: Cookies::None, ..none }, 20).await;
    assert!(!report.versions.contains_key("1"));
    assert_eq!((report.versions["2"].users, report.switches.len()), (0, 0));
}

#[tokio::test]
async fn a_stall_shows_in_the_latency_of_what_was_due_meanwhile() {
    // One connection, one request that the time-out ends after 300 ms: what was due meanwhile waited as well.
    let server = server(|n, _| if n == 20 { Reply::Silence } else { GOOD }).await;
    let timeout = Duration::from_millis(300);
    let report = after(Options { connections: 1, timeout, ..options(&server, 100.0) }, 60).await;
    assert_eq!(report.failures.kinds, BTreeMap::from([("time_out".into(), 1)]));
    assert!(report.latency.max_ms >= 300.0);
    assert!(report.latency.p90_ms >= 100.0, "thirty of them were late: {:?}", report.latency);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let refused = |options| Load::start(options).err().unwrap().to_string();
    assert_eq!(refused(Options::new("https://x/")), "\"https://x/\" does not start with http://");
    assert_eq!(
        refused(Options { rate: 0.0, ..Options::new("http://x/") }),
        "the rate must be above 0 and at most a million per second"
    );
    assert_eq!(refused(Options { paths: vec!["x".into()], ..Options::new("http://x/") }), "\"x\" is not a path");
}

#[tokio::test]
async fn the_program_prints_seconds_and_ends_with_the_account_when_terminated() {
    let server = server(|_, _| GOOD).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--url", &server.url, "--rate", "50", "--json-every", "1s", "--report"]).arg(&file);
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    let mut second = String::new();
    said.read_line(&mut second).await.unwrap();
    let second: slipway_load::Second = serde_json::from_str(&second).unwrap();
    assert_eq!(second.requests, second.versions["1"]);
    let pid = rustix::process::Pid::from_raw(process.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).await.unwrap();
    let report: Report = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert!(report.requests >= second.requests && report.failures.total() == 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), rest.lines().last().unwrap());
    assert!(process.wait().await.unwrap().success());
}
