//! Opening the store, and the right to write to it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use slipway_core::journal::Anchor;
use tokio::sync::watch;

use crate::anchor::AnchorFile;
use crate::dialect::{self, Pool, Writing, query};
use crate::environments;
use crate::error::Error;
use crate::folder::{self, Claim};
use crate::home;
use crate::journal;
use crate::migrations;
use crate::moved;
use crate::notes::Notes;
use crate::put_back::{self, PutBack};
use crate::rollouts::ROLLOUTS;
use crate::terms;

/// The counter of starts: the number of whoever drives, which fences whoever drove before.
const STARTS: &str = "starts";

/// A handle to everything that is kept, for the one that drives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub pools: Pools,
    pub anchor: AnchorFile,
    pub notes: Notes,
    /// Whether the chain goes through the anchor, as far as this process has seen. Otherwise the anchor is evidence, and
    /// stays.
    pub anchored: AtomicBool,
    /// The newest entry that this process committed, or found when it opened the store.
    pub newest: Mutex<Option<Anchor>>,
    pub head: watch::Sender<u64>,
    /// The highest number that a rollout was given, as far as this process knows.
    pub newest_rollout: AtomicU64,
    /// The number of a rollout that the database's counter is known to have reached.
    pub counted_rollout: AtomicU64,
    start: u64,
    /// The last time that an older database was put back.
    pub put_back: Option<PutBack>,
    /// The number of whoever has taken over, once that is known.
    pub fenced: watch::Sender<Option<u64>>,
    /// Whether everything is taken down by this process.
    pub taken_down: AtomicBool,
    /// The id of this store.
    pub cluster: String,
    _claim: Arc<Claim>,
}

/// Connections to the database.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    /// What writes.
    pub writer: Pool,
    /// What reads.
    pub readers: Pool,
    /// What keeps the lease, so that neither of the others can be in its way; a file has none.
    pub lease: Option<Pool>,
}

impl Store {
    /// Opens the store in a data folder, creating what is missing. One process at a time.
    pub async fn open(folder: &Path) -> Result<Store, Error> {
        let claim = folder::claim(folder).await?;
        let file = folder.join("slipway.db");
        if !file.exists() {
            home::refuse_shared(folder)?;
        }
        folder::private(&file)?;
        let (writer, readers) = dialect::open_file(&file).await?;
        migrations::run(&writer).await?;
        let mut writing = writer.write().await?;
        moved::refuse(&mut writing).await?;
        let start = next_start(&mut writing, folder).await?;
        let pools = Pools { writer, readers, lease: None };
        Store::begin(folder, Arc::new(claim), pools, writing, start).await
    }

    /// What drives from now on, in the transaction in which it got the number of its start.
    pub(crate) async fn begin(
        folder: &Path,
        claim: Arc<Claim>,
        pools: Pools,
        mut writing: Writing,
        start: u64,
    ) -> Result<Store, Error> {
        let anchor = AnchorFile::new(folder);
        let newest = journal::newest(&mut writing).await?;
        let (put_back, newest) = put_back::look(&mut writing, &anchor, newest, start).await?;
        let cluster = environments::cluster(&mut writing).await?;
        let newest_rollout = stands(&mut writing, ROLLOUTS).await?;
        writing.commit().await?;
        if let Err(error) = terms::raise(folder, start) {
            tracing::warn!(%error, "the number of this start is not written down beside the database");
        }
        let inner = Inner {
            pools,
            anchor,
            notes: Notes::new(folder),
            anchored: AtomicBool::new(false),
            head: watch::Sender::new(newest.as_ref().map_or(0, |newest| newest.seq)),
            newest: Mutex::new(newest),
            newest_rollout: AtomicU64::new(newest_rollout),
            counted_rollout: AtomicU64::new(newest_rollout),
            start,
            put_back,
            fenced: watch::Sender::new(None),
            taken_down: AtomicBool::new(false),
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
        query("SELECT 1").execute(self.readers()).await?;
        Ok(())
    }

    /// Closes every connection; what was committed is on the disk already. Another may drive from now on.
    pub async fn close(&self) {
        if let Err(error) = self.hand_over().await {
            tracing::warn!(%error, "the lease could not be ended: it runs out");
        }
        let Pools { writer, readers, lease } = &self.inner.pools;
        readers.close().await;
        writer.close().await;
        if let Some(lease) = lease {
            lease.close().await;
        }
    }

    /// Begins to write. Whoever was overtaken by a later start cannot: it would act on what is not so any more.
    pub(crate) async fn write(&self) -> Result<Writing, Error> {
        let mut writing = self.inner.pools.writer.write().await?;
        let by = stands(&mut writing, STARTS).await?;
        match by > self.inner.start {
            false => Ok(writing),
            true => Err(self.fenced_by(by)),
        }
    }

    /// Notes who has taken over.
    pub(crate) fn fenced_by(&self, by: u64) -> Error {
        self.inner.fenced.send_replace(Some(by));
        Error::Fenced { by, own: self.inner.start }
    }

    pub(crate) fn readers(&self) -> &Pool {
        &self.inner.pools.readers
    }

    /// The next value of a counter.
    pub(crate) async fn bump(&self, name: &str) -> Result<u64, Error> {
        let mut writing = self.write().await?;
        let value = bump_in(&mut writing, name).await?;
        writing.commit().await?;
        Ok(value)
    }
}

/// The number of the next start: higher than any that drove the folder, whatever the database knows of it. Gateways take
/// no table of an earlier one.
pub(crate) async fn next_start(writing: &mut Writing, folder: &Path) -> Result<u64, Error> {
    reach(writing, STARTS, terms::highest(folder)).await?;
    bump_in(writing, STARTS).await
}

/// The value that a counter stands at.
pub(crate) async fn stands(writing: &mut Writing, name: &str) -> Result<u64, Error> {
    let row = query("SELECT value FROM counters WHERE name = $1").bind(name).fetch_optional(writing).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get::<i64>(0))? as u64)
}

/// Brings a counter up to `value`, where it is not there yet.
pub(crate) async fn reach(writing: &mut Writing, name: &str, value: u64) -> Result<(), Error> {
    query(
        "INSERT INTO counters (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE counters.value < excluded.value",
    )
    .bind(name)
    .bind(value as i64)
    .execute(writing)
    .await?;
    Ok(())
}

/// The next value of a counter, within a transaction.
pub(crate) async fn bump_in(writing: &mut Writing, name: &str) -> Result<u64, Error> {
    let row = query(
        "INSERT INTO counters (name, value) VALUES ($1, 1) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
    )
    .bind(name)
    .fetch_one(writing)
    .await?;
    let value: i64 = row.try_get(0)?;
    Ok(value as u64)
}
