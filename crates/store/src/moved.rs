//! A store that was moved to another database stays where it was, and says where it is now: two histories of one store
//! would be worse than none.

use crate::dialect::{Writing, query};
use crate::error::Error;

/// Refuses a store that was moved.
pub(crate) async fn refuse(writing: &mut Writing) -> Result<(), Error> {
    let row = query("SELECT value FROM identity WHERE name = 'moved'").fetch_optional(writing).await?;
    match row {
        Some(row) => Err(Error::Moved { to: row.try_get(0)? }),
        None => Ok(()),
    }
}

/// Notes where the store is now.
pub(crate) async fn note(writing: &mut Writing, to: &str) -> Result<(), Error> {
    query("INSERT INTO identity (name, value) VALUES ('moved', $1) ON CONFLICT (name) DO NOTHING")
        .bind(to)
        .execute(writing)
        .await?;
    Ok(())
}
