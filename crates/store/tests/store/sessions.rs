//! Sessions of the console: worth what their token is worth, for a time.

use slipway_core::units::Timestamp;

use crate::common::{Ground, on_both};

async fn a_session_is_its_tokens_until_it_is_over_ended_or_the_token_is_revoked(ground: Ground) {
    let store = ground.open().await.unwrap();
    store.insert_token("ada", "adas-token", Timestamp(1)).await.unwrap();
    store.insert_token("bob", "bobs-token", Timestamp(1)).await.unwrap();
    for (secret, token, until) in [("one", "adas-token", 100), ("two", "adas-token", 200), ("three", "bobs-token", 200)]
    {
        store.begin_session(secret, token, Timestamp(10), Timestamp(until)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = ground.open().await.unwrap();
    let whose = async |secret: &str, now: u64| {
        store.session(secret, Timestamp(now)).await.unwrap().map_or(String::new(), |token| token.name)
    };
    assert_eq!((whose("one", 99).await, whose("one", 100).await), ("ada".to_string(), String::new()), "it is over");
    assert_eq!((whose("three", 99).await, whose("four", 99).await), ("bob".to_string(), String::new()));
    store.end_session("two").await.unwrap();
    assert_eq!(whose("two", 99).await, "", "it was ended");
    assert_eq!(whose("one", 99).await, "ada", "and no other");
    assert!(store.revoke_token("bob", "user:ada", Timestamp(50)).await.unwrap());
    assert_eq!(whose("three", 99).await, "", "its token is worth nothing any more");
    // Those that are over are forgotten when the next one begins, and no others.
    store.begin_session("five", "adas-token", Timestamp(150), Timestamp(300)).await.unwrap();
    let left = ground.raw().await.texts("SELECT CAST(COUNT(*) AS TEXT) FROM sessions").await;
    assert_eq!(left, ["2"], "five, and that of the revoked token");
    let held = ground.raw().await.texts("SELECT hash FROM sessions WHERE expires_at = 300").await;
    assert!(!held[0].contains("five") && held[0].starts_with("sha256:"), "{held:?}");
}

on_both!(a_session_is_its_tokens_until_it_is_over_ended_or_the_token_is_revoked,);
