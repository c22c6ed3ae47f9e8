//! Whoever changes the journal around the store is found out, and the entry is named.

use slipway_core::journal::Broken;
use slipway_core::units::Timestamp;
use slipway_store::{Error, Filter};

use crate::common::{Ground, fact, journal_of, on_both};

/// What verification says of the journal on `ground` after a start: a broken chain keeps nobody from starting.
async fn verdict(ground: &Ground) -> Option<String> {
    let store = ground.open().await.expect("a broken chain does not keep the store from opening");
    let verdict = store.verify_journal().await.expect("verification runs");
    store.close().await;
    verdict.err().map(|broken| broken.to_string())
}

async fn one_changed_byte_in_any_column_of_any_entry_is_found_and_named(ground: Ground) {
    const COLUMNS: [&str; 6] = ["kind", "service", "environment", "rollout", "actor", "hash"];
    // A server takes no text that is none.
    let flip = if ground.database.is_some() { 0x01 } else { 0x81 };
    journal_of(&ground, 3).await;
    let store = ground.open().await.unwrap();
    let mut connection = ground.raw().await;
    for seq in 1..=3u64 {
        let sql = "SELECT kind, service, environment, rollout, actor, hash, body FROM journal WHERE seq = ";
        let row = connection.texts(&format!("{sql}{seq}")).await;
        for (before, column) in row.iter().zip(COLUMNS.into_iter().chain(["body"])) {
            for at in 0..before.len() {
                let mut bytes = before.clone().into_bytes();
                bytes[at] ^= flip;
                let change =
                    |bytes: &[u8]| format!("UPDATE journal SET {column} = {} WHERE seq = {seq}", ground.literal(bytes));
                connection.execute(&change(&bytes)).await.unwrap();
                let broken = store.verify_journal().await.unwrap().expect_err("it is found");
                assert!(matches!(broken, Broken::Changed { seq: named, .. } if named == seq), "{broken}");
                connection.execute(&change(before.as_bytes())).await.unwrap();
            }
        }
        for column in ["at", "seq"] {
            ground.meddle(&format!("UPDATE journal SET {column} = {column} + 100 WHERE seq = {seq}")).await;
            let broken = store.verify_journal().await.unwrap().expect_err("it is found").to_string();
            assert!(broken.starts_with(&format!("entry {seq} ")), "{broken}");
            let back = format!("UPDATE journal SET {column} = {column} - 100 WHERE body LIKE '{{\"seq\":{seq},%'");
            ground.meddle(&back).await;
        }
    }
    assert!(store.verify_journal().await.unwrap().is_ok(), "everything was put back");
}

async fn a_column_cannot_be_made_something_that_hides_from_questions(ground: Ground) {
    journal_of(&ground, 2).await;
    let mut connection = ground.raw().await;
    for sql in [
        if ground.database.is_some() {
            "UPDATE journal SET kind = NULL"
        } else {
            "UPDATE journal SET kind = CAST(kind AS BLOB)"
        },
        "UPDATE journal SET at = 'yesterday'",
        "UPDATE journal SET seq = 'last' WHERE seq = 2",
        "UPDATE journal SET hash = NULL",
    ] {
        assert!(connection.execute(sql).await.is_err(), "{sql}");
    }
}

async fn a_removed_entry_is_named_wherever_it_stood(ground: Ground) {
    for gone in 1..=4 {
        let ground = ground.another();
        journal_of(&ground, 5).await;
        ground.meddle(&format!("DELETE FROM journal WHERE seq = {gone}")).await;
        assert_eq!(verdict(&ground).await.as_deref(), Some(format!("entry {gone} is missing").as_str()));
    }
}

async fn entries_that_changed_places_are_found(ground: Ground) {
    journal_of(&ground, 5).await;
    ground.meddle("UPDATE journal SET seq = 99 WHERE seq = 2").await;
    ground.meddle("UPDATE journal SET seq = 2 WHERE seq = 3").await;
    ground.meddle("UPDATE journal SET seq = 3 WHERE seq = 99").await;
    let said = verdict(&ground).await.unwrap();
    assert!(said.starts_with("entry 2 was changed"), "{said}");
}

async fn a_cut_tail_is_found_and_stays_found_whatever_is_recorded_later(ground: Ground) {
    for cut in 1..=5 {
        let ground = ground.another();
        journal_of(&ground, 5).await;
        ground.meddle(&format!("DELETE FROM journal WHERE seq >= {cut}")).await;
        let said = verdict(&ground).await.unwrap();
        assert!(said.contains("anchor outside the database") && said.contains('5'), "{said}");
        journal_of(&ground, 8).await;
        let said = verdict(&ground).await.expect("new entries do not heal a cut");
        assert!(said.contains('5'), "{said}");
    }
}

