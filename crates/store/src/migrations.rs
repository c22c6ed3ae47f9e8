//! The schema, step by step, by name: the same steps in both databases.

use crate::dialect::{Pool, Writing, query};
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
    ("0008_leases", include_str!("migrations/0008_leases.sql")),
];

/// Brings the schema up to date; refuses one that is newer than this program.
pub(crate) async fn run(pool: &Pool) -> Result<(), Error> {
    let mut writing = pool.write().await?;
    run_in(pool, &mut writing).await?;
    writing.commit().await
}

/// The same within a transaction: whoever else starts at the same time waits, and finds it done.
pub(crate) async fn run_in(pool: &Pool, writing: &mut Writing) -> Result<(), Error> {
    let names = pool.definition("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY NOT NULL)");
    query(names).execute(&mut *writing).await?;
    let done: Vec<String> = query("SELECT name FROM migrations ORDER BY name")
        .fetch_all(&mut *writing)
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    if let Some(found) = done.iter().find(|name| !ALL.iter().any(|(known, _)| known == name)) {
        let known = ALL.last().map_or("none", |(name, _)| name);
        return Err(Error::Newer { found: found.clone(), known });
    }
    for (name, sql) in ALL.iter().filter(|(name, _)| !done.iter().any(|d| d == name)) {
        for statement in sql.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            query(pool.definition(statement)).execute(&mut *writing).await?;
        }
        query("INSERT INTO migrations (name) VALUES ($1)").bind(*name).execute(&mut *writing).await?;
    }
    Ok(())
}
