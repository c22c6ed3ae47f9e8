//! Sessions of the console: who signed in with which token. The secret of a session is kept nowhere in the database, and
//! a session is worth what its token is worth: revoking the token ends it.

use slipway_core::names::Digest;
use slipway_core::units::Timestamp;

use crate::dialect::query;
use crate::error::Error;
use crate::open::Store;
use crate::tokens::{TokenRecord, record};

impl Store {
    /// Begins a session for the holder of a token, and forgets those that are over.
    pub async fn begin_session(
        &self,
        secret: &str,
        token: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        let mut writing = self.write().await?;
        query("DELETE FROM sessions WHERE expires_at <= $1").bind(now.0 as i64).execute(&mut writing).await?;
        query("INSERT INTO sessions (hash, token, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(Digest::of(secret.as_bytes()).as_str())
            .bind(Digest::of(token.as_bytes()).as_str())
            .bind(now.0 as i64)
            .bind(expires_at.0 as i64)
            .execute(&mut writing)
            .await?;
        self.finish(writing, None).await
    }

    /// Whose session this is; nobody's once it is over or its token is revoked.
    pub async fn session(&self, secret: &str, now: Timestamp) -> Result<Option<TokenRecord>, Error> {
        let row = query(
            "SELECT tokens.name, tokens.rights, tokens.created_at FROM sessions \
             JOIN tokens ON tokens.hash = sessions.token WHERE sessions.hash = $1 AND sessions.expires_at > $2",
        )
        .bind(Digest::of(secret.as_bytes()).as_str())
        .bind(now.0 as i64)
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(record).transpose()
    }

    /// Ends a session.
    pub async fn end_session(&self, secret: &str) -> Result<(), Error> {
        let hash = Digest::of(secret.as_bytes());
        let mut writing = self.write().await?;
        query("DELETE FROM sessions WHERE hash = $1").bind(hash.as_str()).execute(&mut writing).await?;
        self.finish(writing, None).await
    }
}
