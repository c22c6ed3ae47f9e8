//! Rollouts: one row for each, for the history.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use slipway_core::names::{EnvironmentName, LaneId, RolloutId, ServiceName, VersionName};
use slipway_core::units::Timestamp;

use crate::dialect::{Row, Writing, query};
use crate::error::Error;
use crate::lanes::lane;
use crate::open::{Store, reach};

/// A rollout's row.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutRecord {
    /// Its id.
    pub id: RolloutId,
    /// Whose.
    pub lane: LaneId,
    /// What was coming.
    pub version: VersionName,
    /// By which strategy.
    pub strategy: String,
    /// How it ended; absent while it is open.
    pub outcome: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// All of it, as JSON.
    pub doc: String,
}

/// The counter of rollouts.
pub(crate) const ROLLOUTS: &str = "rollouts";
/// How long a number is waited for: a way back may be what is numbered.
const NUMBERED_WITHIN: Duration = Duration::from_millis(500);
const COLUMNS: &str = "id, service, environment, version, strategy, outcome, started_at, ended_at, doc";

impl Store {
    /// A new rollout's id. Where the counter cannot be written, it is counted in memory, and written with the rollout:
    /// going back must not wait for room on a disk.
    pub async fn next_rollout_id(&self) -> RolloutId {
        let newest = &self.inner.newest_rollout;
        let bumped = tokio::time::timeout(NUMBERED_WITHIN, self.bump(ROLLOUTS)).await;
        let late = |_| Err(Error::Unavailable("it did not answer in time".to_string()));
        match bumped.unwrap_or_else(late) {
            Ok(number) => {
                self.inner.counted_rollout.fetch_max(number, SeqCst);
                if newest.fetch_max(number, SeqCst) < number {
                    return RolloutId::numbered(number);
                }
            }
            Err(error) => tracing::warn!(%error, "the number of a rollout is only counted in memory for now"),
        }
        RolloutId::numbered(newest.fetch_add(1, SeqCst) + 1)
    }

    /// A rollout of this id is there: its number is not given again, though the counter may not have reached it.
    pub fn know_rollout(&self, id: &RolloutId) {
        self.inner.newest_rollout.fetch_max(number(id), SeqCst);
    }

    /// Brings the counter up to what was given in memory. What it stands at once that is committed, where that is more.
    pub(crate) async fn count_rollouts(&self, writing: &mut Writing) -> Result<Option<u64>, Error> {
        let (newest, counted) = (&self.inner.newest_rollout, &self.inner.counted_rollout);
        let newest = newest.load(SeqCst);
        if newest <= counted.load(SeqCst) {
            return Ok(None);
        }
        reach(writing, ROLLOUTS, newest).await?;
        Ok(Some(newest))
    }

    /// A rollout's row.
    pub async fn rollout(&self, id: &RolloutId) -> Result<Option<RolloutRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM rollouts WHERE id = $1");
        let row = query(sql).bind(id.as_str()).fetch_optional(self.readers()).await?;
        row.as_ref().map(record).transpose()
    }

    /// Whether a version ever came to serve a lane.
    pub async fn has_served(&self, lane: &LaneId, version: &VersionName) -> Result<bool, Error> {
        let row = query(
            "SELECT id FROM rollouts WHERE service = $1 AND environment = $2 AND version = $3 AND outcome = 'succeeded' LIMIT 1",
        )
        .bind(lane.service.as_str())
        .bind(lane.environment.as_str())
        .bind(version.as_str())
        .fetch_optional(self.readers())
        .await?;
        Ok(row.is_some())
    }

    /// A service's rollouts, newest first.
    pub async fn history(
        &self,
        service: &ServiceName,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<RolloutRecord>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM rollouts WHERE service = $1 AND ($2 = '' OR environment = $2) \
             ORDER BY number DESC LIMIT $3"
        );
        let rows = query(sql)
            .bind(service.as_str())
            .bind(environment.map_or("", |e| e.as_str()))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &Row) -> Result<RolloutRecord, Error> {
    let (id, version, outcome, doc): (String, String, String, String) =
        (row.try_get(0)?, row.try_get(3)?, row.try_get(5)?, row.try_get(8)?);
    let (started, ended): (i64, i64) = (row.try_get(6)?, row.try_get(7)?);
    Ok(RolloutRecord {
        id: id.parse()?,
        lane: lane(row, 1)?,
        version: version.parse()?,
        strategy: row.try_get(4)?,
        outcome: (!outcome.is_empty()).then_some(outcome),
        started_at: Timestamp(started as u64),
        ended_at: (ended > 0).then_some(Timestamp(ended as u64)),
        doc,
    })
}

/// Writes a rollout's row anew.
pub(crate) async fn keep(writing: &mut Writing, record: &RolloutRecord) -> Result<(), Error> {
    let number = number(&record.id);
    query(
        "INSERT INTO rollouts (id, number, service, environment, version, strategy, outcome, started_at, ended_at, doc) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, ended_at = excluded.ended_at, doc = excluded.doc",
    )
    .bind(record.id.as_str())
    .bind(number as i64)
    .bind(record.lane.service.as_str())
    .bind(record.lane.environment.as_str())
    .bind(record.version.as_str())
    .bind(&record.strategy)
    .bind(record.outcome.as_deref().unwrap_or(""))
    .bind(record.started_at.0 as i64)
    .bind(record.ended_at.map_or(0, |t| t.0 as i64))
    .bind(&record.doc)
    .execute(&mut *writing)
    .await?;
    reach(writing, ROLLOUTS, number).await
}

/// The number that an id was made of.
fn number(id: &RolloutId) -> u64 {
    id.as_str().rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
