//! Hooks: from where they are told, and that nothing of it is forgotten.

use serde_json::json;
use slipway_core::units::Timestamp;
use slipway_store::{HookId, Told, Whose};

use crate::common::{Ground, fact, lane, on_both};

async fn a_hook_is_told_from_the_rollout_that_brought_it_and_up_to_where_it_was_withdrawn(ground: Ground) {
    let store = ground.open().await.unwrap();
    let (shop, now) = (lane("shop"), Timestamp(5_000));
    let mut before = fact("step.done");
    before.rollout = None;
    store.append(vec![before, fact("rollout.asked"), fact("step.done")], now).await.unwrap();
    let declared = |doc: i32| vec![("chat".to_string(), json!({ "doc": doc }))];
    store.declare_hooks(&shop, declared(1), Some(&"ro-1".parse().unwrap())).await.unwrap();
    store.declare_hooks(&lane("other"), declared(1), None).await.unwrap();
    let id = HookId { whose: Whose::Lane(shop.clone()), name: "chat".to_string() };
    let hook = store.hook(&id).await.unwrap().unwrap();
    assert_eq!((hook.told, hook.withdrawn_at, hook.last_at), (1, None, None));
    assert_eq!(store.hooks().await.unwrap()[0].told, 3, "one that nothing brought begins now");

    let events = store.chained(&id.whose, hook.told, None, 10).await.unwrap();
    assert_eq!(events.iter().map(|(entry, hash)| (entry.seq, hash.len())).collect::<Vec<_>>(), [(2, 64), (3, 64)]);

    let failed = |attempts| Told::Failed { attempts, next_at: Timestamp(6_000), why: "it is down".to_string() };
    store.note_told(&id, &failed(1), vec![fact("hook.failing")], now).await.unwrap();
    store.note_told(&id, &failed(2), vec![], Timestamp(5_500)).await.unwrap();
    store.close().await;
    drop(store);
    let store = ground.open().await.unwrap();
    let hook = store.hook(&id).await.unwrap().unwrap();
    assert_eq!((hook.attempts, hook.failing_since, hook.why.as_str()), (2, Some(now), "it is down"));

    store.note_told(&id, &Told::Taken { seq: 2 }, vec![fact("hook.recovered")], Timestamp(7_000)).await.unwrap();
    store.declare_hooks(&shop, vec![], None).await.unwrap();
    let hook = store.hook(&id).await.unwrap().unwrap();
    assert_eq!((hook.told, hook.attempts, hook.failing_since, hook.last_at), (2, 0, None, Some(Timestamp(7_000))));
    assert_eq!(hook.withdrawn_at, Some(store.journal_head()));
    store.forget_hook(&id).await.unwrap();
    assert_eq!(store.hook(&id).await.unwrap(), None);
    let other = HookId { whose: Whose::Lane(lane("other")), name: "chat".to_string() };
    store.forget_hook(&other).await.unwrap();
    assert!(store.hook(&other).await.unwrap().is_some(), "one that is declared is not forgotten");
    assert!(store.verify_journal().await.unwrap().is_ok());
}

on_both!(a_hook_is_told_from_the_rollout_that_brought_it_and_up_to_where_it_was_withdrawn,);
