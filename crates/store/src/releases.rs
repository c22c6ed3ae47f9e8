//! Versions that are known: one pair of digests each, for ever.

use slipway_core::names::{Digest, ServiceName, VersionName};
use slipway_core::units::Timestamp;

use crate::dialect::{Row, query};
use crate::error::Error;
use crate::open::Store;

/// A version that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRecord {
    /// Whose.
    pub service: ServiceName,
    /// What people call it.
    pub version: VersionName,
    /// Its artifact.
    pub artifact: Digest,
    /// Its configuration digest.
    pub config: Digest,
    /// The declared file that it came with, as text.
    pub file: String,
    /// When it became known.
    pub created_at: Timestamp,
    /// Who made it known.
    pub actor: String,
}

const COLUMNS: &str = "service, version, artifact, config, file, created_at, actor";

impl Store {
    /// Makes a version known. The same pair of digests again changes nothing; another pair is refused.
    pub async fn insert_release(&self, release: &ReleaseRecord) -> Result<(), Error> {
        let mut writing = self.write().await?;
        query(
            "INSERT INTO releases (service, version, artifact, config, file, created_at, actor) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (service, version) DO NOTHING",
        )
        .bind(release.service.as_str())
        .bind(release.version.as_str())
        .bind(release.artifact.as_str())
        .bind(release.config.as_str())
        .bind(&release.file)
        .bind(release.created_at.0 as i64)
        .bind(&release.actor)
        .execute(&mut writing)
        .await?;
        let row = query("SELECT artifact, config FROM releases WHERE service = $1 AND version = $2")
            .bind(release.service.as_str())
            .bind(release.version.as_str())
            .fetch_one(&mut writing)
            .await?;
        let (artifact, config): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let taken = |what| {
            Err(Error::VersionTaken { service: release.service.clone(), version: release.version.clone(), what })
        };
        if artifact != release.artifact.as_str() {
            return taken("artifact");
        }
        if config != release.config.as_str() {
            return taken("configuration");
        }
        writing.commit().await?;
        Ok(())
    }

    /// A version that is known.
    pub async fn release(&self, service: &ServiceName, version: &VersionName) -> Result<Option<ReleaseRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM releases WHERE service = $1 AND version = $2");
        let row = query(sql).bind(service.as_str()).bind(version.as_str()).fetch_optional(self.readers()).await?;
        row.as_ref().map(record).transpose()
    }

    /// A service's versions, newest first.
    pub async fn releases(&self, service: &ServiceName) -> Result<Vec<ReleaseRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM releases WHERE service = $1 ORDER BY created_at DESC, version");
        let rows = query(sql).bind(service.as_str()).fetch_all(self.readers()).await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &Row) -> Result<ReleaseRecord, Error> {
    let text = |place: usize| row.try_get::<String>(place);
    let created: i64 = row.try_get(5)?;
    Ok(ReleaseRecord {
        service: text(0)?.parse()?,
        version: text(1)?.parse()?,
        artifact: text(2)?.parse()?,
        config: text(3)?.parse()?,
        file: text(4)?,
        created_at: Timestamp(created as u64),
        actor: text(6)?,
    })
}
