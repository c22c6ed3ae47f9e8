//! SQLite: one file in the data folder, one connection that writes, a few that read.

use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::error::Error;

/// Takes the right to write from the beginning, so that what is read in the transaction is still true at its end.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// Opens the pools: the one that writes, and those that read.
pub(super) async fn open(file: &Path) -> Result<(SqlitePool, SqlitePool), sqlx::Error> {
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
        // A commit that fails for want of space ends the transaction without the driver's knowledge: the connection
        // would refuse to begin another for ever. It is closed instead, and the next writer gets a fresh one.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options.clone())
        .await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options.read_only(true));
    Ok((writer, readers))
}

/// SQLite keeps whatever one writes into a column unless the table is strict: a number could be made text, and hide from
/// every question.
pub(super) fn definition(statement: &str) -> String {
    match statement.starts_with("CREATE TABLE") {
        true => format!("{} STRICT", statement.replace("BIGINT", "INTEGER")),
        false => statement.to_string(),
    }
}

/// What a code means. The upper bits say where it happened; https://www.sqlite.org/rescode.html lists the lower ones.
pub(super) fn meaning(code: &str, said: String) -> Error {
    match code.parse::<i32>().unwrap_or(0) & 0xff {
        5 | 6 => Error::Unavailable(format!("another program holds the database ({said})")),
        8 | 14 => Error::Unavailable(format!("the database's files cannot be opened for writing ({said})")),
        10 => Error::Unavailable(format!("the disk cannot be read or written, or is full ({said})")),
        13 => Error::Unavailable(format!("the disk is full ({said})")),
        11 | 26 => Error::Damaged(said),
        _ => Error::Unavailable(said),
    }
}
