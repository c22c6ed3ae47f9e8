//! A turn is kept whole, once, and by one of those who tried.

use serde_json::{Value, json};
use slipway_core::units::Timestamp;
use slipway_store::{Commit, Error, Filter};

use crate::common::{Ground, effect, fact, lane, on_both, turn};

async fn a_turn_is_kept_and_read_back_after_a_restart(ground: Ground) {
    let shop = lane("shop");
    let store = ground.open().await.unwrap();
    assert!(store.load_lane::<Value>(&shop).await.unwrap().is_none());
    let committed = turn(&store, &shop, 0, vec![]).await.unwrap();
    assert_eq!((committed.generation, committed.head), (1, 1));
    store.close().await;
    drop(store);

    let store = ground.open().await.unwrap();
    let kept = store.load_lane::<Value>(&shop).await.unwrap().unwrap();
    assert_eq!((kept.generation, kept.doc), (1, json!({ "n": 1 })));
    assert_eq!(store.lanes().await.unwrap(), std::slice::from_ref(&shop));
    let effects = store.pending_effects().await.unwrap();
    assert_eq!((effects.len(), effects[0].key.as_str(), effects[0].generation), (1, "shop/1", 1));
    assert_eq!((&effects[0].lane, &effects[0].body), (&shop, &json!({ "key": "shop/1" })));
    let entries = store.entries(&Filter::default()).await.unwrap();
    assert_eq!((entries.len(), entries[0].seq, entries[0].at), (1, 1, Timestamp(1_001)));
    assert_eq!(entries[0].fact, fact("turn.taken"));
    assert_eq!(store.start_number(), 2, "every start has its number");
}

async fn of_many_turns_from_one_generation_one_is_kept_and_the_others_leave_nothing(ground: Ground) {
    let shop = lane("shop");
    let store = ground.open().await.unwrap();
    for from in 0..5 {
        let tries = (0..8).map(|_| {
            let (store, shop) = (store.clone(), shop.clone());
            tokio::spawn(async move { turn(&store, &shop, from, vec![]).await })
        });
        let mut kept = 0;
        for tried in tries.collect::<Vec<_>>() {
            match tried.await.unwrap() {
                Ok(committed) => {
                    kept += 1;
                    assert_eq!(committed.generation, from + 1);
                }
                Err(Error::Conflict { lane }) => assert_eq!(lane, shop),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(kept, 1);
    }
    assert_eq!(store.pending_effects().await.unwrap().len(), 5);
    assert_eq!(store.journal_head(), 5);
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, 5);
}

async fn lanes_do_not_get_into_each_others_way(ground: Ground) {
    let store = ground.open().await.unwrap();
    let turns = (0..10).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            let lane = lane(&format!("service-{i}"));
            for from in 0..10 {
                turn(&store, &lane, from, vec![]).await.unwrap();
            }
        })
    });
    for done in turns.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    let verified = store.verify_journal().await.unwrap().unwrap();
    assert_eq!(verified.entries, 100);
    let anchor = std::fs::read_to_string(ground.path().join("journal.anchor")).unwrap();
    assert_eq!(anchor.trim(), format!("100 {}", verified.head), "the newest entry is the one that is anchored");
}

