//! Whoever changes the journal around the store is found out, and the entry is named.

use std::path::Path;

use slipway_core::journal::Broken;
use slipway_core::units::Timestamp;
use slipway_store::{Error, Filter, Store};
use sqlx::Row;

use crate::common::{fact, folder, journal_of, meddle, raw};

/// What verification says of the journal in `folder` after a start: a broken chain keeps nobody from starting.
async fn verdict(folder: &Path) -> Option<String> {
    let store = Store::open(folder).await.expect("a broken chain does not keep the store from opening");
    let verdict = store.verify_journal().await.expect("verification runs");
    store.close().await;
    verdict.err().map(|broken| broken.to_string())
}

#[tokio::test]
async fn one_changed_byte_in_any_column_of_any_entry_is_found_and_named() {
    const COLUMNS: [&str; 6] = ["kind", "service", "environment", "rollout", "actor", "hash"];
    let folder = folder();
    journal_of(folder.path(), 3).await;
    let store = Store::open(folder.path()).await.unwrap();
    let mut connection = raw(folder.path()).await;
    for seq in 1..=3 {
        let row =
            sqlx::query("SELECT kind, service, environment, rollout, actor, hash, body FROM journal WHERE seq = $1")
                .bind(seq)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        for (place, column) in COLUMNS.into_iter().chain(["body"]).enumerate() {
            let before: String = row.get(place);
            for at in 0..before.len() {
                let mut bytes = before.clone().into_bytes();
                bytes[at] ^= 0x81;
                let sql = format!("UPDATE journal SET {column} = CAST($1 AS TEXT) WHERE seq = $2");
                let change = |bytes: Vec<u8>| sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(bytes).bind(seq);
                change(bytes).execute(&mut connection).await.unwrap();
                let broken = store.verify_journal().await.unwrap().expect_err("it is found");
                assert!(matches!(broken, Broken::Changed { seq: named, .. } if named == seq as u64), "{broken}");
                change(before.clone().into_bytes()).execute(&mut connection).await.unwrap();
            }
        }
        for column in ["at", "seq"] {
            meddle(folder.path(), &format!("UPDATE journal SET {column} = {column} + 100 WHERE seq = {seq}")).await;
            let broken = store.verify_journal().await.unwrap().expect_err("it is found").to_string();
            assert!(broken.starts_with(&format!("entry {seq} ")), "{broken}");
            let back = format!("UPDATE journal SET {column} = {column} - 100 WHERE body LIKE '{{\"seq\":{seq},%'");
            meddle(folder.path(), &back).await;
        }
    }
    assert!(store.verify_journal().await.unwrap().is_ok(), "everything was put back");
}

