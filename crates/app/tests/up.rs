//! `up` and `down` as processes: what they own, what outlives them, and what they say when something is in the way.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tokio::net::TcpSocket;

/// How long a test waits for something that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(90);

struct Up {
    child: Child,
    ready: Value,
}

/// A data folder of its own; nothing of it runs any more when this is dropped.
struct Place {
    folder: tempfile::TempDir,
    starts: std::cell::Cell<u32>,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), starts: std::cell::Cell::new(0) }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn slipway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(arguments).env_clear().env("SLIPWAY_DATA", self.data()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.slipway(arguments).output().unwrap()
    }

    /// Starts it with these addresses and waits until it is ready.
    fn up(&self, arguments: &[&str]) -> Up {
        self.starts.set(self.starts.get() + 1);
        // A file, not a pipe: the gateway outlives this and must not hold a pipe open.
        let out = self.folder.path().join(format!("up-{}", self.starts.get()));
        let mut command = self.slipway(&[&["up", "--json"], arguments].concat());
        let mut child = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
        let line = until("up is ready", || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            fs::read_to_string(&out).unwrap().split_once('\n').map(|(line, _)| line.to_string())
        });
        Up { child, ready: serde_json::from_str(&line).unwrap() }
    }

    fn free(&self) -> Up {
        self.up(&["--api", "127.0.0.1:0", "--traffic", "127.0.0.1:0"])
    }

    /// The process that holds the gateway's lock.
    fn gateway(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("gateway/lock")).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        runs(pid).then_some(pid)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

impl Up {
    fn traffic(&self) -> &str {
        self.ready["traffic"].as_str().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    fn ends(&mut self) -> Option<i32> {
        until("up has ended", || self.child.try_wait().unwrap()).code()
    }
}

fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_ok() && !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether somebody answers HTTP there.
fn answers(url: &str) -> bool {
    use std::io::{Read, Write};
    let address = url.trim_start_matches("http://");
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: nobody\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.starts_with("HTTP/1.1 ")
}

/// A port at which nobody listens; it is nobody else's for as long as this is held, and whoever is given it may listen there.
fn unheard() -> TcpSocket {
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    held
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_says_where_it_is_and_keeps_its_secrets() {
    let place = Place::new();
    let mut up = place.free();
    for key in ["api", "traffic"] {
        assert!(up.ready[key].as_str().unwrap().starts_with("http://127.0.0.1:"), "{}", up.ready);
    }
    assert_eq!(up.ready["data"].as_str(), place.data().to_str());
    let token = fs::read_to_string(up.ready["token_file"].as_str().unwrap()).unwrap();
    assert!(
        token.len() >= 32 && token.chars().all(|c| c.is_ascii_alphanumeric()),
        "its text and nothing else: {token:?}"
    );
    assert_eq!((mode(&place.data()), mode(&place.data().join("token"))), (0o700, 0o600));
    assert!(answers(up.traffic()));

    let status = place.run(&["status", "--json"]);
    assert_eq!((status.status.code(), status.stdout.as_slice()), (Some(0), b"[]\n".as_slice()), "{}", said(&status));
    let other = place.slipway(&["status"]).env("SLIPWAY_TOKEN", "wrong").output().unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));

    let down = place.run(&["down", "--json"]);
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    assert_eq!(up.ends(), Some(0));
    assert_eq!(place.gateway(), None);
    let again = fs::read_to_string(place.data().join("token")).unwrap();
    assert_eq!(again, token);
}

#[test]
fn a_second_one_is_told_who_has_the_folder() {
    let place = Place::new();
    let first = place.free();
    let second = place.run(&["up", "--api", "127.0.0.1:0", "--traffic", "127.0.0.1:0"]);
    assert_ne!(second.status.code(), Some(0));
    assert!(said(&second).contains(&format!("in use by process {}", first.child.id())), "{}", said(&second));
    assert!(answers(first.traffic()), "the first goes on");
}

#[test]
fn ports_that_are_taken_are_named_and_nothing_is_left_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, other) in [("--api", "--traffic"), ("--traffic", "--api")] {
        let place = Place::new();
        let up = place.run(&["up", option, &address, other, "127.0.0.1:0"]);
        assert_ne!(up.status.code(), Some(0));
        let said = said(&up);
        assert!(said.contains(&address) && said.contains(option), "{option}: {said}");
        assert_eq!(place.gateway(), None, "{option}");
        assert_eq!(place.run(&["down"]).status.code(), Some(13), "nothing is there to take down");
    }
}

#[test]
fn traffic_outlives_the_control_plane_until_down() {
    let place = Place::new();
    let mut up = place.free();
    let gateway = place.gateway().unwrap();
    up.signal(Signal::TERM);
    assert_eq!(up.ends(), Some(0));
    assert!(answers(up.traffic()), "SIGTERM ends the control plane only");

    let mut next = place.free();
    assert_eq!(place.gateway(), Some(gateway), "it is taken over, not replaced");
    assert_eq!(next.traffic(), up.traffic(), "a port left open stays what it was");
    next.signal(Signal::KILL);
    next.ends();
    assert!(answers(up.traffic()), "SIGKILL neither");

    let held = unheard();
    let elsewhere = held.local_addr().unwrap().to_string();
    let moved = place.run(&["up", "--api", "127.0.0.1:0", "--traffic", &elsewhere]);
    assert_ne!(moved.status.code(), Some(0));
    let there = up.traffic().trim_start_matches("http://");
    assert!(said(&moved).contains(there), "it says where the gateway listens: {}", said(&moved));
    assert_eq!(place.gateway(), Some(gateway), "and leaves it alone");

    let down = place.run(&["down"]);
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    assert_eq!((place.gateway(), answers(up.traffic())), (None, false));
    assert_eq!(place.run(&["down"]).status.code(), Some(13));
}

#[test]
fn an_interrupt_ends_everything() {
    let place = Place::new();
    let mut up = place.free();
    up.signal(Signal::INT);
    assert_eq!(up.ends(), Some(0));
    assert_eq!((place.gateway(), answers(up.traffic())), (None, false));
}

#[test]
fn a_gateway_that_is_killed_comes_back_where_it_was() {
    let place = Place::new();
    // Nobody else gets its port while nobody listens there.
    let held = unheard();
    let mut up = place.up(&["--api", "127.0.0.1:0", "--traffic", &held.local_addr().unwrap().to_string()]);
    let traffic = up.traffic().to_string();
    let kill = || {
        let before = place.gateway().unwrap();
        kill_process(before, Signal::KILL).unwrap();
        until("another gateway runs", || place.gateway().filter(|g| *g != before));
        until("it serves", || answers(&traffic).then_some(()));
    };
    kill();
    up.signal(Signal::KILL);
    up.ends();
    // Now it is nobody's child: a new control plane takes it over and watches it all the same.
    let _next = place.free();
    kill();
}
