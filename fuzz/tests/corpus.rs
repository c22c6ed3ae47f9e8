//! Every target without libFuzzer: first every file of its corpus, so that what was found once stays found, then as many
//! inputs near them as a test run has time for. `FUZZ_SEED` makes other ones, `FUZZ_ROUNDS` more of them.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use slipway_fuzz::TARGETS;
use slipway_fuzz::mutate::Mutator;

/// Where things of this crate lie.
fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Hands the target its corpus, and `rounds` inputs near it.
fn run(name: &str, dictionary: &str, rounds: u64) {
    let (_, target) = TARGETS.iter().find(|(n, _)| *n == name).expect("a target");
    let folder = here("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder).expect("its corpus").map(|e| e.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} holds {} files", folder.display(), files.len());
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("its bytes")).collect();
    for (file, bytes) in files.iter().zip(&corpus) {
        told(&file.display().to_string(), bytes, *target);
    }
    let seed = number("FUZZ_SEED", 1);
    let dictionary = fs::read_to_string(here("dictionaries").join(dictionary)).expect("its dictionary");
    let mut mutator = Mutator::new(seed, corpus, &dictionary);
    for round in 0..number("FUZZ_ROUNDS", rounds) {
        told(&format!("seed {seed}, round {round}"), &mutator.next_input(), *target);
    }
}

/// Says which input it was where the target panics.
fn told(which: &str, bytes: &[u8], target: fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        println!("{which}: {}", bytes.escape_ascii());
        resume_unwind(panic);
    }
}

#[test]
fn declared() {
    run("declared", "declared.dict", 2_000);
}

#[test]
fn guard() {
    run("guard", "http.dict", 10_000);
}

#[test]
fn proxy() {
    run("proxy", "http.dict", 1_000);
}

#[test]
fn table() {
    run("table", "json.dict", 5_000);
}

#[test]
fn journal() {
    run("journal", "json.dict", 2_000);
}

#[test]
fn bodies() {
    run("bodies", "json.dict", 300);
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let names = |folder: &str, end: &str| {
        let entries = fs::read_dir(here(folder)).expect("a folder").map(|e| e.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|n| n.to_string_lossy().trim_end_matches(end).to_string()).collect();
        names.sort();
        names
    };
    let mut targets: Vec<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    targets.sort();
    assert_eq!(names("corpus", ""), targets);
    assert_eq!(names("targets", ".rs"), targets);
}
