//! Which of several control planes drives: one at a time, by a lease in the database that it renews.
//!
//! The lease only says when somebody else may begin. What keeps two from acting is the number of the start, which
//! everything that acts carries: whoever began later is followed, and nobody else. Times are the database's own, so that
//! no two machines have to agree on one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;
use crate::dialect::{self, Pool, query};
use crate::error::Error;
use crate::folder::{self, Claim};
use crate::home;
use crate::migrations;
use crate::open::{Pools, Store, next_start};

/// The end of a lease after which those that stand by end too.
const TAKEN_DOWN: i64 = -1;
/// The end of a lease that was given up.
const GIVEN_UP: i64 = 0;
/// How long a lease holds, in milliseconds.
const TERM_MS: i64 = 2_500;
/// How often it is renewed.
const RENEW: Duration = Duration::from_millis(600);
/// How long it may take to see whether a server that refused a renewal answers at all.
const GLANCE: Duration = Duration::from_millis(300);
/// How long a renewal may take. One that takes longer is begun anew at once, on another connection.
const PATIENCE: Duration = Duration::from_millis(800);
const _: () = assert!(
    RENEW.as_millis() + PATIENCE.as_millis() * 2 < TERM_MS as u128,
    "one renewal may hang, and the next be as late as it may"
);
/// How long it is tried to tell those that stand by that everything was taken down.
const INSIST: Duration = Duration::from_secs(10);

/// A control plane that does not drive (yet).
#[derive(Debug)]
pub struct Standby {
    folder: PathBuf,
    pools: Pools,
    claim: Arc<Claim>,
    home: home::Home,
}

/// What a control plane finds that would drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Another drives.
    Driven(Leader),
    /// Nobody does.
    Free,
    /// Nobody does, since everything was taken down on purpose.
    TakenDown {
        /// By which start.
        start: u64,
    },
}

/// Who drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The number of its start.
    pub start: u64,
    /// Where its API listens, as it said.
    pub address: String,
}

impl Standby {
    /// How long a lease holds after its last renewal: so long nobody takes over from one that was killed.
    pub const TERM: Duration = Duration::from_millis(TERM_MS as u64);

    /// Joins those that share a database, making what is missing in it. Other control planes of the same data folder may
    /// have joined too; one with a database in the folder may not, and neither may those of another folder.
    pub async fn join(folder: &Path, address: &Address) -> Result<Standby, Error> {
        let claim = folder::claim_shared(folder).await?;
        if folder.join("slipway.db").exists() {
            home::refuse_embedded(folder).await?;
        }
        let (writer, readers, lease) = dialect::open_server(address.options()).await?;
        migrations::run(&writer).await?;
        let home = home::Home::of(folder)?;
        home.check(&writer).await?;
        let pools = Pools { writer, readers, lease: Some(lease) };
        Ok(Standby { folder: folder.to_path_buf(), pools, claim: Arc::new(claim), home })
    }

    /// Who drives, as long as its lease holds.
    pub async fn look(&self) -> Result<Place, Error> {
        let sql = format!(
            "SELECT start, address, expires_at, expires_at - {} FROM leases WHERE name = 'control'",
            dialect::NOW_MS
        );
        let Some(row) = query(sql).fetch_optional(&self.pools.readers).await? else { return Ok(Place::Free) };
        let (start, expires_at, left): (i64, i64, i64) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
        let start = start as u64;
        Ok(match (expires_at, left > 0) {
            (TAKEN_DOWN, _) => Place::TakenDown { start },
            (_, true) => Place::Driven(Leader { start, address: row.try_get(1)? }),
            (_, false) => Place::Free,
        })
    }

    /// Takes the lease if nobody has it, and the connections along; `address` is where those that have not are sent. `seen` is
    /// the newest start that this one has seen drive, if any: what that or a later one has taken down it does not bring back.
    pub async fn try_lead(&self, address: &str, seen: Option<u64>) -> Result<Option<Store>, Error> {
        if matches!(self.look().await?, Place::Driven(_)) {
            return Ok(None);
        }
        let mut writing = self.pools.writer.write().await?;
        self.home.settle(&mut writing).await?;
        let start = next_start(&mut writing, &self.folder).await?;
        // Guarded once more: whoever had it may have renewed it meanwhile.
        let sql = format!(
            "INSERT INTO leases (name, start, address, expires_at) VALUES ('control', $1, $2, {now} + $3) \
             ON CONFLICT (name) DO UPDATE SET start = excluded.start, address = excluded.address, \
             expires_at = excluded.expires_at \
             WHERE leases.expires_at <= {now} AND (leases.expires_at <> {TAKEN_DOWN} OR leases.start < $4)",
            now = dialect::NOW_MS
        );
        let seen = seen.map_or(i64::MAX, |seen| seen as i64);
        if query(sql).bind(start as i64).bind(address).bind(TERM_MS).bind(seen).execute(&mut writing).await? != 1 {
            return Ok(None);
        }
        Store::begin(&self.folder, self.claim.clone(), self.pools.clone(), writing, start).await.map(Some)
    }
}

