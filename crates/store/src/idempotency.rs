//! Requests that came with a key, so that the same request again gets the same answer.

use slipway_core::units::{Millis, Timestamp};

use crate::dialect::query;
use crate::error::{Error, text};
use crate::open::Store;

/// How long an answer is remembered.
const KEPT: Millis = Millis::from_secs(24 * 3600);

/// An answer that was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its HTTP status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Store {
    /// The answer that `key` got before. `request` says what was asked: another request under the same key is refused.
    pub async fn recall(&self, key: &str, request: &str, now: Timestamp) -> Result<Option<Remembered>, Error> {
        let row = query("SELECT request, status, body, at FROM idempotency WHERE key = $1")
            .bind(key)
            .fetch_optional(self.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (known, status, at): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?);
        if now.since(Timestamp(at as u64)) > KEPT {
            return Ok(None);
        }
        match known == text(request.to_string()) {
            true => Ok(Some(Remembered { status: status as u16, body: row.try_get(2)? })),
            false => Err(Error::KeyReused(key.to_string())),
        }
    }

    /// Remembers an answer, and forgets old ones.
    pub async fn remember(&self, key: &str, request: &str, answer: &Remembered, now: Timestamp) -> Result<(), Error> {
        let mut writing = self.write().await?;
        query("DELETE FROM idempotency WHERE at < $1")
            .bind(now.0.saturating_sub(KEPT.0) as i64)
            .execute(&mut writing)
            .await?;
        query(
            "INSERT INTO idempotency (key, request, status, body, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (key) DO NOTHING",
        )
        .bind(key.to_string())
        .bind(request)
        .bind(i64::from(answer.status))
        .bind(answer.body.clone())
        .bind(now.0 as i64)
        .execute(&mut writing)
        .await?;
        writing.commit().await?;
        Ok(())
    }
}
