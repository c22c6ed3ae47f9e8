//! An older database that is put back: it is found out, no number is given twice, and somebody can answer for it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use slipway_core::names::RolloutId;
use slipway_core::rollout::Counters;
use slipway_core::units::Timestamp;
use slipway_store::{Filter, PutBack, Store, Unacceptable};

use crate::common::{Ground, fact, journal_of, on_both, server};

/// A backup of the database on a ground, made while nobody drives.
enum Backup {
    File(PathBuf),
    Database(String),
}

fn named(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

/// A database as another is.
fn copied(from: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("copy_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    server().query(&format!("CREATE DATABASE {name} TEMPLATE {}", named(from))).expect("a copy");
    from.replace(named(from), &name)
}

impl Backup {
    fn of(ground: &Ground) -> Backup {
        match &ground.database {
            Some(url) => Backup::Database(copied(url)),
            None => {
                let copy = ground.path().join("copy");
                std::fs::copy(ground.path().join("slipway.db"), &copy).expect("a copy");
                Backup::File(copy)
            }
        }
    }

    fn put_back(&self, ground: &mut Ground) {
        match self {
            Backup::Database(url) => ground.database = Some(copied(url)),
            Backup::File(copy) => {
                for companion in ["slipway.db-wal", "slipway.db-shm"] {
                    let _ = std::fs::remove_file(ground.path().join(companion));
                }
                std::fs::copy(copy, ground.path().join("slipway.db")).expect("it is put back");
            }
        }
    }
}

fn number(id: &RolloutId) -> u64 {
    id.as_str().trim_start_matches("ro-").parse().expect("a number")
}

async fn kinds(store: &Store) -> Vec<String> {
    let entries = store.entries(&Filter { after: Some(0), ..Filter::default() }).await.expect("entries");
    entries.into_iter().map(|entry| entry.fact.kind).collect()
}

async fn closed(store: Store) {
    store.close().await;
    drop(store);
}

async fn an_older_database_is_found_out_and_somebody_answers_for_it(mut ground: Ground) {
    journal_of(&ground, 2).await;
    let copy = Backup::of(&ground);
    let store = ground.open().await.unwrap();
    assert_eq!((store.start_number(), store.put_back()), (2, None));
    store.append(vec![fact("lost.one"), fact("lost.other")], Timestamp(2_000)).await.unwrap();
    let lost = store.next_rollout_id().await;
    closed(store).await;

    copy.put_back(&mut ground);
    let store = ground.open().await.unwrap();
    assert_eq!(store.start_number(), 3, "gateways follow no start twice");
    assert_eq!(store.put_back(), Some(PutBack { start: 3, entry: 3 }));
    assert_eq!(kinds(&store).await, ["fact.number-1", "fact.number-2", "journal.put_back"]);
    let next = number(&store.next_rollout_id().await);
    assert!(next > number(&lost) && next > 3 * Counters::LEFT_OUT, "{next}");
    let broken = store.verify_journal().await.unwrap().expect_err("an entry is missing").to_string();
    assert!(broken.contains("anchor outside the database knows entry 4"), "{broken}");
    closed(store).await;

    let store = ground.open().await.unwrap();
    assert_eq!(store.put_back(), Some(PutBack { start: 3, entry: 3 }), "it is known, and told once");
    assert_eq!(kinds(&store).await.len(), 3);
    assert!(store.verify_journal().await.unwrap().is_err(), "until somebody answers for it");
    store.accept_journal("user:ada", "the backup of Monday").await.unwrap().unwrap();
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, 4);
    assert_eq!(store.accept_journal("user:ada", "again").await.unwrap(), Err(Unacceptable::Whole));
    let newest = store.entries(&Filter { limit: Some(1), ..Filter::default() }).await.unwrap().remove(0);
    assert_eq!((newest.fact.kind.as_str(), newest.fact.actor.as_str()), ("journal.accepted", "user:ada"));
    assert_eq!(newest.fact.evidence["anchor"]["seq"], 4, "{:?}", newest.fact);
    store.append(vec![fact("later")], Timestamp(3_000)).await.unwrap();
    closed(store).await;

    let store = ground.open().await.unwrap();
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, 5);
    assert!(!ground.path().join("journal.since").exists());
}

async fn one_that_is_put_back_again_before_anybody_has_answered_is_found_out_again(mut ground: Ground) {
    journal_of(&ground, 2).await;
    let first = Backup::of(&ground);
    journal_of(&ground, 3).await;
    let mut given = Vec::new();
    first.put_back(&mut ground);
    let store = ground.open().await.unwrap();
    given.push(number(&store.next_rollout_id().await));
    closed(store).await;
    // Made after that: it knows that it was put back, and not what is recorded from now on.
    let second = Backup::of(&ground);
    for copy in [&second, &first] {
        let store = ground.open().await.unwrap();
        store.append(vec![fact("lost")], Timestamp(9_000)).await.unwrap();
        given.push(number(&store.next_rollout_id().await));
        closed(store).await;
        copy.put_back(&mut ground);
        let store = ground.open().await.unwrap();
        assert_eq!(store.put_back().expect("it is found out").start, store.start_number());
        assert_eq!(kinds(&store).await.last().unwrap(), "journal.put_back");
        given.push(number(&store.next_rollout_id().await));
        let found = store.put_back();
        closed(store).await;
        let store = ground.open().await.unwrap();
        assert_eq!(store.put_back(), found, "and told once");
        closed(store).await;
    }
    assert!(given.is_sorted_by(|earlier, later| earlier < later), "{given:?}");
}

async fn a_chain_that_does_not_fit_together_cannot_be_accepted(ground: Ground) {
    journal_of(&ground, 3).await;
    ground.meddle("DELETE FROM journal WHERE seq = 2").await;
    let store = ground.open().await.unwrap();
    let refused = store.accept_journal("user:ada", "it is all right").await.unwrap().unwrap_err();
    assert!(matches!(refused, Unacceptable::Broken(_)), "{refused}");
    assert!(!kinds(&store).await.contains(&"journal.accepted".to_string()));
}

async fn an_anchor_that_makes_no_sense_can_be_answered_for(ground: Ground) {
    journal_of(&ground, 3).await;
    std::fs::write(ground.path().join("journal.anchor"), "nonsense").unwrap();
    let store = ground.open().await.unwrap();
    assert_eq!(store.put_back(), None, "nothing says so");
    assert!(store.verify_journal().await.is_err());
    store.accept_journal("user:ada", "somebody wrote into it").await.unwrap().unwrap();
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, 4);
}

on_both!(
    an_older_database_is_found_out_and_somebody_answers_for_it,
    one_that_is_put_back_again_before_anybody_has_answered_is_found_out_again,
    a_chain_that_does_not_fit_together_cannot_be_accepted,
    an_anchor_that_makes_no_sense_can_be_answered_for,
);
