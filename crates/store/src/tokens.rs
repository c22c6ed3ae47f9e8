//! Tokens: a name for each, and the hash of its text. The text itself is kept nowhere in the database.

use slipway_core::names::Digest;
use slipway_core::units::Timestamp;
use sqlx::Row;

use crate::error::{Error, text};
use crate::open::Store;

impl Store {
    /// Makes a token known, or gives the name a new one.
    pub async fn insert_token(&self, name: &str, token: &str, now: Timestamp) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO tokens (hash, name, created_at) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at",
        )
        .bind(Digest::of(token.as_bytes()).as_str())
        .bind(text(name.to_string())?)
        .bind(now.0 as i64)
        .execute(&self.inner.writer)
        .await?;
        Ok(())
    }

    /// The name of a token; found by its hash, so that comparing takes the same time whatever is wrong with it.
    pub async fn token_name(&self, token: &str) -> Result<Option<String>, Error> {
        let row = sqlx::query("SELECT name FROM tokens WHERE hash = $1")
            .bind(Digest::of(token.as_bytes()).as_str())
            .fetch_optional(self.readers())
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}