#[tokio::test]
async fn a_column_cannot_be_made_something_that_hides_from_questions() {
    let folder = folder();
    journal_of(folder.path(), 2).await;
    let mut connection = raw(folder.path()).await;
    for sql in [
        "UPDATE journal SET kind = CAST(kind AS BLOB)",
        "UPDATE journal SET at = 'yesterday'",
        "UPDATE journal SET seq = 'last' WHERE seq = 2",
        "UPDATE journal SET hash = NULL",
    ] {
        assert!(sqlx::query(sql).execute(&mut connection).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_removed_entry_is_named_wherever_it_stood() {
    for gone in 1..=4 {
        let folder = folder();
        journal_of(folder.path(), 5).await;
        meddle(folder.path(), &format!("DELETE FROM journal WHERE seq = {gone}")).await;
        assert_eq!(verdict(folder.path()).await.as_deref(), Some(format!("entry {gone} is missing").as_str()));
    }
}

#[tokio::test]
async fn entries_that_changed_places_are_found() {
    let folder = folder();
    journal_of(folder.path(), 5).await;
    meddle(folder.path(), "UPDATE journal SET seq = 99 WHERE seq = 2").await;
    meddle(folder.path(), "UPDATE journal SET seq = 2 WHERE seq = 3").await;
    meddle(folder.path(), "UPDATE journal SET seq = 3 WHERE seq = 99").await;
    let said = verdict(folder.path()).await.unwrap();
    assert!(said.starts_with("entry 2 was changed"), "{said}");
}

#[tokio::test]
async fn a_cut_tail_is_found_and_stays_found_whatever_is_recorded_later() {
    for cut in 1..=5 {
        let folder = folder();
        journal_of(folder.path(), 5).await;
        meddle(folder.path(), &format!("DELETE FROM journal WHERE seq >= {cut}")).await;
        let said = verdict(folder.path()).await.unwrap();
        assert!(said.contains("anchor outside the database") && said.contains('5'), "{said}");
        journal_of(folder.path(), 8).await;
        let said = verdict(folder.path()).await.expect("new entries do not heal a cut");
        assert!(said.contains('5'), "{said}");
    }
}

#[tokio::test]
async fn a_tail_that_is_cut_while_the_store_is_open_stays_found() {
    let folder = folder();
    let store = Store::open(folder.path()).await.unwrap();
    store.append(vec![fact("one"), fact("two"), fact("three")], Timestamp(1)).await.unwrap();
    meddle(folder.path(), "DELETE FROM journal WHERE seq > 1").await;
    for _ in 0..5 {
        store.append(vec![fact("later")], Timestamp(2)).await.unwrap();
    }
    assert!(store.verify_journal().await.unwrap().is_err());
    store.close().await;
    drop(store);
    assert!(verdict(folder.path()).await.is_some());
}

#[tokio::test]
async fn a_last_entry_written_anew_with_a_fitting_hash_is_found() {
    let (one, other) = (folder(), folder());
    journal_of(one.path(), 3).await;
    journal_of(other.path(), 2).await;
    let store = Store::open(other.path()).await.unwrap();
    store.append(vec![fact("another.story")], Timestamp(3)).await.unwrap();
    store.close().await;
    drop(store);
    std::fs::copy(one.path().join("journal.anchor"), other.path().join("journal.anchor")).unwrap();
    let said = verdict(other.path()).await.unwrap();
    assert!(said.starts_with("entry 3 is not the one that the anchor"), "{said}");
}

#[tokio::test]
async fn an_anchor_that_is_gone_is_said_and_recorded() {
    let folder = folder();
    journal_of(folder.path(), 3).await;
    let anchor = folder.path().join("journal.anchor");
    let store = Store::open(folder.path()).await.unwrap();
    std::fs::remove_file(&anchor).unwrap();
    let said = store.verify_journal().await.unwrap().expect_err("nobody knows whether the tail is whole").to_string();
    assert!(said.contains("anchor outside the database is gone"), "{said}");
    store.close().await;
    drop(store);

    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, 4);
    let newest = store.entries(&Filter { limit: Some(1), ..Filter::default() }).await.unwrap().remove(0);
    assert_eq!((newest.seq, newest.fact.kind.as_str()), (4, "journal.unanchored"));
    assert!(std::fs::read_to_string(anchor).unwrap().starts_with("4 "));
}

#[tokio::test]
async fn an_anchor_that_makes_no_sense_is_said_until_somebody_looks() {
    for garbage in ["", "x", "3", "3 abc", "-1 0000000000000000000000000000000000000000000000000000000000000000"] {
        let folder = folder();
        journal_of(folder.path(), 3).await;
        std::fs::write(folder.path().join("journal.anchor"), garbage).unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(vec![fact("later")], Timestamp(9)).await.unwrap();
        match store.verify_journal().await {
            Err(Error::Damaged(why)) => assert!(why.contains("journal.anchor makes no sense"), "{why}"),
            other => panic!("{garbage:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_journal_that_was_meddled_with_can_still_be_read_and_written() {
    let folder = folder();
    journal_of(folder.path(), 3).await;
    meddle(folder.path(), "UPDATE journal SET body = '{' WHERE seq = 2").await;
    meddle(folder.path(), "UPDATE journal SET body = CAST(X'FF' AS TEXT), hash = 'x' WHERE seq = 3").await;
    let store = Store::open(folder.path()).await.unwrap();
    let committed = store.append(vec![fact("later")], Timestamp(9)).await;
    assert!(committed.is_ok(), "{committed:?}");
    let entries = store.entries(&Filter { after: Some(0), ..Filter::default() }).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|e| (e.seq, e.fact.kind.as_str())).collect();
    assert_eq!(kinds, [(1, "fact.number-1"), (2, "unreadable"), (3, "unreadable"), (4, "later")]);
}
