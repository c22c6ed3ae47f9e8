//! The suite itself: every story is told on both databases, but for those that are about one of them.

use std::collections::BTreeSet;
use std::process::Command;

/// Modules whose tests are told once, and why.
const ONCE: [(&str, &str); 7] = [
    ("crash", "a child that the stories of both databases start"),
    ("folder", "what a folder refuses before any database is opened, and a file that is none"),
    ("full", "the disk under the file; a server's own is not Slipway's"),
    ("guard", "this test"),
    ("leases", "a file has one control plane, which needs none"),
    ("moving", "from the one into the other"),
    ("notes", "files beside the database"),
];
/// Tests of the traps that only a server sets.
const OF_SERVERS: [&str; 6] = [
    "the_server_of_the_suite_orders_text_otherwise",
    "a_database_that_cannot_hold_every_text_is_refused",
    "one_that_drives_keeps_its_lease_and_one_that_stands_still_loses_it_and_is_fenced",
    "one_that_stands_still_in_the_middle_of_writing_keeps_nobody_from_writing",
    "a_database_belongs_to_one_data_folder_and_a_folder_has_one_database",
    "a_server_that_is_not_there_is_said_without_a_password",
];

/// Names of this program's tests, by what it is asked for.
fn listed(more: &[&str]) -> BTreeSet<String> {
    let asked = Command::new(std::env::current_exe().unwrap()).arg("--list").args(more).output().unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_string).collect()
}

#[test]
fn every_story_is_told_on_both_databases() {
    let (mut file, mut server, mut rest) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for name in listed(&[]) {
        match name.splitn(3, "::").collect::<Vec<_>>()[..] {
            [module, "sqlite", story] => drop(file.insert(format!("{module} {story}"))),
            [module, "postgres", story] => drop(server.insert(format!("{module} {story}"))),
            _ => drop(rest.insert(name)),
        }
    }
    assert!(file.len() > 30, "{file:?}");
    assert_eq!(file, server);
    let known = |name: &String| match name.split_once("::") {
        Some(("traps", test)) => OF_SERVERS.contains(&test),
        Some((module, _)) => ONCE.iter().any(|(known, _)| *known == module),
        None => false,
    };
    let unknown: Vec<_> = rest.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "told on one database only: {unknown:?}");
    assert_eq!(
        listed(&["--ignored"]),
        ["crash::child", "full::child"].map(str::to_string).into(),
        "only what another test starts is left out"
    );
}
