//! Rollouts, releases, remembered answers and tokens.

use serde_json::Value;
use slipway_core::names::{Digest, RolloutId};
use slipway_core::rights::{Right, Rights};
use slipway_core::units::{Millis, Timestamp};
use slipway_store::{Commit, Error, Filter, ReleaseRecord, Remembered, RolloutRecord, SampleRecord, TokenRecord};

use crate::common::{Ground, lane, on_both, rollout, sample, turn};

async fn rollouts_are_numbered_kept_with_their_turn_and_found_newest_first(ground: Ground) {
    let store = ground.open().await.unwrap();
    let mut generation = 0;
    for n in 1..=12 {
        let id = store.next_rollout_id().await;
        assert_eq!(id, RolloutId::numbered(n));
        for outcome in [None, Some("succeeded")] {
            let shop = lane("shop");
            let commit = Commit {
                lane: &shop,
                expected_generation: generation,
                doc: &Value::Null,
                facts: vec![],
                effects: vec![],
                consumed: vec![],
                rollouts: vec![rollout(id.clone(), "shop", outcome)],
                samples: vec![],
                at: Timestamp(1),
            };
            generation = store.commit(commit).await.unwrap().generation;
            assert_eq!(store.rollout(&id).await.unwrap(), Some(rollout(id.clone(), "shop", outcome)));
        }
    }
    let shop = "shop".parse().unwrap();
    let ids = |records: Vec<RolloutRecord>| records.iter().map(|r| r.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(store.history(&shop, None, 3).await.unwrap()), ["ro-12", "ro-11", "ro-10"]);
    let other = "staging".parse().unwrap();
    assert_eq!(ids(store.history(&shop, Some(&other), 3).await.unwrap()), Vec::<String>::new());
    assert_eq!(store.rollout(&RolloutId::numbered(99)).await.unwrap(), None);
}

async fn a_number_that_was_only_given_in_memory_is_not_given_again(ground: Ground) {
    let store = ground.open().await.unwrap();
    let shop = lane("shop");
    // It waits in a lane, and has no row.
    store.know_rollout(&RolloutId::numbered(9));
    turn(&store, &shop, 0, vec![]).await.unwrap();
    store.close().await;
    drop(store);
    let store = ground.open().await.unwrap();
    assert_eq!(store.next_rollout_id().await, RolloutId::numbered(10));
}

async fn samples_are_kept_in_order_and_for_the_newest_rollouts_of_a_lane(ground: Ground) {
    let store = ground.open().await.unwrap();
    for n in 1..=52u64 {
        let id = RolloutId::numbered(n);
        let shop = lane("shop");
        let samples = [9, 1].map(|at| SampleRecord { rollout: id.clone(), sample: sample(at) }).to_vec();
        let rollouts = vec![rollout(id.clone(), "shop", Some("succeeded"))];
        let (facts, effects, consumed) = (vec![], vec![], vec![]);
        let (doc, at, expected_generation) = (&Value::Null, Timestamp(1), n - 1);
        let commit = Commit { lane: &shop, expected_generation, doc, facts, effects, consumed, rollouts, samples, at };
        store.commit(commit).await.unwrap();
    }
    for (n, kept) in [(1, vec![]), (2, vec![]), (3, vec![sample(1), sample(9)]), (52, vec![sample(1), sample(9)])] {
        assert_eq!(store.samples(&RolloutId::numbered(n)).await.unwrap(), kept, "ro-{n}");
    }
}

async fn a_rollout_is_numbered_though_nothing_can_be_written(ground: Ground) {
    let store = ground.open().await.unwrap();
    assert_eq!(store.next_rollout_id().await, RolloutId::numbered(1));
    let no_room = match ground.database {
        None => "CREATE TRIGGER broken BEFORE UPDATE ON counters BEGIN SELECT RAISE(ABORT, 'no room'); END",
        Some(_) => {
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$;
             CREATE TRIGGER broken BEFORE UPDATE ON counters EXECUTE FUNCTION no_room()"
        }
    };
    ground.meddle(no_room).await;
    assert_eq!(store.next_rollout_id().await, RolloutId::numbered(2));
    assert_eq!(store.next_rollout_id().await, RolloutId::numbered(3));
    let room = if ground.database.is_some() { "DROP TRIGGER broken ON counters" } else { "DROP TRIGGER broken" };
    ground.meddle(room).await;
    assert_eq!(store.next_rollout_id().await, RolloutId::numbered(4), "what was counted in memory is not given again");
    let shop = lane("shop");
    let rollouts = vec![rollout(RolloutId::numbered(9), "shop", None)];
    let (facts, effects, consumed, samples) = (vec![], vec![], vec![], vec![]);
    let (doc, at) = (&Value::Null, Timestamp(1));
    store
        .commit(Commit { lane: &shop, expected_generation: 0, doc, facts, effects, consumed, rollouts, samples, at })
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = ground.open().await.unwrap();
    assert_eq!(store.next_rollout_id().await, RolloutId::numbered(10), "a rollout that is kept takes its number along");
}

