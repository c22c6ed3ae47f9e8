//! The command line where no server is needed: help, usage, files, and a server that is not there.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tokio::net::TcpSocket;

const COMMANDS: &[&str] = &[
    "up",
    "check",
    "schema",
    "plan",
    "release",
    "status",
    "history",
    "diff",
    "explain",
    "logs",
    "rollback",
    "group",
    "drill",
    "scale",
    "restart",
    "maintenance",
    "fault",
    "migration",
    "env",
    "gates",
    "hooks",
    "approve",
    "token",
    "pause",
    "resume",
    "promote",
    "abort",
    "journal",
    "store",
    "down",
    "gateway",
];
const GOOD: &str = "\
service: shop
run: { command: [\"./shop\"] }
health: { http: /healthz }
environments: { production: { instances: 1 } }
";

fn slipway(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(arguments).env_clear().env("HOME", folder).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An address where nobody listens, nor anybody else can while this is held.
fn nobody() -> (String, TcpSocket) {
    let held = TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    (held.local_addr().unwrap().to_string(), held)
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let help = slipway(folder.path(), &["--help"]);
    let text = out(&help);
    let commands: Vec<&str> = text
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next().filter(|w| !w.is_empty() && *w != "help"))
        .collect();
    assert_eq!(commands, COMMANDS, "{text}");
    for command in COMMANDS.iter().chain(&["run-instance"]) {
        let help = slipway(folder.path(), &[command, "--help"]);
        let text = out(&help);
        assert!(help.status.success() && text.contains(&format!("Example:\n  slipway {command}")), "{command}: {text}");
        assert!(text.contains("--json") && text.contains("--server"), "{command}: {text}");
    }
    assert!(out(&slipway(folder.path(), &["journal", "verify", "--help"])).contains("slipway journal verify"));
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["nonsense"][..],
        &["release", "--env", "production"],
        &["rollback", "shop"],
        &["up", "--api", "nonsense"],
        &["history", "shop", "--limit", "0"],
        &["explain", "../../services"],
        &["approve", "ro-1/../../x"],
        &["check", "-f", "/dev/zero"],
        &[],
    ] {
        let output = slipway(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_file_is_checked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let missing = slipway(folder.path(), &["check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("slipway.yaml"), "{}", err(&missing));

    std::fs::write(folder.path().join("slipway.yaml"), GOOD).unwrap();
    let good = slipway(folder.path(), &["check", "--json"]);
    assert_eq!(good.status.code(), Some(0), "{}", out(&good));
    assert_eq!(serde_json::from_str::<Value>(&out(&good)).unwrap()["ok"], true);

    std::fs::write(folder.path().join("bad.yaml"), GOOD.replace("health", "heath").replace("run", "rnu")).unwrap();
    let bad = slipway(folder.path(), &["check", "-f", "bad.yaml"]);
    assert_eq!(bad.status.code(), Some(2));
    let text = out(&bad);
    assert!(text.contains("bad.yaml:2:1: ") && text.contains("bad.yaml:3:1: "), "every mistake at once: {text}");
    assert!(text.contains("health") && text.contains("run"), "the nearest key: {text}");
    let json = slipway(folder.path(), &["check", "-f", "bad.yaml", "--json"]);
    let json: Value = serde_json::from_str(out(&json).trim_end_matches('\n')).expect("one line");
    assert!(json["mistakes"].as_array().unwrap().len() >= 2, "{json}");

    // A release looks at the file before it looks for a server.
    let (server, _held) = nobody();
    let arguments = ["release", "-f", "bad.yaml", "--version", "1", "--env", "production", "--server", &server];
    let release = slipway(folder.path(), &arguments);
    assert_eq!(release.status.code(), Some(2), "{}", err(&release));
    assert!(err(&release).contains("bad.yaml:2:1: "), "{}", err(&release));
}

#[test]
fn the_schema_is_one_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let schema = out(&slipway(folder.path(), &["schema"]));
    assert_eq!(schema.lines().count(), 1);
    assert!(serde_json::from_str::<Value>(&schema).unwrap()["properties"]["service"].is_object());
}

#[test]
fn a_server_that_is_not_there_is_13_with_what_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slipway.yaml"), GOOD).unwrap();
    std::fs::create_dir(folder.path().join("build")).unwrap();
    std::fs::write(folder.path().join("build/shop"), "#!/bin/sh").unwrap();
    let (server, _held) = nobody();
    let release = ["release", "--version", "1.0.0", "--path", "build", "--env", "production"];
    for arguments in [
        &["status"][..],
        &["history", "shop"],
        &["explain", "ro-1"],
        &["logs", "shop"],
        &["journal"],
        &["journal", "--follow"],
        &["journal", "verify"],
        &["rollback", "shop", "--env", "production"],
        &["pause", "shop", "--env", "production"],
        &["down"],
        &release,
    ] {
        let output = slipway(folder.path(), &[arguments, &["--server", &server]].concat());
        assert_eq!(output.status.code(), Some(13), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(&server) && err(&output).contains("slipway up"), "{}", err(&output));
    }
    let json = slipway(folder.path(), &["status", "--json", "--server", &server]);
    assert_eq!(serde_json::from_str::<Value>(&out(&json)).unwrap()["error"]["code"], "unreachable");
}

#[test]
fn what_cannot_be_packed_is_said_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slipway.yaml"), GOOD).unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for (path, why) in [("missing", "does not exist"), ("empty", "is empty")] {
        let (server, _held) = nobody();
        let release = ["release", "--version", "1", "--path", path, "--env", "production", "--server", &server];
        let output = slipway(folder.path(), &release);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains(path) && err(&output).contains(why), "{}", err(&output));
    }
}

#[test]
fn the_reference_page_has_every_command_and_every_option() {
    let page = include_str!("../../../docs/reference/cli.md");
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let section = page.split("\n## ").find(|s| s.lines().next() == Some(&format!("slipway {command}")));
        let section = section.unwrap_or_else(|| panic!("slipway {command} has no section"));
        let help = out(&slipway(folder.path(), &[command, "--help"]));
        let options = help.lines().filter(|l| l.starts_with("  ") && l.trim_start().starts_with('-'));
        for option in options.flat_map(|l| l.split([' ', ','])).filter(|w| w.starts_with("--")) {
            let common = ["--json", "--server", "--token", "--data", "--help"].contains(&option);
            let short = option == "--file" && (section.contains(" -f ") || section.contains("`-f "));
            assert!(common || short || page.contains(option), "{command} {option} is not on the page");
        }
    }
}

#[test]
fn every_example_of_the_reference_page_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let page = include_str!("../../../docs/reference/cli.md");
    let examples: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("    slipway ")).collect();
    assert!(examples.len() > 16);
    for example in examples {
        // With --help the rest is still read, and nothing is done.
        let words: Vec<&str> = example.split(' ').chain(["--help"]).collect();
        let help = slipway(folder.path(), &words);
        assert_eq!(help.status.code(), Some(0), "slipway {example}: {}", err(&help));
    }
}

#[test]
fn a_reader_that_went_away_ends_a_command_quietly() {
    let program = env!("CARGO_BIN_EXE_slipway");
    // The reader has ended before anything is written to it.
    let script = format!("exec 3> >(exit 0); wait $!; '{program}' schema >&3");
    let output = Command::new("bash").args(["-c", &script]).output().expect("it runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}
