//! What differs between databases.

use std::path::Path;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

/// The pool of connections.
pub(crate) type Pool = SqlitePool;
/// A transaction that writes.
pub(crate) type Writing = sqlx::Transaction<'static, sqlx::Sqlite>;

/// Takes the right to write from the beginning, so that what is read in the transaction is still true at its end.
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// Opens the pools: one connection that writes, a few that read.
pub(crate) async fn open(file: &Path) -> Result<(Pool, Pool), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(2))
        .foreign_keys(true);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        // A full disk makes SQLite roll back by itself; the library then takes the connection for one that still is in
        // a transaction, for ever. Such a connection is given up and another one opened.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options.clone())
        .await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options.read_only(true));
    Ok((writer, readers))
}