impl Store {
    /// Keeps the lease until somebody else has taken over; returns the number of its start. A database that is away is no
    /// reason to stop: nobody can take over in one, and a way back needs none. Never returns where no other can begin.
    pub async fn hold(&self) -> u64 {
        let Some(lease) = &self.inner.pools.lease else { return std::future::pending().await };
        let mut fenced = self.inner.fenced.subscribe();
        let mut hung = false;
        loop {
            if let Some(by) = *fenced.borrow_and_update() {
                return by;
            }
            let renewed = tokio::time::timeout(PATIENCE, self.renew(lease)).await;
            // A server that refuses this one statement, such as one without room, still answers others.
            let answers = match &renewed {
                Ok(Ok(()) | Err(Error::Fenced { .. })) => true,
                Ok(Err(_)) => {
                    tokio::time::timeout(GLANCE, query("SELECT 1").fetch_one(lease)).await.is_ok_and(|row| row.is_ok())
                }
                Err(_) => false,
            };
            // One that hangs says nothing of the others yet.
            let hangs = renewed.is_err();
            if hung || !hangs {
                lease.note(answers);
            }
            hung = hangs;
            match renewed {
                Ok(Err(Error::Fenced { by, .. })) => return by,
                Ok(Err(error)) => tracing::warn!(%error, "the lease of this control plane cannot be renewed"),
                Err(_) => {
                    tracing::warn!("the lease of this control plane cannot be renewed: the database does not answer");
                    continue;
                }
                Ok(Ok(())) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(RENEW) => {}
                _ = fenced.changed() => {}
            }
        }
    }

    /// A lease that this one has ended stays ended: those that stand by may look at it only later.
    async fn renew(&self, lease: &Pool) -> Result<(), Error> {
        let sql = format!(
            "UPDATE leases SET expires_at = {} + $2 WHERE name = 'control' AND start = $1 AND expires_at > 0",
            dialect::NOW_MS
        );
        if query(sql).bind(self.start_number() as i64).bind(TERM_MS).execute(lease).await? == 1 {
            return Ok(());
        }
        let row = query("SELECT start FROM leases WHERE name = 'control'").fetch_optional(lease).await?;
        let by = row.map_or(Ok(0), |row| row.try_get::<i64>(0))? as u64;
        if by == self.start_number() {
            return Ok(());
        }
        Err(self.fenced_by(by))
    }

    /// Gives the lease up, so that another need not wait for its end; as one of what was taken down where it was, which those
    /// that stand by must hear of. Does nothing where it is ended already.
    pub(crate) async fn hand_over(&self) -> Result<(), Error> {
        if !self.is_taken_down() {
            return self.end_lease(GIVEN_UP).await.map(|_| ());
        }
        let begun = Instant::now();
        loop {
            match self.end_lease(TAKEN_DOWN).await {
                Err(error) if begun.elapsed() < INSIST => tracing::warn!(%error, "those that stand by are told again"),
                ended => return ended.map(|_| ()),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Ends the lease, and those that stand by end too: everything is taken down. Whether it may be: not by one that has been
    /// overtaken, or has given its lease up. What cannot be told is told again when the store is closed.
    pub async fn take_down(&self) -> Result<bool, Error> {
        self.inner.taken_down.store(true, Relaxed);
        self.end_lease(TAKEN_DOWN).await
    }

    /// Whether this one has begun to take everything down.
    pub fn is_taken_down(&self) -> bool {
        self.inner.taken_down.load(Relaxed)
    }

    /// Whether there was a lease to end. One that has a database for itself needs none.
    async fn end_lease(&self, how: i64) -> Result<bool, Error> {
        let Some(lease) = &self.inner.pools.lease else { return Ok(true) };
        let ended = query("UPDATE leases SET expires_at = $2 WHERE name = 'control' AND start = $1 AND expires_at > 0")
            .bind(self.start_number() as i64)
            .bind(how)
            .execute(lease)
            .await?;
        Ok(ended == 1)
    }
}
