//! PostgreSQL: a database that several control planes may share.
//!
//! Whoever writes takes one lock of the whole store first, so that a transaction that writes is what it is in SQLite: it
//! sees everything that was committed, what it reads stays true until its end, and numbers commit in their order.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, Row};

use crate::error::Error;

/// Each statement must see what was committed before it, not before the lock was waited for; a server may have another
/// default.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// The right to write. Ends with the transaction. The number is this program's own among those of other programs.
pub(super) const LOCK_WRITE: &str = "SELECT pg_advisory_xact_lock(8318840173266925)";

/// The server's time in milliseconds.
pub(crate) const NOW_MS: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// What every connection is told. Whoever stands still in the middle of a transaction (a stopped process, a network that
/// swallows everything) must not keep the others from writing; a commit that was promised must outlive the server.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '2s'; SET lock_timeout = '4s'; \
     SET statement_timeout = '30s'; SET search_path = public; SET default_transaction_read_only = off; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Opens the pools: the one that writes, the one that reads, and the one that keeps a lease.
pub(super) async fn open(options: PgConnectOptions) -> Result<[PgPool; 3], Error> {
    // Statements belong to nobody's log: parameters are not in them, but neither is anything that helps.
    let options = options.application_name("slipway").disable_statement_logging();
    let pool = |most: u32, patience: u64| {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(Duration::from_secs(patience))
            .idle_timeout(Duration::from_secs(60))
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(sqlx::raw_sql(SETTINGS)).await.map(|_| ()) })
            })
    };
    let writer = pool(2, 5).connect_with(options.clone()).await?;
    let row = sqlx::query("SELECT current_setting('server_encoding')").fetch_one(&writer).await?;
    let encoding: String = row.try_get(0)?;
    if encoding != "UTF8" {
        return Err(Error::Unfit(format!(
            "its encoding is {encoding}, which cannot hold every text: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    let readers = pool(6, 5).connect_lazy_with(options.clone());
    // One more than is used: a connection that hangs is given back only when it answers again.
    Ok([writer, readers, pool(2, 2).connect_lazy_with(options)])
}

/// Text is compared and ordered by its bytes, as in SQLite, whatever the server's language is.
pub(super) fn definition(statement: &str) -> String {
    statement.replace(" TEXT ", " TEXT COLLATE \"C\" ")
}

/// What the server says, without the places in its own source that the driver adds.
pub(super) fn said(error: &sqlx::postgres::PgDatabaseError) -> String {
    let more = [error.detail(), error.hint()].into_iter().flatten();
    std::iter::once(error.message()).chain(more).collect::<Vec<_>>().join("; ")
}

/// What a code means; https://www.postgresql.org/docs/current/errcodes-appendix.html lists them.
pub(super) fn meaning(code: &str, said: String) -> Error {
    match (code, code.get(..2).unwrap_or_default()) {
        ("55P03", _) => Error::Unavailable(format!("somebody holds the right to write for too long ({said})")),
        ("53100", _) => Error::Unavailable(format!("the server's disk is full ({said})")),
        ("53300", _) => Error::Unavailable(format!("the server has no connection left ({said})")),
        ("3D000", _) => Error::Unfit(format!("there is no such database ({said}): make it with createdb")),
        (_, "28") => Error::Unavailable(format!(
            "the server does not let this user in ({said}): look at name and password, which PGPASSWORD or ~/.pgpass may hold"
        )),
        ("42501", _) => Error::Unfit(format!("the user may not do this ({said}): make it the owner of the database")),
        (_, "XX") => Error::Damaged(said),
        _ => Error::Unavailable(said),
    }
}