async fn a_tail_that_is_cut_while_the_store_is_open_stays_found(ground: Ground) {
    let store = ground.open().await.unwrap();
    store.append(vec![fact("one"), fact("two"), fact("three")], Timestamp(1)).await.unwrap();
    ground.meddle("DELETE FROM journal WHERE seq > 1").await;
    for _ in 0..5 {
        store.append(vec![fact("later")], Timestamp(2)).await.unwrap();
    }
    assert!(store.verify_journal().await.unwrap().is_err());
    store.close().await;
    drop(store);
    assert!(verdict(&ground).await.is_some());
}

async fn a_last_entry_written_anew_with_a_fitting_hash_is_found(ground: Ground) {
    let (one, other) = (ground.another(), ground);
    journal_of(&one, 3).await;
    journal_of(&other, 2).await;
    let store = other.open().await.unwrap();
    store.append(vec![fact("another.story")], Timestamp(3)).await.unwrap();
    store.close().await;
    drop(store);
    std::fs::copy(one.path().join("journal.anchor"), other.path().join("journal.anchor")).unwrap();
    let said = verdict(&other).await.unwrap();
    assert!(said.starts_with("entry 3 is not the one that the anchor"), "{said}");
}

async fn an_anchor_that_is_gone_is_said_and_recorded(ground: Ground) {
    journal_of(&ground, 3).await;
    let anchor = ground.path().join("journal.anchor");
    let store = ground.open().await.unwrap();
    std::fs::remove_file(&anchor).unwrap();
    let said = store.verify_journal().await.unwrap().expect_err("nobody knows whether the tail is whole").to_string();
    assert!(said.contains("anchor outside the database is gone"), "{said}");
    store.close().await;
    drop(store);

    let store = ground.open().await.unwrap();
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, 4);
    let newest = store.entries(&Filter { limit: Some(1), ..Filter::default() }).await.unwrap().remove(0);
    assert_eq!((newest.seq, newest.fact.kind.as_str()), (4, "journal.unanchored"));
    assert!(std::fs::read_to_string(anchor).unwrap().starts_with("4 "));
}

async fn an_anchor_that_makes_no_sense_is_said_until_somebody_looks(ground: Ground) {
    for garbage in ["", "x", "3", "3 abc", "-1 0000000000000000000000000000000000000000000000000000000000000000"] {
        let ground = ground.another();
        journal_of(&ground, 3).await;
        std::fs::write(ground.path().join("journal.anchor"), garbage).unwrap();
        let store = ground.open().await.unwrap();
        store.append(vec![fact("later")], Timestamp(9)).await.unwrap();
        match store.verify_journal().await {
            Err(Error::Damaged(why)) => assert!(why.contains("journal.anchor makes no sense"), "{why}"),
            other => panic!("{garbage:?}: {other:?}"),
        }
    }
}

async fn a_journal_that_was_meddled_with_can_still_be_read_and_written(ground: Ground) {
    journal_of(&ground, 3).await;
    ground.meddle("UPDATE journal SET body = '{' WHERE seq = 2").await;
    let body = if ground.database.is_some() { "'}'".to_string() } else { ground.literal(&[0xff]) };
    ground.meddle(&format!("UPDATE journal SET body = {body}, hash = 'x' WHERE seq = 3")).await;
    let store = ground.open().await.unwrap();
    let committed = store.append(vec![fact("later")], Timestamp(9)).await;
    assert!(committed.is_ok(), "{committed:?}");
    let entries = store.entries(&Filter { after: Some(0), ..Filter::default() }).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|e| (e.seq, e.fact.kind.as_str())).collect();
    assert_eq!(
        kinds,
        [(1, "fact.number-1"), (2, "unreadable"), (3, "unreadable"), (4, "journal.put_back"), (5, "later")]
    );
}

on_both!(
    one_changed_byte_in_any_column_of_any_entry_is_found_and_named,
    a_column_cannot_be_made_something_that_hides_from_questions,
    a_removed_entry_is_named_wherever_it_stood,
    entries_that_changed_places_are_found,
    a_cut_tail_is_found_and_stays_found_whatever_is_recorded_later,
    a_tail_that_is_cut_while_the_store_is_open_stays_found,
    a_last_entry_written_anew_with_a_fitting_hash_is_found,
    an_anchor_that_is_gone_is_said_and_recorded,
    an_anchor_that_makes_no_sense_is_said_until_somebody_looks,
    a_journal_that_was_meddled_with_can_still_be_read_and_written,
);