async fn a_version_stands_for_one_pair_of_digests_for_ever(ground: Ground) {
    let store = ground.open().await.unwrap();
    let release = |artifact: &str, config: &str| ReleaseRecord {
        service: "shop".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        artifact: Digest::of(artifact.as_bytes()),
        config: Digest::of(config.as_bytes()),
        file: "service: shop\n".to_string(),
        created_at: Timestamp(7),
        actor: "user:ada".to_string(),
    };
    let first = release("a", "c");
    store.insert_release(&first).await.unwrap();
    store.insert_release(&first).await.unwrap();
    for (other, expected) in [(release("b", "c"), "artifact"), (release("a", "d"), "configuration")] {
        match store.insert_release(&other).await {
            Err(Error::VersionTaken { what, .. }) => assert_eq!(what, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.release(&first.service, &first.version).await.unwrap(), Some(first.clone()));
    assert_eq!(store.releases(&first.service).await.unwrap(), [first]);
}

async fn an_answer_is_remembered_for_a_day_and_for_its_own_request(ground: Ground) {
    let store = ground.open().await.unwrap();
    let answer = |body: &str| Remembered { status: 201, body: body.to_string() };
    let (monday, day) = (Timestamp(1_000_000), Millis::from_secs(24 * 3600));
    assert_eq!(store.recall("k", "asked", monday).await.unwrap(), None);
    store.remember("k", "asked", &answer("first"), monday).await.unwrap();
    assert_eq!(store.recall("k", "asked", monday.plus(day)).await.unwrap(), Some(answer("first")));
    assert!(matches!(store.recall("k", "something else", monday).await, Err(Error::KeyReused(key)) if key == "k"));
    let later = monday.plus(day).plus(Millis(1));
    assert_eq!(store.recall("k", "asked", later).await.unwrap(), None);
    store.remember("k", "something else", &answer("second"), later).await.unwrap();
    assert_eq!(store.recall("k", "something else", later).await.unwrap(), Some(answer("second")));
}

async fn a_token_is_known_by_its_hash_and_a_new_one_replaces_it(ground: Ground) {
    let store = ground.open().await.unwrap();
    store.insert_token("first", "secret-one", Timestamp(1)).await.unwrap();
    assert_eq!(store.token("secret-one").await.unwrap().map(|t| t.name).as_deref(), Some("first"));
    store.insert_token("first", "secret-two", Timestamp(2)).await.unwrap();
    assert_eq!(store.token("secret-one").await.unwrap(), None);
    let first = store.token("secret-two").await.unwrap().unwrap();
    assert_eq!((first.name.as_str(), first.rights), ("first", Rights::all()));
    store.close().await;
    for file in std::fs::read_dir(ground.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(path).unwrap() };
        assert!(!bytes.windows(10).any(|part| part == b"secret-two"), "the text of a token is kept nowhere");
    }
}

async fn a_token_is_made_once_looked_up_with_its_rights_and_revoked_all_in_the_journal(ground: Ground) {
    let store = ground.open().await.unwrap();
    let bob = TokenRecord {
        name: "bob".to_string(),
        rights: [Right::Approve].into_iter().collect(),
        created_at: Timestamp(5),
    };
    assert!(store.create_token(&bob, "bobs-secret", "user:first").await.unwrap());
    assert!(!store.create_token(&bob, "another", "user:first").await.unwrap(), "the name is taken");
    assert_eq!(store.token("bobs-secret").await.unwrap(), Some(bob.clone()));
    assert_eq!(store.token("another").await.unwrap(), None);
    assert_eq!(store.tokens().await.unwrap(), [bob]);
    assert!(store.revoke_token("bob", "user:first", Timestamp(6)).await.unwrap());
    assert!(!store.revoke_token("bob", "user:first", Timestamp(7)).await.unwrap());
    assert_eq!(store.token("bobs-secret").await.unwrap(), None);
    let entries = store.entries(&Filter { kind: Some("token".into()), ..Filter::default() }).await.unwrap();
    let kinds: Vec<&str> = entries.iter().map(|e| e.fact.kind.as_str()).collect();
    assert_eq!(kinds, ["token.revoked", "token.created"]);
    let journal = serde_json::to_string(&entries).unwrap();
    assert!(!journal.contains("secret"), "never its text: {journal}");
}

on_both!(
    rollouts_are_numbered_kept_with_their_turn_and_found_newest_first,
    a_number_that_was_only_given_in_memory_is_not_given_again,
    samples_are_kept_in_order_and_for_the_newest_rollouts_of_a_lane,
    a_rollout_is_numbered_though_nothing_can_be_written,
    a_version_stands_for_one_pair_of_digests_for_ever,
    an_answer_is_remembered_for_a_day_and_for_its_own_request,
    a_token_is_known_by_its_hash_and_a_new_one_replaces_it,
    a_token_is_made_once_looked_up_with_its_rights_and_revoked_all_in_the_journal,
);
