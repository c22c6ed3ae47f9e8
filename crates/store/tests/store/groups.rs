//! Releases of groups: guarded by their generation, and found by group, environment and age.

use serde_json::{Value, json};
use slipway_core::units::Timestamp;
use slipway_store::{Filter, GroupCommit, Store};

use crate::common::{Ground, fact, on_both};

/// Keeps a release of a group, changed from `from`, with an entry in the journal.
pub async fn keep(store: &Store, (group, number): (&str, u64), from: u64, ended: bool) -> bool {
    let (environment, id) = ("production".parse().unwrap(), format!("gr-{number}"));
    let commit = GroupCommit {
        id: &id,
        number,
        group: &group.parse().unwrap(),
        environment: &environment,
        ended,
        expected_generation: from,
        doc: &json!({ "n": from + 1 }),
        facts: vec![fact("group.kept")],
        at: Timestamp(5),
    };
    store.keep_group(commit).await.unwrap()
}

async fn a_group_release_is_changed_only_from_what_it_was(ground: Ground) {
    let store = ground.open().await.unwrap();
    let number = store.next_group_number().await.unwrap();
    assert!(keep(&store, ("web", number), 0, false).await);
    assert!(!keep(&store, ("web", number), 0, false).await, "it is there already");
    assert!(keep(&store, ("web", number), 1, false).await);
    assert!(!keep(&store, ("web", number), 1, true).await, "somebody was first");
    store.close().await;
    drop(store);

    let store = ground.open().await.unwrap();
    let kept = store.group_run::<Value>("gr-1").await.unwrap().unwrap();
    assert_eq!((kept.generation, kept.doc), (2, json!({ "n": 2 })));
    assert!(store.group_run::<Value>("gr-9").await.unwrap().is_none());
    let told = store.entries(&Filter { kind: Some("group.kept".into()), ..Filter::default() }).await.unwrap();
    assert_eq!(told.len(), 2, "what was refused is not recorded either");
    assert_eq!(store.next_group_number().await.unwrap(), number + 1);
}

async fn group_releases_that_go_on_and_the_newest_of_a_group_are_found(ground: Ground) {
    let store = ground.open().await.unwrap();
    // By number, which is not the order of their ids as text.
    for (group, number) in [("web", 9), ("jobs", 10), ("web", 11), ("web", 2)] {
        assert!(keep(&store, (group, number), 0, number == 11).await);
    }
    assert_eq!(store.open_groups().await.unwrap(), ["gr-2", "gr-9", "gr-10"]);
    let (web, production) = ("web".parse().unwrap(), "production".parse().unwrap());
    assert!(keep(&store, ("web", 11), 1, true).await);
    let newest = store.newest_group_run::<Value>(&web, &production).await.unwrap().unwrap();
    assert_eq!(newest.generation, 2, "the newest, although it has ended");
    assert!(store.newest_group_run::<Value>(&web, &"staging".parse().unwrap()).await.unwrap().is_none());
    assert!(keep(&store, ("web", 9), 1, true).await);
    assert_eq!(store.open_groups().await.unwrap(), ["gr-2", "gr-10"]);
}

on_both!(
    a_group_release_is_changed_only_from_what_it_was,
    group_releases_that_go_on_and_the_newest_of_a_group_are_found,
);
