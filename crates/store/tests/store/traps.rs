//! The traps of two databases, by name: what one of them forgives and the other does not.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_core::names::ServiceName;
use slipway_core::units::Timestamp;
use slipway_store::{Commit, Error, Filter, Leader, Place, Remembered, Standby, Store};

use crate::common::{Ground, LIMIT, fact, folder, journal_of, lane, on_both, on_server, open, server, turn};

async fn updates_are_not_lost_though_many_write_at_once(ground: Ground) {
    let store = ground.open().await.unwrap();
    let shop = lane("shop");
    let writers = (0..6).map(|_| {
        let (store, shop) = (store.clone(), shop.clone());
        tokio::spawn(async move {
            for _ in 0..8 {
                // Reads, adds one, and writes: without the guard some of these would be lost.
                loop {
                    let from = store.load_lane::<Value>(&shop).await.unwrap().map_or(0, |kept| kept.generation);
                    match turn(&store, &shop, from, vec![]).await {
                        Ok(_) => break,
                        Err(Error::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let kept = store.load_lane::<Value>(&shop).await.unwrap().unwrap();
    assert_eq!((kept.generation, &kept.doc["n"]), (48, &json!(48)));
    assert_eq!(store.next_rollout_id().await.as_str(), "ro-1");
}

async fn entries_commit_in_the_order_of_their_numbers_so_that_nobody_skips_one(ground: Ground) {
    let store = ground.open().await.unwrap();
    let writers = (0..4).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                // Of different lengths, so that a later one would overtake an earlier one.
                let facts = (0..=(writer + n) % 4).map(|_| fact("written")).collect();
                store.append(facts, Timestamp(n)).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut seen, mut head) = (0, store.subscribe());
    loop {
        let over = writers.iter().all(|writer| writer.is_finished());
        // As an event stream does: everything after the last one that was seen.
        for entry in store.entries(&Filter { after: Some(seen), ..Filter::default() }).await.unwrap() {
            assert_eq!(entry.seq, seen + 1, "none is missing, and none comes later with a smaller number");
            seen = entry.seq;
        }
        if over && seen == store.journal_head() {
            break;
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), head.changed()).await;
    }
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, seen);
}

async fn text_with_nul_is_kept_alike_and_found_again(ground: Ground) {
    let store = ground.open().await.unwrap();
    let mut odd = fact("said");
    odd.actor = "user:a\0b".to_string();
    odd.cause = "nothing\0more".to_string();
    odd.evidence = json!({ "said": "x\0y" });
    store.append(vec![odd.clone()], Timestamp(1)).await.unwrap();
    let filter = Filter { actor: Some("user:a\0b".to_string()), ..Filter::default() };
    let entry = store.entries(&filter).await.unwrap().remove(0);
    assert_eq!(
        (&entry.fact.cause, &entry.fact.evidence),
        (&odd.cause, &odd.evidence),
        "JSON has its own way to write it"
    );
    let answer = Remembered { status: 200, body: "a\0b".to_string() };
    store.remember("k\0", "asked\0", &answer, Timestamp(1)).await.unwrap();
    let recalled = store.recall("k\0", "asked\0", Timestamp(2)).await.unwrap().unwrap();
    assert_eq!(recalled.body, "a\u{fffd}b");
    let commit = Commit {
        lane: &lane("shop"),
        expected_generation: 0,
        doc: &json!({ "note": "a\0b" }),
        facts: vec![],
        effects: vec![],
        consumed: vec![],
        rollouts: vec![],
        samples: vec![],
        at: Timestamp(1),
    };
    store.commit(commit).await.unwrap();
    let kept = store.load_lane::<Value>(&lane("shop")).await.unwrap().unwrap();
    assert_eq!(kept.doc["note"], "a\0b");
    assert!(store.verify_journal().await.unwrap().is_ok());
}

async fn text_is_ordered_by_its_bytes_whatever_the_language(ground: Ground) {
    let store = ground.open().await.unwrap();
    // English puts a before B, and passes over hyphens.
    let names = ["Zoe", "adam", "a-z", "ab", "Bob", "b0b", "\u{e9}mile"];
    for name in names {
        store.insert_token(name, &format!("secret of {name}"), Timestamp(1)).await.unwrap();
    }
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let found: Vec<String> = store.tokens().await.unwrap().into_iter().map(|token| token.name).collect();
    assert_eq!(found, expected);
    for service in ["web-1", "web1", "web-0", "weba"] {
        turn(&store, &lane(service), 0, vec![]).await.unwrap();
    }
    let lanes = store.lanes().await.unwrap();
    let found: Vec<&ServiceName> = lanes.iter().map(|lane| &lane.service).collect();
    let mut expected = found.clone();
    expected.sort_by_key(|service| service.as_str());
    assert_eq!(found, expected);
}

async fn hashes_are_over_the_bytes_that_are_stored(ground: Ground) {
    let store = ground.open().await.unwrap();
    let mut odd = fact("measured");
    odd.evidence =
        serde_json::from_str(r#"{"b": 1.0, "a": 1e2, "c": 12345678901234567890, "d": "\u00e9 / \u2028"}"#).unwrap();
    store.append(vec![odd], Timestamp(1)).await.unwrap();
    assert!(store.verify_journal().await.unwrap().is_ok());
    // The same value, written otherwise: whoever hashed what JSON means would not notice.
    ground.meddle("UPDATE journal SET body = replace(body, '\"evidence\":', '\"evidence\": ') WHERE seq = 1").await;
    assert!(store.verify_journal().await.unwrap().is_err());
}

async fn a_kind_is_looked_for_as_it_is_written(ground: Ground) {
    let store = ground.open().await.unwrap();
    store.append(vec![fact("step.left"), fact("Step.left")], Timestamp(1)).await.unwrap();
    let of = async |kind: &str| -> Vec<u64> {
        let filter = Filter { kind: Some(kind.to_string()), ..Filter::default() };
        store.entries(&filter).await.unwrap().iter().map(|entry| entry.seq).collect()
    };
    assert_eq!((of("step").await, of("Step").await, of("STEP").await), (vec![1], vec![2], vec![]));
}

async fn whoever_was_overtaken_writes_nothing_more(ground: Ground) {
    let store = ground.open().await.unwrap();
    turn(&store, &lane("shop"), 0, vec![]).await.unwrap();
    ground.meddle("UPDATE counters SET value = value + 1 WHERE name = 'starts'").await;
    match turn(&store, &lane("shop"), 1, vec![]).await {
        Err(Error::Fenced { by, own }) => assert_eq!((by, own), (2, 1)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.append(vec![fact("late")], Timestamp(9)).await, Err(Error::Fenced { .. })));
    assert_eq!(store.entries(&Filter::default()).await.unwrap().len(), 1);
}

on_both!(
    updates_are_not_lost_though_many_write_at_once,
    entries_commit_in_the_order_of_their_numbers_so_that_nobody_skips_one,
    text_with_nul_is_kept_alike_and_found_again,
    text_is_ordered_by_its_bytes_whatever_the_language,
    hashes_are_over_the_bytes_that_are_stored,
    a_kind_is_looked_for_as_it_is_written,
    whoever_was_overtaken_writes_nothing_more,
);

#[tokio::test]
async fn the_server_of_the_suite_orders_text_otherwise() {
    let ordered = server().query("SELECT 'a' < 'B', 'a' COLLATE \"C\" < 'B' COLLATE \"C\"").unwrap();
    assert_eq!(ordered, ["t|f"], "else the test of the order could not fail");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    server()
        .query("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'")
        .unwrap();
    let folder = folder();
    match Standby::join(folder.path(), &server().url_of("latin").parse().unwrap()).await {
        Err(Error::Unfit(why)) => assert!(why.contains("LATIN1") && why.contains("UTF8"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// Keeps a store's lease.
fn hold(store: &Store) -> impl Future<Output = u64> + use<> {
    let store = store.clone();
    async move { store.hold().await }
}

/// A database, the store that has driven it for longer than a lease holds, and one that would have liked to; nothing where that
/// one came to drive.
async fn one_that_drives() -> Option<(Ground, Store, Standby)> {
    let ground = Ground::server();
    let first = ground.open().await.unwrap();
    let holding = tokio::spawn(hold(&first));
    let standby = Standby::join(ground.path(), &ground.database.as_ref().unwrap().parse().unwrap()).await.unwrap();
    let leads = Place::Driven(Leader { start: 1, address: "http://here".to_string() });
    let until = tokio::time::Instant::now() + Standby::TERM + Duration::from_secs(1);
    let mut drives = true;
    while drives && tokio::time::Instant::now() < until {
        drives = standby.look().await.unwrap() == leads;
        drives &= standby.try_lead("http://there", None).await.unwrap().is_none();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    holding.abort();
    drives.then_some((ground, first, standby))
}

#[tokio::test]
async fn one_that_drives_keeps_its_lease_and_one_that_stands_still_loses_it_and_is_fenced() {
    on_server(|| async {
        // A machine that stands still loses a lease now and then, and not several in a row.
        let (ground, first, standby) = 'held: {
            for _ in 0..3 {
                if let Some(held) = one_that_drives().await {
                    break 'held held;
                }
            }
            panic!("a lease is not kept");
        };
        let address = ground.database.clone().unwrap().parse().unwrap();
        let second = loop {
            match standby.try_lead("http://there", None).await.unwrap() {
                Some(store) => break store,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        assert_eq!((second.start_number(), second.cluster()), (2, first.cluster()));
        let holding = tokio::spawn(hold(&second));
        assert!(matches!(turn(&first, &lane("shop"), 0, vec![]).await, Err(Error::Fenced { by: 2, own: 1 })));
        assert_eq!(first.hold().await, 2, "and hears of it");
        assert!(!first.take_down().await.unwrap(), "what another drives is not its own to take down");
        // Renewed, though it may have run out meanwhile.
        let drives = async {
            while !matches!(standby.look().await.unwrap(), Place::Driven(Leader { start: 2, .. })) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, drives).await.expect("the second drives");
        turn(&second, &lane("shop"), 0, vec![]).await.unwrap();
        holding.abort();
        second.close().await;
        let standby = Standby::join(ground.path(), &address).await.unwrap();
        assert_eq!(standby.look().await.unwrap(), Place::Free);
        let third = standby.try_lead("http://there", None).await.unwrap().expect("one that ends hands over at once");
        assert!(third.take_down().await.unwrap());
        // It goes on to hold while everything ends, which may take long: nobody who looks late finds it driving.
        tokio::time::timeout(Duration::from_secs(1), third.hold()).await.expect_err("nobody has taken over");
        assert_eq!(standby.look().await.unwrap(), Place::TakenDown { start: 3 });
        third.close().await;
        let standby = Standby::join(ground.path(), &address).await.unwrap();
        assert_eq!(standby.look().await.unwrap(), Place::TakenDown { start: 3 });
        // It looked while the lease had run out, and comes to take it only now.
        assert!(standby.try_lead("http://there", Some(3)).await.unwrap().is_none(), "what was taken down stays down");
        assert!(standby.try_lead("http://there", None).await.unwrap().is_some(), "whoever starts later drives");
    })
    .await
}

#[tokio::test]
async fn one_that_stands_still_in_the_middle_of_writing_keeps_nobody_from_writing() {
    on_server(|| async {
        let ground = Ground::server();
        let store = ground.open().await.unwrap();
        let mut stuck = ground.raw().await;
        // What a stopped process has open, on a connection with the same settings.
        let stands_still =
            "SET idle_in_transaction_session_timeout = '2s'; BEGIN; SELECT pg_advisory_xact_lock(8318840173266925)";
        stuck.execute(stands_still).await.unwrap();
        // It has done so for a while: whoever writes now waits for less than it would at the most, also on a machine that stands
        // still meanwhile.
        tokio::time::sleep(Duration::from_secs(1)).await;
        turn(&store, &lane("shop"), 0, vec![]).await.unwrap();
        assert!(stuck.execute("COMMIT").await.is_err(), "its session was ended");
    })
    .await
}

#[tokio::test]
async fn a_database_belongs_to_one_data_folder_and_a_folder_has_one_database() {
    on_server(|| async {
        let ground = Ground::server();
        ground.open().await.unwrap().close().await;
        let other = folder();
        match open(other.path(), ground.database.as_deref()).await {
            Err(Error::Unfit(why)) => assert!(why.contains(ground.path().to_str().unwrap()), "{why}"),
            other => panic!("{other:?}"),
        }
        let file = Ground::file();
        journal_of(&file, 1).await;
        match open(file.path(), Some(&crate::common::database())).await {
            Err(Error::Unfit(why)) => assert!(why.contains("slipway store move"), "{why}"),
            other => panic!("{other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_without_a_password() {
    let folder = folder();
    let nobody = "postgres://ada:s3cret@127.0.0.1:1/slipway".parse().unwrap();
    let error = Standby::join(folder.path(), &nobody).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}
