//! Every file of the corpus through its target, without libFuzzer: what was found once stays found.

use std::fs;
use std::path::Path;

use slipway_fuzz::TARGETS;

/// Runs the files of one target's folder, in the order of their names.
fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(n, _)| *n == name).expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder).expect("its corpus").map(|e| e.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} holds {} files", folder.display(), files.len());
    for file in files {
        let bytes = fs::read(&file).expect("its bytes");
        // What a failed assertion says does not name the file.
        println!("{}", file.display());
        target(&bytes);
    }
}

#[test]
fn declared() {
    replay("declared");
}

#[test]
fn guard() {
    replay("guard");
}

#[test]
fn proxy() {
    replay("proxy");
}

#[test]
fn table() {
    replay("table");
}

#[test]
fn journal() {
    replay("journal");
}

#[test]
fn bodies() {
    replay("bodies");
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let names = |folder: &str, end: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(&folder).expect("a folder").map(|e| e.expect("an entry").file_name());
        let mut names: Vec<String> =
            entries.map(|n| n.to_string_lossy().trim_end_matches(end).to_string()).collect();
        names.sort();
        names
    };
    let mut targets: Vec<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    targets.sort();
    assert_eq!(names("corpus", ""), targets);
    assert_eq!(names("targets", ".rs"), targets);
}
