//! Lanes: one document for each, guarded by its generation.

use serde::de::DeserializeOwned;
use slipway_core::names::LaneId;

use crate::dialect::{Row, query};
use crate::error::Error;
use crate::open::Store;

/// A document with the generation at which it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// One more after every change.
    pub generation: u64,
    /// The document.
    pub doc: T,
}

impl Store {
    /// The document of a lane.
    pub async fn load_lane<T: DeserializeOwned>(&self, lane: &LaneId) -> Result<Option<Versioned<T>>, Error> {
        let row = query("SELECT generation, doc FROM lanes WHERE service = $1 AND environment = $2")
            .bind(lane.service.as_str())
            .bind(lane.environment.as_str())
            .fetch_optional(self.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let generation: i64 = row.try_get(0)?;
        let doc: String = row.try_get(1)?;
        Ok(Some(Versioned { generation: generation as u64, doc: serde_json::from_str(&doc)? }))
    }

    /// Every lane.
    pub async fn lanes(&self) -> Result<Vec<LaneId>, Error> {
        let rows = query("SELECT service, environment FROM lanes ORDER BY service, environment")
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| lane(row, 0)).collect()
    }
}

/// The lane named by two columns from `at` on.
pub(crate) fn lane(row: &Row, at: usize) -> Result<LaneId, Error> {
    let (service, environment): (String, String) = (row.try_get(at)?, row.try_get(at + 1)?);
    Ok(LaneId { service: service.parse()?, environment: environment.parse()? })
}
