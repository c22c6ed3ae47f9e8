//! Opening the store.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use slipway_core::journal::Anchor;
use sqlx::Row;
use tokio::sync::watch;

use crate::anchor::AnchorFile;
use crate::dialect::{self, BEGIN_WRITE, Pool, Writing};
use crate::environments;
use crate::error::Error;
use crate::folder::{self, Claim};
use crate::journal;
use crate::migrations;
use crate::rollouts::ROLLOUTS;

/// A handle to everything that is kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub writer: Pool,
    pub readers: Pool,
    pub anchor: AnchorFile,
    /// Whether the chain goes through the anchor, as far as this process has seen. Otherwise the anchor is evidence, and
    /// stays.
    pub anchored: AtomicBool,
    /// The newest entry that this process committed, or found when it opened the store.
    pub newest: Mutex<Option<Anchor>>,
    pub head: watch::Sender<u64>,
    /// The highest number that a rollout was given, as far as this process knows.
    pub newest_rollout: AtomicU64,
    start: u64,
    /// The id of this store.
    pub cluster: String,
    _claim: Claim,
}

impl Store {
    /// Opens the store in a data folder, creating what is missing. One process at a time.
    pub async fn open(folder: &Path) -> Result<Store, Error> {
        let claim = folder::claim(folder).await?;
        let file = folder.join("slipway.db");
        folder::private(&file)?;
        let (writer, readers) = dialect::open(&file).await?;
        migrations::run(&writer).await?;
        let start = bump(&writer, "starts").await?;
        let newest = journal::newest(&mut *writer.acquire().await?).await?;
        let cluster = environments::cluster(&writer).await?;
        let newest_rollout = stands(&writer, ROLLOUTS).await?;
        let inner = Inner {
            writer,
            readers,
            anchor: AnchorFile::new(folder),
            anchored: AtomicBool::new(false),
            head: watch::Sender::new(newest.as_ref().map_or(0, |newest| newest.seq)),
            newest: Mutex::new(newest),
            newest_rollout: AtomicU64::new(newest_rollout),
            start,
            cluster,
            _claim: claim,
        };
        let store = Store { inner: Arc::new(inner) };
        store.renew_anchor().await?;
        Ok(store)
    }

    /// Which start of a control plane on this data this is: 1 for the first. Fences whoever started earlier.
    pub fn start_number(&self) -> u64 {
        self.inner.start
    }

    /// Whether the store can be used.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.inner.readers).await?;
        Ok(())
    }

    /// Closes every connection; what was committed is on the disk already.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }

    pub(crate) async fn write(&self) -> Result<Writing, Error> {
        Ok(self.inner.writer.begin_with(BEGIN_WRITE).await?)
    }

    pub(crate) fn readers(&self) -> &Pool {
        &self.inner.readers
    }
}

/// The next value of a counter.
pub(crate) async fn bump(pool: &Pool, name: &str) -> Result<u64, Error> {
    let mut writing = pool.begin_with(BEGIN_WRITE).await?;
    let value = bump_in(&mut writing, name).await?;
    writing.commit().await?;
    Ok(value)
}

/// The value that a counter stands at.
async fn stands(pool: &Pool, name: &str) -> Result<u64, Error> {
    let row = sqlx::query("SELECT value FROM counters WHERE name = $1").bind(name).fetch_optional(pool).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get::<i64, _>(0))? as u64)
}

/// Brings a counter up to `value`, where it is not there yet.
pub(crate) async fn reach(writing: &mut Writing, name: &str, value: u64) -> Result<(), Error> {
    sqlx::query("UPDATE counters SET value = $2 WHERE name = $1 AND value < $2")
        .bind(name)
        .bind(value as i64)
        .execute(&mut **writing)
        .await?;
    Ok(())
}

/// The next value of a counter, within a transaction.
pub(crate) async fn bump_in(writing: &mut Writing, name: &str) -> Result<u64, Error> {
    let row = sqlx::query(
        "INSERT INTO counters (name, value) VALUES ($1, 1) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
    )
    .bind(name)
    .fetch_one(&mut **writing)
    .await?;
    let value: i64 = row.try_get(0)?;
    Ok(value as u64)
}
