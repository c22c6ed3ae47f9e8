//! The documents say what is true: paths exist, links lead somewhere, commands are understood, and the tutorial runs.

mod common;

use std::path::{Path, PathBuf};

use common::alone;
use slipway_e2e::{Options, Slipway, program};
use slipway_load::Load;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file that a user may read.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root(), root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && folder != root() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                let text = std::fs::read_to_string(&path).expect("a document");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 15, "documents are missing");
    found
}

#[test]
fn every_path_in_the_architecture_exists() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let paths: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|p| ["crates/", "examples/", "docs/", "e2e", "scenarios/"].iter().any(|start| p.starts_with(start)))
        .collect();
    assert!(paths.len() > 30, "the walk through a release names its files");
    for path in paths {
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which is not there");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let (_, dependencies) = manifest.split_once("[workspace.dependencies]").expect("dependencies");
    let names = dependencies.lines().take_while(|l| !l.starts_with('[')).filter_map(|l| l.split_once(" = "));
    for (name, _) in names.filter(|(name, _)| !name.starts_with("slipway-")) {
        assert!(reasons.contains(name), "ARCHITECTURE.md gives no reason for {name}");
    }
}

#[test]
fn every_link_leads_somewhere_and_no_machine_shows_through() {
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let full = path.parent().expect("a folder").join(target);
            assert!(full.exists(), "{} links to {link}, which is not there", path.display());
        }
        assert!(!text.contains("/work/") && !text.contains("/root/"), "{} names a machine's path", path.display());
    }
}

/// Lines of code that call slipway, with the document they stand in.
fn commands() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for (path, text) in documents() {
        for line in text.lines().filter(|l| l.starts_with("    ") || l.starts_with("\t")) {
            let line = line.trim().trim_start_matches("$ ");
            if let Some(rest) = line.strip_prefix("slipway ").filter(|rest| !rest.contains('─')) {
                let words = rest.split('#').next().unwrap_or_default().split('>').next().unwrap_or_default();
                found.push((path.clone(), words.trim().trim_end_matches('&').trim().to_string()));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_command_in_the_documents_is_understood() {
    let program = program("slipway").expect("the program");
    let commands = commands();
    assert!(commands.len() > 20, "the documents show how it is used: {commands:?}");
    for (path, line) in commands {
        let words: Vec<String> =
            line.split_whitespace().filter(|w| !w.contains(['[', ']', '|'])).map(str::to_string).collect();
        let output = tokio::process::Command::new(&program).args(&words).arg("--help").output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: slipway {line}: {said}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_runs() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    let folder = slipway.scratch().to_path_buf();
    std::fs::copy(root().join("examples/shop/slipway.yaml"), folder.join("slipway.yaml")).expect("a declared file");
    let tutorial = std::fs::read_to_string(root().join("docs/tutorial.md")).expect("the tutorial");
    let lines = tutorial.lines().filter(|l| l.starts_with("       ")).map(str::trim);
    let mut load = None;
    let mut ran = 0;
    for line in lines.filter(|l| *l != "slipway up" && *l != "slipway down") {
        if line.starts_with("load ") {
            let options = slipway_load::Options {
                host: Some("shop.local".into()),
                rate: 300.0,
                users: 3_000,
                ..slipway_load::Options::new(slipway.traffic_url())
            };
            load = Some(Load::start(options).expect("the load starts"));
            continue;
        }
        let code = shell(&slipway, line).await;
        let expected = if line.contains("--version 1.1.0") { 10 } else { 0 };
        assert_eq!(code, expected, "{line}");
        ran += 1;
    }
    assert!(ran >= 10, "the tutorial has commands");
    assert!(load.is_some(), "the tutorial puts traffic on it");
    slipway.down().await.expect("everything ends");
}

/// Runs a line of the tutorial as a user would.
async fn shell(slipway: &Slipway, line: &str) -> i32 {
    let programs = program("slipway").expect("the program");
    let programs = programs.parent().expect("a folder").to_path_buf();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", line]).current_dir(slipway.scratch()).env("PATH", path);
    command
        .env("SLIPWAY_SERVER", format!("http://{}", slipway.api))
        .env("SLIPWAY_TOKEN", slipway.token().expect("a token"));
    command.status().await.expect("it runs").code().unwrap_or(-1)
}
