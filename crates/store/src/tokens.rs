//! Tokens: a name for each, what its holder may do, and the hash of its text. The text itself is kept nowhere in the
//! database.

use serde_json::json;
use slipway_core::journal::Fact;
use slipway_core::names::Digest;
use slipway_core::rights::Rights;
use slipway_core::units::Timestamp;

use crate::dialect::{Row, query};
use crate::error::Error;
use crate::open::Store;

/// A token as it is known: never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Whose it is.
    pub name: String,
    /// What its holder may do.
    pub rights: Rights,
    /// Since when it is known.
    pub created_at: Timestamp,
}

impl Store {
    /// Makes the first token known, or gives it a new text. It is not in the journal: nobody has asked for it.
    pub async fn insert_token(&self, name: &str, token: &str, now: Timestamp) -> Result<(), Error> {
        let mut writing = self.write().await?;
        query(
            "INSERT INTO tokens (hash, name, created_at) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at",
        )
        .bind(Digest::of(token.as_bytes()).as_str())
        .bind(name.to_string())
        .bind(now.0 as i64)
        .execute(&mut writing)
        .await?;
        self.finish(writing, None).await
    }

    /// Makes a token known under a name that none has yet; `false` where one has.
    pub async fn create_token(&self, record: &TokenRecord, token: &str, actor: &str) -> Result<bool, Error> {
        let mut writing = self.write().await?;
        let done =
            query("INSERT INTO tokens (hash, name, created_at, rights) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
                .bind(Digest::of(token.as_bytes()).as_str())
                .bind(record.name.clone())
                .bind(record.created_at.0 as i64)
                .bind(record.rights.to_string())
                .execute(&mut writing)
                .await?;
        if done != 1 {
            return Ok(false);
        }
        let cause = format!("a token for {} that may {}", record.name, record.rights);
        let evidence = json!({ "name": record.name, "rights": record.rights });
        let facts = vec![fact("token.created", actor, cause, evidence)];
        let head = self.append_in(&mut writing, facts, record.created_at).await?;
        self.finish(writing, head).await?;
        Ok(true)
    }

    /// Forgets a token; `false` where there is none of that name.
    pub async fn revoke_token(&self, name: &str, actor: &str, now: Timestamp) -> Result<bool, Error> {
        let mut writing = self.write().await?;
        let done = query("DELETE FROM tokens WHERE name = $1").bind(name.to_string()).execute(&mut writing).await?;
        if done != 1 {
            return Ok(false);
        }
        let facts =
            vec![fact("token.revoked", actor, format!("the token of {name} is revoked"), json!({ "name": name }))];
        let head = self.append_in(&mut writing, facts, now).await?;
        self.finish(writing, head).await?;
        Ok(true)
    }

    /// Every token, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, Error> {
        let rows = query("SELECT name, rights, created_at FROM tokens ORDER BY name").fetch_all(self.readers()).await?;
        rows.iter().map(record).collect()
    }

    /// Whose token this is; found by its hash, so that comparing takes the same time whatever is wrong with it.
    pub async fn token(&self, token: &str) -> Result<Option<TokenRecord>, Error> {
        let row = query("SELECT name, rights, created_at FROM tokens WHERE hash = $1")
            .bind(Digest::of(token.as_bytes()).as_str())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(record).transpose()
    }
}

/// A row of name, rights and time.
pub(crate) fn record(row: &Row) -> Result<TokenRecord, Error> {
    let rights: String = row.try_get(1)?;
    Ok(TokenRecord {
        name: row.try_get(0)?,
        // Rights of a later version are none that this one knows how to grant.
        rights: rights.parse().unwrap_or_default(),
        created_at: Timestamp(row.try_get::<i64>(2)? as u64),
    })
}

fn fact(kind: &str, actor: &str, cause: String, evidence: serde_json::Value) -> Fact {
    Fact { kind: kind.to_string(), lane: None, rollout: None, actor: actor.to_string(), cause, evidence }
}
