//! What differs between SQLite and PostgreSQL: how one is opened, how a transaction that writes begins, how a table is
//! made, and what the codes of errors mean. Everything else is SQL that both run, handed over by [`query`].

mod postgres;
mod query;
mod server;
mod sqlite;

use std::path::Path;

use sqlx::sqlite::SqlitePool;

use crate::error::Error;
use query::answered;
use server::Server;

pub(crate) use query::{On, Row, Value, query};

/// The server's time in milliseconds, in a statement that only a server runs.
pub(crate) use postgres::NOW_MS;

/// A pool of connections.
#[derive(Clone)]
pub(crate) enum Pool {
    /// To a file.
    Sqlite(SqlitePool),
    /// To a server.
    Postgres(Server),
}

/// A transaction that writes. One at a time in the whole store: what it reads is still true at its end.
pub(crate) enum Writing {
    /// In a file.
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    /// On a server.
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// Opens a file: the pool that writes, and the one that reads.
pub(crate) async fn open_file(file: &Path) -> Result<(Pool, Pool), Error> {
    let (writer, readers) = sqlite::open(file).await?;
    Ok((Pool::Sqlite(writer), Pool::Sqlite(readers)))
}

/// Opens a server's database: the pool that writes, the one that reads, and the one that keeps a lease.
pub(crate) async fn open_server(options: sqlx::postgres::PgConnectOptions) -> Result<(Pool, Pool, Pool), Error> {
    let [writer, readers, lease] = Server::of(postgres::open(options).await?);
    Ok((Pool::Postgres(writer), Pool::Postgres(readers), Pool::Postgres(lease)))
}

// Written by hand: what a pool knows of itself has the password in it.
impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Pool::Sqlite(_) => "Sqlite",
            Pool::Postgres(_) => "Postgres",
        })
    }
}

impl Pool {
    /// Begins a transaction that writes.
    pub async fn write(&self) -> Result<Writing, Error> {
        match self {
            Pool::Sqlite(pool) => Ok(Writing::Sqlite(pool.begin_with(sqlite::BEGIN_WRITE).await?)),
            Pool::Postgres(server) => {
                let mut transaction = answered(server.asked()?.begin_with(postgres::BEGIN_WRITE)).await?;
                answered(sqlx::query(postgres::LOCK_WRITE).execute(&mut *transaction)).await?;
                Ok(Writing::Postgres(transaction))
            }
        }
    }

    /// Says whether what it leads to has just answered.
    pub fn note(&self, answers: bool) {
        if let Pool::Postgres(server) = self {
            server.note(answers);
        }
    }

    /// A statement of a migration as this database wants it.
    pub fn definition(&self, statement: &str) -> String {
        match self {
            Pool::Sqlite(_) => sqlite::definition(statement),
            Pool::Postgres(_) => postgres::definition(statement),
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(server) => server.close().await,
        }
    }
}

impl Writing {
    /// Keeps what was written.
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Writing::Sqlite(transaction) => transaction.commit().await?,
            Writing::Postgres(transaction) => answered(transaction.commit()).await?,
        }
        Ok(())
    }
}

/// What an error of either database means to whoever asked.
pub(crate) fn meaning(error: &dyn sqlx::error::DatabaseError) -> Error {
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        Some(error) => postgres::meaning(&code, postgres::said(error)),
        None => sqlite::meaning(&code, error.to_string()),
    }
}
