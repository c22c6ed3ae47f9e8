//! One statement for both databases: numbers and text go in, rows of numbers and text come out.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Postgres, Sqlite};

use super::{Pool, Writing};
use crate::error::Error;

/// How long a server may take to answer a statement, waiting for a connection and for other writers included.
const PATIENCE: Duration = Duration::from_secs(6);

/// A statement with what its places stand for.
pub(crate) struct Query {
    sql: String,
    values: Vec<Value>,
}

/// What can stand in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(i64),
    /// Text. PostgreSQL has no NUL in text, so that neither keeps one: it becomes U+FFFD wherever it is written or
    /// looked for.
    Text(String),
}

/// Where a statement runs.
pub(crate) enum On<'a> {
    /// On a connection of its own.
    Pool(&'a Pool),
    /// In a transaction.
    Writing(&'a mut Writing),
}

/// A row of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A statement. Its text must be this program's own: what others said goes into places.
pub(crate) fn query(sql: impl Into<String>) -> Query {
    Query { sql: sql.into(), values: Vec::new() }
}

/// Runs the same call on whichever database it is.
macro_rules! run {
    ($query:ident, $on:expr, $call:ident) => {{
        let sql = AssertSqlSafe($query.sql);
        match $on {
            On::Pool(Pool::Sqlite(pool)) => {
                sqlx::query_with(sql, sqlite($query.values)?).$call(pool).await.map(Either::Sqlite)
            }
            On::Writing(Writing::Sqlite(transaction)) => {
                sqlx::query_with(sql, sqlite($query.values)?).$call(&mut **transaction).await.map(Either::Sqlite)
            }
            On::Pool(Pool::Postgres(server)) => {
                let asked = sqlx::query_with(sql, postgres($query.values)?).$call(server.asked()?);
                answered(asked).await.map(Either::Postgres)
            }
            On::Writing(Writing::Postgres(transaction)) => {
                let asked = sqlx::query_with(sql, postgres($query.values)?).$call(&mut **transaction);
                answered(asked).await.map(Either::Postgres)
            }
        }
    }};
}

/// Waits for a server, but not for ever: one that swallows everything must not hold up who goes back without it.
pub(super) async fn answered<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let silent = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer in time");
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(sqlx::Error::Io(silent())))
}

enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

impl Query {
    /// Fills the next place.
    pub fn bind(mut self, value: impl Into<Value>) -> Query {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it changed.
    pub async fn execute<'a>(self, on: impl Into<On<'a>>) -> Result<u64, Error> {
        Ok(match run!(self, on.into(), execute)? {
            Either::Sqlite(done) => done.rows_affected(),
            Either::Postgres(done) => done.rows_affected(),
        })
    }

    /// Every row.
    pub async fn fetch_all<'a>(self, on: impl Into<On<'a>>) -> Result<Vec<Row>, Error> {
        Ok(match run!(self, on.into(), fetch_all)? {
            Either::Sqlite(rows) => rows.into_iter().map(Row::Sqlite).collect(),
            Either::Postgres(rows) => rows.into_iter().map(Row::Postgres).collect(),
        })
    }

    /// The first row.
    pub async fn fetch_one<'a>(self, on: impl Into<On<'a>>) -> Result<Row, Error> {
        Ok(match run!(self, on.into(), fetch_one)? {
            Either::Sqlite(row) => Row::Sqlite(row),
            Either::Postgres(row) => Row::Postgres(row),
        })
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<'a>(self, on: impl Into<On<'a>>) -> Result<Option<Row>, Error> {
        Ok(match run!(self, on.into(), fetch_optional)? {
            Either::Sqlite(row) => row.map(Row::Sqlite),
            Either::Postgres(row) => row.map(Row::Postgres),
        })
    }
}

fn sqlite(values: Vec<Value>) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn postgres(values: Vec<Value>) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// What a column can be read as.
pub(crate) trait Column:
    for<'r> sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite> + for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>
{
}

impl Column for i64 {}
impl Column for String {}

impl Row {
    /// What stands in a column.
    pub fn try_get<T: Column>(&self, place: usize) -> Result<T, Error> {
        Ok(match self {
            Row::Sqlite(row) => sqlx::Row::try_get(row, place)?,
            Row::Postgres(row) => sqlx::Row::try_get(row, place)?,
        })
    }

    /// Text as it stands, even if somebody made it something else than UTF-8: what was changed must be found, not hidden
    /// behind an error.
    pub fn lossy(&self, place: usize) -> Result<String, Error> {
        let bytes: Vec<u8> = match self {
            Row::Sqlite(row) => sqlx::Row::try_get_unchecked(row, place)?,
            Row::Postgres(row) => sqlx::Row::try_get_unchecked(row, place)?,
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl On<'_> {
    /// The same place, for one more statement.
    pub fn again(&mut self) -> On<'_> {
        match self {
            On::Pool(pool) => On::Pool(pool),
            On::Writing(writing) => On::Writing(writing),
        }
    }
}

impl<'a> From<&'a Pool> for On<'a> {
    fn from(pool: &'a Pool) -> On<'a> {
        On::Pool(pool)
    }
}

impl<'a> From<&'a mut Writing> for On<'a> {
    fn from(writing: &'a mut Writing) -> On<'a> {
        On::Writing(writing)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(crate::error::text(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::from(text.to_string())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::from(text.as_str())
    }
}
