//! The schema, step by step, by name.

use sqlx::Row;

use crate::dialect::{BEGIN_WRITE, Pool, definition};
use crate::error::Error;

/// Every migration, in order.
const ALL: &[(&str, &str)] = &[
    ("0001_start", include_str!("migrations/0001_start.sql")),
    ("0002_rights", include_str!("migrations/0002_rights.sql")),
    ("0003_groups", include_str!("migrations/0003_groups.sql")),
    ("0004_environments", include_str!("migrations/0004_environments.sql")),
    ("0005_hooks", include_str!("migrations/0005_hooks.sql")),
    ("0006_samples", include_str!("migrations/0006_samples.sql")),
    ("0007_sessions", include_str!("migrations/0007_sessions.sql")),
];

/// Brings the schema up to date; refuses one that is newer than this program.
pub(crate) async fn run(pool: &Pool) -> Result<(), Error> {
    sqlx::query("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY NOT NULL)").execute(pool).await?;
    let done: Vec<String> = sqlx::query("SELECT name FROM migrations ORDER BY name")
        .fetch_all(pool)
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    if let Some(found) = done.iter().find(|name| !ALL.iter().any(|(known, _)| known == name)) {
        let known = ALL.last().map_or("none", |(name, _)| name);
        return Err(Error::Newer { found: found.clone(), known });
    }
    for (name, sql) in ALL.iter().filter(|(name, _)| !done.iter().any(|d| d == name)) {
        let mut writing = pool.begin_with(BEGIN_WRITE).await?;
        for statement in sql.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            sqlx::query(sqlx::AssertSqlSafe(definition(statement))).execute(&mut *writing).await?;
        }
        sqlx::query("INSERT INTO migrations (name) VALUES ($1)").bind(*name).execute(&mut *writing).await?;
        writing.commit().await?;
    }
    Ok(())
}
