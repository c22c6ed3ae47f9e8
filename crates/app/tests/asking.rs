//! What the command line asks of the API, seen by a server that answers what a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use serde_json::json;

fn slipway(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(arguments).env_clear().env("HOME", folder).current_dir(folder).output().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads one request, of which it hands on method and path, and answers it.
fn answer(stream: TcpStream, with: impl FnOnce(&str) -> (u16, String)) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim().to_ascii_lowercase().split_once(':') {
            Some(("content-length", n)) => length = n.trim().parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let asked = first.trim().trim_end_matches(" HTTP/1.1").to_string();
    let (status, body) = with(&asked);
    let mut stream = reader.into_inner();
    let head = format!("HTTP/1.1 {status} so\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    // Whoever asked may have been told to end.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// A server that answers all that comes until the test ends; its address, and what was asked, told before it is answered.
fn serving(with: impl Fn(&str) -> (u16, String) + Send + 'static) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, heard) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), |request| {
                // Nobody hears it any more once the test has ended.
                let _ = asked.send(request.to_string());
                with(request)
            });
        }
    });
    (address, heard)
}

fn problem(status: u16, code: &str) -> (u16, String) {
    (status, json!({ "status": status, "detail": "it is so", "code": code }).to_string())
}

#[test]
fn a_name_is_never_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let (server, heard) = serving(|_| problem(404, "not_found"));
    for (arguments, path) in [
        (&["token", "revoke", "../gateways/foo"][..], "DELETE /api/v1/tokens/..%2Fgateways%2Ffoo"),
        (&["gateway", "forget", "edge-1/../foo"], "DELETE /api/v1/gateways/edge-1%2F..%2Ffoo"),
        (&["status", "zzz/../shop"], "GET /api/v1/services/zzz%2F..%2Fshop"),
        (&["pause", "shop?x=y", "--env", "a#b"], "POST /api/v1/services/shop%3Fx=y/environments/a%23b/pause"),
        (&["logs", "a&b", "--version", "1+2"], "GET /api/v1/logs?service=a%26b&lines=200&follow=false&version=1%2B2"),
    ] {
        let output = slipway(folder.path(), &[arguments, &["--server", &server]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert_eq!(heard.recv().unwrap(), path);
    }
    for name in ["..", ".", ""] {
        let output = slipway(folder.path(), &["token", "revoke", name, "--server", &server]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains("is no name"), "{}", err(&output));
    }
    assert!(heard.try_recv().is_err(), "nothing was asked");
}

#[test]
fn a_command_that_waits_finds_whoever_took_over() {
    let folder = tempfile::tempdir().unwrap();
    let run = |state: &str, outcome: Option<&str>| {
        json!({ "id": "gr-1", "group": "shops", "environment": "production", "actor": "user:ada", "asked_at": 1,
            "ended_at": null, "state": state, "outcome": outcome, "cause": null, "services": [] })
        .to_string()
    };
    let write = {
        let api = folder.path().join("api.json");
        move |address: &str| std::fs::write(&api, json!({ "address": address, "pid": 1 }).to_string()).unwrap()
    };
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    write(&first.local_addr().unwrap().to_string());
    let begun = run("returning", None);
    let ended = run("ended", Some("rolled_back"));
    let (second, heard) = serving(move |_| (200, ended.clone()));
    let driver = thread::spawn(move || {
        answer(first.accept().unwrap().0, |_| (200, begun));
        // It is killed, and the other says where it is.
        drop(first);
        write(&second);
    });
    let data = folder.path().to_str().unwrap();
    let back = slipway(folder.path(), &["rollback", "--group", "shops", "--env", "production", "--data", data]);
    driver.join().unwrap();
    assert_eq!(back.status.code(), Some(0), "{}", err(&back));
    assert_eq!(heard.recv().unwrap(), "GET /api/v1/groups/shops/environments/production");
}

#[test]
fn an_invitation_has_its_place_before_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let gateway = |name: &str, state: &str| {
        json!({ "name": name, "state": state, "traffic": "127.0.0.1:1", "invited": true, "here": true, "newest": true,
            "lost_since": null, "kept": 0, "kept_until": null })
    };
    let gateways = json!([gateway("edge-2", "away"), gateway("edge-3", "connected")]).to_string();
    let (server, heard) = serving(move |asked| match asked {
        "GET /api/v1/gateways" => (200, gateways.clone()),
        asked if asked.contains("edge-4") => problem(409, "no_invitation"),
        _ => (201, json!({ "name": "edge-2" }).to_string()),
    });
    let invite = |name: &str, out: &str, further: &[&str]| {
        slipway(folder.path(), &[&["gateway", "invite", name, "--out", out, "--server", &server], further].concat())
    };
    let asked = || heard.try_iter().filter(|asked| asked.starts_with("POST")).count();
    let refused = |output: Output, why: &str| {
        assert_eq!((output.status.code(), asked()), (Some(2), 0), "{}", err(&output));
        assert!(err(&output).contains(why), "{}", err(&output));
    };

    refused(invite("edge-2", "missing/e.json", &["--force"]), "missing/e.json cannot be written");
    std::fs::write(at("mine"), "mine").unwrap();
    symlink("mine", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    for there in ["mine", "link", "dangling"] {
        refused(invite("edge-2", there, &[]), "it is there already");
    }
    refused(invite("edge-3", "e3.json", &[]), "edge-3 is connected");

    let blocked = invite("edge-4", "e4.json", &[]);
    assert_eq!((blocked.status.code(), asked()), (Some(12), 1), "{}", err(&blocked));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left behind: {left:?}");

    for (name, out, further) in
        [("edge-2", "e2.json", &[][..]), ("edge-2", "link", &["--force"]), ("edge-3", "e3.json", &["--force"])]
    {
        let made = invite(name, out, further);
        assert_eq!((made.status.code(), asked()), (Some(0), 1), "{}", err(&made));
        let file = std::fs::symlink_metadata(at(out)).unwrap();
        assert!(file.is_file(), "a link is replaced, not followed");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_to_string(at("mine")).unwrap(), "mine");
}

#[test]
fn what_is_wrong_is_said_once_and_by_the_right_code() {
    let folder = tempfile::tempdir().unwrap();
    let https = slipway(folder.path(), &["status", "--server", "https://127.0.0.1:7070"]);
    assert_eq!(https.status.code(), Some(2), "{}", err(&https));
    assert!(err(&https).contains("https is not spoken"), "{}", err(&https));

    std::fs::write(folder.path().join("open.json"), "{}").unwrap();
    for (invitation, why) in [("missing.json", "No such file or directory"), ("open.json", "chmod 600")] {
        let gateway = slipway(folder.path(), &["gateway", "--join", invitation]);
        assert_eq!(gateway.status.code(), Some(2), "{}", err(&gateway));
        assert_eq!(err(&gateway).matches(why).count(), 1, "{}", err(&gateway));
    }
    let state = slipway(folder.path(), &["gateway", "--state", "/proc/nothing", "--traffic", "127.0.0.1:0"]);
    assert_eq!(err(&state).matches("os error").count(), 1, "{}", err(&state));
    let log = ["gateway", "--state", "gw", "--traffic", "127.0.0.1:0", "--access-log", "missing/access.log"];
    let log = slipway(folder.path(), &log);
    assert_eq!(err(&log).matches("os error").count(), 1, "{}", err(&log));

    let moved = slipway(folder.path(), &["store", "move", "--to", "postgres://ada@127.0.0.1:1/x", "--data", "data"]);
    assert!(err(&moved).contains("no database to move"), "{}", err(&moved));
    assert!(!folder.path().join("data").exists(), "what is refused creates nothing");
    let unknown =
        slipway(folder.path(), &["up", "--database", "postgres://ada@127.0.0.1:1/x?foo=bar", "--data", "data"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", err(&unknown));

    let (server, _heard) = serving(|_| problem(409, "bad_fault"));
    let fault = ["fault", "shop", "--env", "production", "--share", "0%", "--reset", "--server", &server];
    assert_eq!(slipway(folder.path(), &fault).status.code(), Some(2));
}
