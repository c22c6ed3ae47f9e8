//! The documents say what is true: paths exist, links lead somewhere, commands are understood, and the tutorial runs.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::alone;
use sha2::Digest;
use slipway_e2e::{Options, Slipway, program, words};
use slipway_load::Load;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
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
    let text = read("ARCHITECTURE.md");
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
fn every_dependency_has_its_reason_and_no_reason_lacks_its_dependency() {
    let architecture = read("ARCHITECTURE.md");
    let (_, table) = architecture.split_once("## Dependencies").expect("the dependencies' section");
    let rows = table.lines().filter_map(|l| l.strip_prefix("| ")).filter_map(|l| l.split(" | ").next());
    let reasons: BTreeSet<&str> = rows.filter(|r| *r != "crate").flat_map(|r| r.split(", ")).collect();
    let manifest = read("Cargo.toml");
    let (_, dependencies) = manifest.split_once("[workspace.dependencies]").expect("dependencies");
    let names = dependencies.lines().take_while(|l| !l.starts_with('[')).filter_map(|l| l.split_once(" = "));
    let names: BTreeSet<&str> = names.map(|(name, _)| name).filter(|name| !name.starts_with("slipway-")).collect();
    assert_eq!(reasons, names, "left: reasons in ARCHITECTURE.md; right: dependencies in Cargo.toml");
}

#[test]
fn every_link_leads_somewhere_and_no_machine_shows_through() {
    let mut links = 0;
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|l| !l.contains("://")) {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let full = match target {
                "" => path.clone(),
                _ => path.parent().expect("a folder").join(target),
            };
            assert!(full.exists(), "{} links to {link}, which is not there", path.display());
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&full).expect("a document");
                assert!(headings(&there).contains(heading), "{} links to {link}: no such heading", path.display());
            }
            links += 1;
        }
        for place in ["/work/", "/root/", "/home/", "/tmp/"] {
            assert!(!text.contains(place), "{} names a machine's path, {place}", path.display());
        }
    }
    assert!(links > 50, "the documents lead to one another");
}

/// The headings of a document as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    lines.map(|l| l.chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn the_picture_of_the_readme_is_of_today() {
    let made_of = read("docs/images/rollout.made-of");
    let sources: Vec<(&str, &str)> = made_of.lines().filter_map(|line| line.split_once("  ")).collect();
    for what in ["rollout.html", "console.css", "chart.rs"] {
        assert!(sources.iter().any(|(_, path)| path.ends_with(what)), "{what} makes the picture what it is: {made_of}");
    }
    for (digest, path) in sources {
        let now = sha2::Sha256::digest(read(path)).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let renew = "the picture in the README shows what was before: run make pictures, and look at it";
        assert_eq!(now, digest, "{path} has changed; {renew}");
    }
}

#[test]
fn every_document_can_be_found_from_the_index() {
    let index = read("docs/index.md");
    for (path, _) in documents().iter().filter(|(path, _)| path.starts_with(root().join("docs"))) {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        assert!(name == "index.md" || index.contains(name), "docs/index.md does not lead to {name}");
    }
}

#[test]
fn metrics_and_answers_of_the_gateway_are_those_of_its_page() {
    let page = read("docs/reference/gateway.md");
    let metrics = read("crates/gateway/src/metrics.rs");
    // Escaped quotes belong to labels, not to names.
    let named = |text: &str, quote: char| -> BTreeSet<String> {
        let words = text.split(quote).skip(1).step_by(2).filter(|w| w.starts_with("slipway_"));
        words.map(str::to_string).collect()
    };
    assert_eq!(named(&page, '`'), named(&metrics.replace("\\\"", "\\'"), '"'));
    let faults = read("crates/gateway/src/fault.rs");
    let types = faults.split('"').filter(|w| w.contains('_') && w.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    let types: BTreeSet<&str> = types.collect();
    assert!(types.len() > 8, "error types of RFC 9209: {types:?}");
    for name in types {
        assert!(page.contains(&format!("`{name}`")), "docs/reference/gateway.md does not tell of {name}");
    }
}

/// How-to pages that say how to do what a team does every day: each has a test that runs its commands.
const TESTED: [&str; 15] = [
    "after-a-release",
    "change-the-configuration",
    "change-the-schema",
    "choose-a-strategy",
    "cohorts",
    "compare-with-stable",
    "drill",
    "environments-as-files",
    "gates",
    "hooks",
    "outcomes",
    "probe-a-quiet-service",
    "release-a-group",
    "scale-restart-maintain",
    "workers",
];

/// The sources of the tests, as they say things: without comments, lines that go on joined, quotes bare.
fn tests() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("e2e/tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the tests") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(source) = std::fs::read_to_string(&path).ok().filter(|_| path.extension().is_some()) else {
                continue;
            };
            let mut said = String::new();
            for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                match line.strip_suffix('\\') {
                    Some(begun) => said += begun,
                    None => said = said + line + "\n",
                }
            }
            found.push((path, said.replace("\\\"", "\"")));
        }
    }
    found
}

