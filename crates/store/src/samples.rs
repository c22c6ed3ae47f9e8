//! What rollouts looked like as they went, for charts and for playing them again. Nothing is decided by these.

use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::trail::Sample;

use crate::dialect::{Writing, query};
use crate::error::Error;
use crate::open::Store;

/// Rollouts of a lane whose samples are kept; those of older ones are given up.
const KEPT_ROLLOUTS: i64 = 50;

/// A sample of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRecord {
    /// Of which.
    pub rollout: RolloutId,
    /// What it looked like.
    pub sample: Sample,
}

impl Store {
    /// The samples of a rollout, oldest first; none where they were given up.
    pub async fn samples(&self, rollout: &RolloutId) -> Result<Vec<Sample>, Error> {
        let rows = query("SELECT doc FROM samples WHERE rollout = $1 ORDER BY at")
            .bind(rollout.as_str())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Ok(serde_json::from_str(&row.try_get::<String>(0)?)?)).collect()
    }
}

/// Adds a sample; the later one of two at the same millisecond stays.
pub(crate) async fn add(writing: &mut Writing, record: &SampleRecord) -> Result<(), Error> {
    query(
        "INSERT INTO samples (rollout, at, doc) VALUES ($1, $2, $3) \
         ON CONFLICT (rollout, at) DO UPDATE SET doc = excluded.doc",
    )
    .bind(record.rollout.as_str())
    .bind(record.sample.at.0 as i64)
    .bind(serde_json::to_string(&record.sample)?)
    .execute(&mut *writing)
    .await?;
    Ok(())
}

/// Gives up the samples of all but the newest rollouts of a lane.
pub(crate) async fn give_up_old(writing: &mut Writing, lane: &LaneId) -> Result<(), Error> {
    query(
        "DELETE FROM samples WHERE rollout IN (SELECT id FROM rollouts WHERE service = $1 AND environment = $2 \
         AND number <= (SELECT number FROM rollouts WHERE service = $1 AND environment = $2 \
         ORDER BY number DESC LIMIT 1 OFFSET $3))",
    )
    .bind(lane.service.as_str())
    .bind(lane.environment.as_str())
    .bind(KEPT_ROLLOUTS)
    .execute(&mut *writing)
    .await?;
    Ok(())
}
