//! What the stories share: a folder, a lane, a turn, and a way around the store into its database.

use std::path::Path;

use serde_json::json;
use slipway_core::journal::Fact;
use slipway_core::names::LaneId;
use slipway_core::units::Timestamp;
use slipway_store::{Commit, Committed, EffectId, Error, NewEffect, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

pub fn lane(service: &str) -> LaneId {
    LaneId { service: service.parse().unwrap(), environment: "production".parse().unwrap() }
}

pub fn fact(kind: &str) -> Fact {
    Fact {
        kind: kind.to_string(),
        lane: Some(lane("shop")),
        rollout: Some("ro-1".parse().unwrap()),
        actor: "user:ada".to_string(),
        cause: "it was asked for".to_string(),
        evidence: json!({ "seen": 12 }),
    }
}

pub fn effect(key: &str) -> NewEffect {
    NewEffect { key: key.to_string(), kind: "start".to_string(), body: json!({ "key": key }) }
}

/// A turn that changes the lane's document to a number, says so in the journal, and swaps the effect for another.
pub async fn turn(store: &Store, lane: &LaneId, from: u64, consumed: Vec<EffectId>) -> Result<Committed, Error> {
    let next = from + 1;
    store
        .commit(Commit {
            lane,
            expected_generation: from,
            doc: &json!({ "n": next }),
            facts: vec![fact("turn.taken")],
            effects: vec![effect(&format!("{}/{next}", lane.service))],
            consumed,
            rollouts: vec![],
            samples: vec![],
            at: Timestamp(1_000 + next),
        })
        .await
}

/// Opens the database itself, as somebody would who has the file.
pub async fn raw(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("slipway.db")).connect().await.expect("the database")
}

/// Does something to the database around the store.
pub async fn meddle(folder: &Path, sql: &str) {
    let mut connection = raw(folder).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_string())).execute(&mut connection).await.expect(sql);
    connection.close().await.expect("closed");
}

/// A store with `n` more entries in its journal, closed.
pub async fn journal_of(folder: &Path, n: u64) {
    let store = Store::open(folder).await.expect("opens");
    let start = store.start_number();
    for i in 1..=n {
        store.append(vec![fact(&format!("fact.number-{i}"))], Timestamp(start * 1000 + i)).await.expect("appended");
    }
    store.close().await;
}
