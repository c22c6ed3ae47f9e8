//! Releases of groups: one document for each, guarded by its generation.

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::journal::Fact;
use slipway_core::names::{EnvironmentName, GroupName};
use slipway_core::units::Timestamp;

use crate::dialect::{Row, query};
use crate::error::Error;
use crate::lanes::Versioned;
use crate::open::Store;

/// The counter of group releases.
const GROUPS: &str = "groups";

/// A group release as it is to be kept.
#[derive(Debug)]
pub struct GroupCommit<'a, T> {
    /// Its id.
    pub id: &'a str,
    /// Its place among all.
    pub number: u64,
    /// The group.
    pub group: &'a GroupName,
    /// Where to.
    pub environment: &'a EnvironmentName,
    /// Whether it is over.
    pub ended: bool,
    /// The generation that it is changed from; 0 for a new one.
    pub expected_generation: u64,
    /// All of it.
    pub doc: &'a T,
    /// For the journal, in order.
    pub facts: Vec<Fact>,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// The number of a new group release.
    pub async fn next_group_number(&self) -> Result<u64, Error> {
        self.bump(GROUPS).await
    }

    /// Keeps a group release with what is recorded of it. `false` where it is not what it was.
    pub async fn keep_group<T: Serialize>(&self, commit: GroupCommit<'_, T>) -> Result<bool, Error> {
        let doc = serde_json::to_string(commit.doc)?;
        let mut writing = self.write().await?;
        let (generation, ended) = (commit.expected_generation as i64 + 1, i64::from(commit.ended));
        let done = match commit.expected_generation {
            0 => {
                query(
                    "INSERT INTO group_runs (id, generation, doc, ended, number, name, environment) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
                )
                .bind(commit.id)
                .bind(generation)
                .bind(doc)
                .bind(ended)
                .bind(commit.number as i64)
                .bind(commit.group.as_str())
                .bind(commit.environment.as_str())
                .execute(&mut writing)
                .await?
            }
            before => {
                query("UPDATE group_runs SET generation = $2, doc = $3, ended = $4 WHERE id = $1 AND generation = $5")
                    .bind(commit.id)
                    .bind(generation)
                    .bind(doc)
                    .bind(ended)
                    .bind(before as i64)
                    .execute(&mut writing)
                    .await?
            }
        };
        if done != 1 {
            return Ok(false);
        }
        let head = self.append_in(&mut writing, commit.facts, commit.at).await?;
        self.finish(writing, head).await?;
        Ok(true)
    }

    /// Ids of the group releases that go on.
    pub async fn open_groups(&self) -> Result<Vec<String>, Error> {
        let rows = query("SELECT id FROM group_runs WHERE ended = 0 ORDER BY number").fetch_all(self.readers());
        rows.await?.iter().map(|row| row.try_get(0)).collect()
    }

    /// A group release by its id.
    pub async fn group_run<T: DeserializeOwned>(&self, id: &str) -> Result<Option<Versioned<T>>, Error> {
        let row = query("SELECT generation, doc FROM group_runs WHERE id = $1").bind(id);
        read(row.fetch_optional(self.readers()).await?)
    }

    /// The newest release of a group into an environment.
    pub async fn newest_group_run<T: DeserializeOwned>(
        &self,
        group: &GroupName,
        environment: &EnvironmentName,
    ) -> Result<Option<Versioned<T>>, Error> {
        let row = query(
            "SELECT generation, doc FROM group_runs WHERE name = $1 AND environment = $2 ORDER BY number DESC LIMIT 1",
        )
        .bind(group.as_str())
        .bind(environment.as_str());
        read(row.fetch_optional(self.readers()).await?)
    }
}

fn read<T: DeserializeOwned>(row: Option<Row>) -> Result<Option<Versioned<T>>, Error> {
    let Some(row) = row else { return Ok(None) };
    let (generation, doc): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(Versioned { generation: generation as u64, doc: serde_json::from_str(&doc)? }))
}
