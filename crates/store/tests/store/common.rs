//! What the stories share: the ground on which they are told (a folder, and a database in it or on a server), a lane, a
//! turn, and a way around the store into its database.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use slipway_core::journal::Fact;
use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::trail::Sample;
use slipway_core::units::{Timestamp, Weight};
use slipway_store::{Commit, Committed, EffectId, Error, NewEffect, RolloutRecord, Standby, Store};
use slipway_testkit::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::task::LocalSet;

/// How long anything may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Tells each story twice: on SQLite, and on PostgreSQL.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $story() { super::$story(crate::common::Ground::file()).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $story() {
                crate::common::on_server(|| super::$story(crate::common::Ground::server())).await
            })*
        }
    };
}
pub(crate) use on_both;

/// Tells a story on the server, and once more where it failed and the server has ended a session meanwhile: it does so with
/// whoever stands still for two seconds in the middle of writing, which a busy machine does now and then.
pub async fn on_server<F: Future<Output = ()> + 'static>(story: impl Fn() -> F) {
    for left in (0..3).rev() {
        let (before, here) = (sessions_ended(), LocalSet::new());
        let told = here.spawn_local(story());
        match here.run_until(told).await {
            Ok(()) => return,
            Err(failed) if left == 0 || !have_more_ended(before).await => resume_unwind(failed.into_panic()),
            Err(_) => eprintln!("the server has ended a session that stood still: the story is told once more"),
        }
    }
}

/// How many sessions the server has ended by itself.
fn sessions_ended() -> u64 {
    let said =
        server().query("SELECT CAST(sum(sessions_fatal) AS BIGINT) FROM pg_stat_database").expect("it counts them");
    said[0].parse().expect("a number")
}

/// It comes to be counted a moment after it is heard of.
async fn have_more_ended(before: u64) -> bool {
    for _ in 0..20 {
        if sessions_ended() > before {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// A data folder, and where its database is.
pub struct Ground {
    folder: tempfile::TempDir,
    /// The address of a database on a server; absent where it is a file in the folder.
    pub database: Option<String>,
}

/// The server of all stories. It ends with this process.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER
        .get_or_init(|| Postgres::start().expect("PostgreSQL can be started: without it half of the suite is missing"))
}

/// An empty database on the server.
pub fn database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("story_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    server().database(&name).expect("an empty database")
}

impl Ground {
    pub fn file() -> Ground {
        Ground { folder: folder(), database: None }
    }

    pub fn server() -> Ground {
        Ground { folder: folder(), database: Some(database()) }
    }

    /// An empty one of the same kind.
    pub fn another(&self) -> Ground {
        if self.database.is_some() { Ground::server() } else { Ground::file() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the store to drive.
    pub async fn open(&self) -> Result<Store, Error> {
        open(self.path(), self.database.as_deref()).await
    }

    /// Does something to the database around the store.
    pub async fn meddle(&self, sql: &str) {
        let mut raw = self.raw().await;
        raw.execute(sql).await.expect(sql);
        raw.close().await;
    }

    /// Opens the database itself, as somebody would who has the right.
    pub async fn raw(&self) -> Raw {
        match &self.database {
            None => {
                let file = SqliteConnectOptions::new().filename(self.path().join("slipway.db"));
                Raw::Sqlite(file.connect().await.expect("the database"))
            }
            Some(url) => Raw::Postgres(PgConnection::connect(url).await.expect("the database")),
        }
    }

    /// Bytes as text in a statement.
    pub fn literal(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.database {
            None => format!("CAST(X'{hex}' AS TEXT)"),
            Some(_) => format!("convert_from('\\x{hex}', 'UTF8')"),
        }
    }
}

/// Opens the store of a folder, waiting for its lease where there is one. Programs that other tests are just starting have the
/// open files of this one for a moment more, the folder's lock among them.
pub async fn open(folder: &Path, database: Option<&str>) -> Result<Store, Error> {
    let begun = Instant::now();
    loop {
        match open_once(folder, database).await {
            Err(Error::InUse { .. }) if begun.elapsed() < LIMIT => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened,
        }
    }
}

async fn open_once(folder: &Path, database: Option<&str>) -> Result<Store, Error> {
    let Some(database) = database else { return Store::open(folder).await };
    let standby = Standby::join(folder, &database.parse().expect("an address")).await?;
    loop {
        match standby.try_lead("http://here", None).await? {
            Some(store) => return Ok(store),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A connection of either kind.
pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    pub async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_string());
        match self {
            Raw::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(|_| ()),
            Raw::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(|_| ()),
        }
    }

    /// The texts of one row.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        let query = AssertSqlSafe(sql.to_string());
        match self {
            Raw::Sqlite(connection) => {
                let row = sqlx::query(query).fetch_one(connection).await.expect(sql);
                (0..row.len()).map(|place| row.get(place)).collect()
            }
            Raw::Postgres(connection) => {
                let row = sqlx::query(query).fetch_one(connection).await.expect(sql);
                (0..row.len()).map(|place| row.get(place)).collect()
            }
        }
    }

    pub async fn close(self) {
        match self {
            Raw::Sqlite(connection) => connection.close().await.expect("closed"),
            Raw::Postgres(connection) => connection.close().await.expect("closed"),
        }
    }
}

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

/// A rollout of a service into production, as it is kept.
pub fn rollout(id: RolloutId, service: &str, outcome: Option<&str>) -> RolloutRecord {
    RolloutRecord {
        id,
        lane: lane(service),
        version: "1.1.0".parse().unwrap(),
        strategy: "canary".to_string(),
        outcome: outcome.map(str::to_string),
        started_at: Timestamp(10),
        ended_at: outcome.map(|_| Timestamp(20)),
        doc: json!({ "outcome": outcome }).to_string(),
    }
}

/// What a rollout looked like at some time.
pub fn sample(at: u64) -> Sample {
    Sample {
        at: Timestamp(at),
        step: 0,
        state: "running".into(),
        weight: Weight::ZERO,
        measured: None,
        requests: at,
        failed: 0,
        waiting: None,
        objectives: vec![],
    }
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

/// A store with `n` more entries in its journal, closed.
pub async fn journal_of(ground: &Ground, n: u64) {
    let store = ground.open().await.expect("opens");
    let start = store.start_number();
    for i in 1..=n {
        store.append(vec![fact(&format!("fact.number-{i}"))], Timestamp(start * 1000 + i)).await.expect("appended");
    }
    store.close().await;
}