async fn an_effect_that_is_there_is_not_added_again_and_one_that_was_taken_in_goes(ground: Ground) {
    let shop = lane("shop");
    let store = ground.open().await.unwrap();
    let commit = |from, effects, consumed| Commit {
        lane: &shop,
        expected_generation: from,
        doc: &Value::Null,
        facts: vec![],
        effects,
        consumed,
        rollouts: vec![],
        samples: vec![],
        at: Timestamp(1),
    };
    store.commit(commit(0, vec![effect("a"), effect("b")], vec![])).await.unwrap();
    store.commit(commit(1, vec![effect("b"), effect("c")], vec![])).await.unwrap();
    let pending = store.pending_effects().await.unwrap();
    assert_eq!(pending.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let all: Vec<_> = pending.iter().map(|e| e.id).collect();
    store.commit(commit(2, vec![], all.clone())).await.unwrap();
    assert_eq!(store.pending_effects().await.unwrap(), []);
    store.commit(commit(3, vec![effect("a")], vec![])).await.unwrap();
    let again = store.pending_effects().await.unwrap()[0].id;
    assert!(all.iter().all(|id| *id < again), "an effect's place is never used twice");
}

async fn the_journal_is_read_by_what_one_looks_for(ground: Ground) {
    let store = ground.open().await.unwrap();
    let mut other = fact("traffic.shifted");
    other.lane = Some(lane("cart"));
    other.rollout = None;
    let head = store.subscribe();
    store.append(vec![fact("step.entered"), other, fact("step.left"), fact("stepped")], Timestamp(5)).await.unwrap();
    assert!(head.has_changed().unwrap());
    let seqs =
        async |filter: Filter| -> Vec<u64> { store.entries(&filter).await.unwrap().iter().map(|e| e.seq).collect() };
    let any = Filter::default;
    assert_eq!(seqs(any()).await, [4, 3, 2, 1]);
    assert_eq!(seqs(Filter { after: Some(2), ..any() }).await, [3, 4]);
    assert_eq!(seqs(Filter { before: Some(3), limit: Some(1), ..any() }).await, [2]);
    assert_eq!(seqs(Filter { kind: Some("step".into()), ..any() }).await, [3, 1]);
    assert_eq!(seqs(Filter { kind: Some("step.left".into()), ..any() }).await, [3]);
    assert_eq!(seqs(Filter { kind: Some("s%".into()), ..any() }).await, Vec::<u64>::new());
    assert_eq!(seqs(Filter { service: Some("cart".parse().unwrap()), ..any() }).await, [2]);
    assert_eq!(seqs(Filter { rollout: Some("ro-1".parse().unwrap()), after: Some(0), ..any() }).await, [1, 3, 4]);
    assert_eq!(store.newest_at().await.unwrap(), Timestamp(5));
}

async fn evidence_without_measure_is_left_out_visibly(ground: Ground) {
    let store = ground.open().await.unwrap();
    let mut long = fact("judged");
    long.evidence = json!("\0".repeat(300_000));
    long.cause = "ä".repeat(100_000);
    store.append(vec![long], Timestamp(1)).await.unwrap();
    let entry = store.entries(&Filter::default()).await.unwrap().remove(0);
    assert!(entry.fact.evidence["left_out"].as_str().unwrap().contains("over the limit"), "{entry:?}");
    assert!(store.verify_journal().await.unwrap().is_ok());
}

async fn a_turn_whose_asker_goes_away_is_kept_whole_or_not_at_all(ground: Ground) {
    let shop = lane("shop");
    let store = ground.open().await.unwrap();
    let patience = async |polls: u32| {
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
    };
    let (mut generation, mut dropped) = (0, 0);
    for polls in (0..200).step_by(5) {
        tokio::select! {
            biased;
            kept = turn(&store, &shop, generation, vec![]) => { kept.unwrap(); }
            () = patience(polls) => dropped += 1,
        }
        // Whoever writes next waits for the one before, so that the lane stands still when it is read.
        store.next_rollout_id().await;
        let kept = store.load_lane::<Value>(&shop).await.unwrap().map_or(0, |kept| kept.generation);
        assert!(kept == generation || kept == generation + 1);
        assert_eq!(store.pending_effects().await.unwrap().len() as u64, kept);
        generation = kept;
    }
    assert!(dropped > 0, "some went away");
    let committed = turn(&store, &shop, generation, vec![]).await.unwrap();
    assert_eq!(committed.head, generation + 1);
    assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, generation + 1);
}

on_both!(
    a_turn_is_kept_and_read_back_after_a_restart,
    of_many_turns_from_one_generation_one_is_kept_and_the_others_leave_nothing,
    lanes_do_not_get_into_each_others_way,
    an_effect_that_is_there_is_not_added_again_and_one_that_was_taken_in_goes,
    the_journal_is_read_by_what_one_looks_for,
    evidence_without_measure_is_left_out_visibly,
    a_turn_whose_asker_goes_away_is_kept_whole_or_not_at_all,
);