#[test]
fn every_command_of_a_page_that_is_tested_is_run_by_its_test() {
    let tests = tests();
    let mut pages = BTreeSet::new();
    for (path, source) in &tests {
        let names = source.split("PAGE: &str = \"").skip(1).filter_map(|rest| rest.split('"').next());
        for name in names.filter(|name| name.starts_with("docs/")) {
            // What several tests share runs its commands through them.
            let shared = path.parent().is_some_and(|folder| folder.ends_with("common"));
            let module = format!("{}::", path.file_stem().and_then(|stem| stem.to_str()).expect("a name"));
            let said: Vec<&String> = tests
                .iter()
                .filter(|(other, text)| other == path || (shared && text.contains(&module)))
                .map(|(_, text)| text)
                .collect();
            let page = slipway_e2e::Page::open(name);
            for command in page.commands() {
                // The whole of it, as a text of its own.
                let whole = format!("\"{command}\"");
                let runs = said.iter().any(|text| text.contains(&whole));
                assert!(runs, "{name} says what {} does not run: {command}", path.display());
            }
            let scripts = page.scripts().is_empty() || said.iter().any(|text| text.contains(".scripts()"));
            assert!(scripts, "{name} has a script that {} does not run", path.display());
            pages.insert(name.to_string());
        }
    }
    for page in TESTED {
        assert!(pages.contains(&format!("docs/how-to/{page}.md")), "no test runs the commands of {page}.md");
    }
}

/// Calls of slipway in blocks of code, indented or fenced, and in code within sentences.
fn commands() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for (path, text) in documents() {
        let mut fenced = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            let calls: Vec<&str> = match fenced || line.starts_with("    ") {
                true => vec![line.trim().trim_start_matches("$ ")],
                false => line.split('`').skip(1).step_by(2).collect(),
            };
            for call in calls.iter().filter_map(|call| call.strip_prefix("slipway ")).filter(|c| !c.contains('─')) {
                let words = call.split(['#', '>']).next().unwrap_or_default();
                found.push((path.clone(), words.trim().trim_end_matches('&').trim().to_string()));
            }
        }
    }
    // The shim takes its folder as it comes, without a look at options; COMMAND stands for any.
    found.retain(|(_, call)| !call.starts_with("run-instance") && !call.starts_with("COMMAND"));
    found
}

#[tokio::test]
async fn every_command_in_the_documents_is_understood() {
    let program = program("slipway").expect("the program");
    let commands = commands();
    assert!(commands.len() > 60, "the documents show how it is used: {commands:?}");
    for (path, line) in commands {
        let words: Vec<String> = words(&line).into_iter().filter(|w| !w.contains(['[', ']', '|'])).collect();
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
    let tutorial = read("docs/tutorial.md");
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
    the_journal_is_verified_by_hand(&slipway).await;
    slipway.down().await.expect("everything ends");
}

/// What the README shows under "By hand", in its order, with two builds of the shop.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_run() {
    let _alone = alone().await;
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    let folder = slipway.scratch().to_path_buf();
    std::fs::copy(root().join("examples/shop/slipway.yaml"), folder.join("slipway.yaml")).expect("a declared file");
    for name in ["build", "next"] {
        slipway_e2e::build(&folder, name, &[]).expect("a build");
    }
    let readme = read("README.md");
    let by_hand = readme.split("## By hand").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let lines: Vec<&str> = by_hand.lines().filter_map(|l| l.strip_prefix("    ")).collect();
    assert!(lines.len() >= 9, "{lines:?}");
    assert!(lines[0].starts_with("slipway up") && lines[lines.len() - 1].starts_with("slipway down"));
    for line in &lines[1..lines.len() - 1] {
        assert_eq!(shell(&slipway, line).await, 0, "{line}");
    }
    slipway.down().await.expect("everything ends");
}

/// Runs a line of a document as a user would.
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

/// The program on the journal's page finds the chain whole, and finds one changed byte.
async fn the_journal_is_verified_by_hand(slipway: &Slipway) {
    let page = read("docs/reference/journal.md");
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    let by_hand = async |program: &str| {
        let mut python = tokio::process::Command::new("python3");
        python.args(["-c", program]).current_dir(&slipway.data).output().await
    };
    let Ok(output) = by_hand(program).await else {
        println!("SKIPPED: there is no python3; the journal was not verified by hand");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("whole: "), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let touched = program.replace("(head + body)", "(head + body.replace('ro-1', 'ro-9'))");
    assert_ne!(touched, program);
    let output = by_hand(&touched).await.expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("entry 1 was changed"));
}
