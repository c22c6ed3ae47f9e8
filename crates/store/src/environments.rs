//! Environments that a file was applied to: one document for each. And the id by which this store is known in such files.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::journal::Fact;
use slipway_core::names::{EnvironmentName, ServiceName};
use slipway_core::units::Timestamp;

use crate::dialect::{Writing, query};
use crate::error::Error;
use crate::hooks::{Hooks, Whose, declare, places};
use crate::open::Store;

impl Store {
    /// Keeps an environment's document, together with what is recorded about it, and makes `hooks` those of the environment
    /// where they are given: new ones are told of what is recorded here, and so are those that are withdrawn by it.
    pub async fn keep_environment<T: Serialize>(
        &self,
        name: &EnvironmentName,
        doc: &T,
        hooks: Option<Hooks>,
        facts: Vec<Fact>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let mut writing = self.write().await?;
        query("INSERT INTO environments (name, doc) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET doc = $2")
            .bind(name.as_str())
            .bind(serde_json::to_string(doc)?)
            .execute(&mut writing)
            .await?;
        let (begin, _) = places(&mut writing, None).await?;
        let head = self.append_in(&mut writing, facts, at).await?;
        if let Some(hooks) = hooks {
            let (end, _) = places(&mut writing, None).await?;
            declare(&mut writing, &Whose::Environment(name.clone()), hooks, begin, end).await?;
        }
        self.finish(writing, head).await
    }

    /// Every environment's document, by name.
    pub async fn environments<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        let rows = query("SELECT doc FROM environments ORDER BY name").fetch_all(self.readers()).await?;
        rows.iter()
            .map(|row| {
                let doc: String = row.try_get(0)?;
                Ok(serde_json::from_str(&doc)?)
            })
            .collect()
    }

    /// Every service of which a version is known, by name.
    pub async fn services(&self) -> Result<Vec<ServiceName>, Error> {
        let sql = "SELECT DISTINCT service FROM releases ORDER BY service";
        let rows = query(sql).fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok(row.try_get::<String>(0)?.parse()?)).collect()
    }

    /// The id of this store: the same for ever, and of no other.
    pub fn cluster(&self) -> &str {
        &self.inner.cluster
    }
}

/// The id of the store, given at its first start.
pub(crate) async fn cluster(writing: &mut Writing) -> Result<String, Error> {
    query("INSERT INTO identity (name, value) VALUES ('cluster', $1) ON CONFLICT (name) DO NOTHING")
        .bind(format!("{:016x}", chance()))
        .execute(&mut *writing)
        .await?;
    let row = query("SELECT value FROM identity WHERE name = 'cluster'").fetch_one(&mut *writing).await?;
    row.try_get(0)
}

/// A number that no other store has: the keys with which the standard library guards its maps are random.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}
