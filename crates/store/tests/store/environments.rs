//! Environments that a file was applied to, their hooks, and what is known without one.

use serde_json::{Value, json};
use slipway_core::names::Digest;
use slipway_core::units::Timestamp;
use slipway_store::{HookId, ReleaseRecord, Whose};

use crate::common::{Ground, fact, on_both};

async fn an_environment_is_kept_with_its_hooks_and_found_by_name(ground: Ground) {
    let store = ground.open().await.unwrap();
    let hooks = || Some(vec![("chat".to_string(), json!({ "url": "http://here" }))]);
    for (name, n) in [("staging", 1), ("production", 2), ("eu-1", 3), ("eu", 4), ("staging", 5)] {
        let (doc, facts) = (json!({ "name": name, "n": n }), vec![fact("environment.applied")]);
        store.keep_environment(&name.parse().unwrap(), &doc, hooks(), facts, Timestamp(n)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = ground.open().await.unwrap();
    let kept: Vec<Value> = store.environments().await.unwrap();
    let kept: Vec<(&str, u64)> =
        kept.iter().map(|doc| (doc["name"].as_str().unwrap(), doc["n"].as_u64().unwrap())).collect();
    assert_eq!(kept, [("eu", 4), ("eu-1", 3), ("production", 2), ("staging", 5)], "each once, as it was kept last");
    assert_eq!(store.journal_head(), 5, "each time is recorded");

    let id = HookId { whose: Whose::Environment("staging".parse().unwrap()), name: "chat".to_string() };
    let hook = store.hook(&id).await.unwrap().expect("its hook");
    assert_eq!((hook.told, hook.withdrawn_at), (0, None), "it is told of the entry that brought it");
    let staging = "staging".parse().unwrap();
    // Without hooks in hand they stay; without any of them they go.
    store.keep_environment(&staging, &json!({}), None, vec![], Timestamp(6)).await.unwrap();
    assert_eq!(store.hook(&id).await.unwrap().unwrap().withdrawn_at, None);
    store.keep_environment(&staging, &json!({}), Some(vec![]), vec![fact("bare")], Timestamp(7)).await.unwrap();
    assert_eq!(store.hook(&id).await.unwrap().unwrap().withdrawn_at, Some(6));
}

async fn services_are_those_of_which_a_version_is_known(ground: Ground) {
    let store = ground.open().await.unwrap();
    for (service, version) in [("shop", "1.0.0"), ("a-b", "1.0.0"), ("ab", "1.0.0"), ("shop", "1.1.0")] {
        let release = ReleaseRecord {
            service: service.parse().unwrap(),
            version: version.parse().unwrap(),
            artifact: Digest::of(version.as_bytes()),
            config: Digest::of(b"config"),
            file: String::new(),
            created_at: Timestamp(1),
            actor: "user:ada".to_string(),
        };
        store.insert_release(&release).await.unwrap();
    }
    let services: Vec<String> = store.services().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(services, ["a-b", "ab", "shop"]);
}

async fn a_store_is_known_by_one_id_for_ever_and_another_by_another(ground: Ground) {
    let store = ground.open().await.unwrap();
    let first = store.cluster().to_string();
    store.close().await;
    drop(store);
    assert_eq!(ground.open().await.unwrap().cluster(), first);
    assert_ne!(ground.another().open().await.unwrap().cluster(), first);
}

on_both!(
    an_environment_is_kept_with_its_hooks_and_found_by_name,
    services_are_those_of_which_a_version_is_known,
    a_store_is_known_by_one_id_for_ever_and_another_by_another,
);
