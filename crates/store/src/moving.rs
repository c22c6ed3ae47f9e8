//! Moving a store from the file in its data folder into an empty database on a server: everything or nothing.
//!
//! All rows are written, read back and compared in one transaction there; only when it is kept is the file marked, so
//! that no control plane drives from it any more. Whatever is cut off in between is done again from the beginning, or
//! finished by marking. Called by the binary, with every control plane stopped; gateway and instances go on.

use std::path::Path;

use crate::address::Address;
use crate::anchor::AnchorFile;
use crate::dialect::{self, On, Row, Value, Writing, query};
use crate::error::Error;
use crate::home::Home;
use crate::journal;
use crate::{folder, migrations, moved};

/// Rows that are read or written at a time.
const PAGE: usize = 100;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Tables and their rows, by name.
    pub rows: Vec<(String, u64)>,
    /// The newest entry of the journal; 0 where there is none.
    pub head: u64,
    /// Its hash.
    pub hash: String,
    /// Whether it was there already: only the file had to be marked.
    pub before: bool,
}

/// A table, as the server describes it.
struct Table {
    name: String,
    /// Columns, and whether each is a number.
    columns: Vec<(String, bool)>,
    key: Vec<String>,
}

/// Moves the store of a data folder to `to`, which must be empty.
pub async fn move_store(folder: &Path, to: &Address) -> Result<Moved, Error> {
    let file = folder.join("slipway.db");
    // Before it is claimed, which would create it.
    if !file.exists() {
        return Err(Error::Unfit(format!("the data folder {} has no database to move", folder.display())));
    }
    let _claim = folder::claim(folder).await?;
    let (source, readers) = dialect::open_file(&file).await?;
    readers.close().await;
    migrations::run(&source).await?;
    let mut reading = source.write().await?;
    moved::refuse(&mut reading).await?;
    let anchor = AnchorFile::new(folder).read().map_err(Error::Damaged)?;
    let checked = journal::check(&mut reading, anchor.clone()).await?;
    checked.map_err(|broken| Error::Damaged(format!("{broken}: the store is not moved before somebody has looked")))?;
    let (target, _, _) = dialect::open_server(to.options()).await?;
    let mut writing = target.write().await?;
    let report = match tables(&mut writing).await?.is_empty() {
        true => {
            migrations::run_in(&target, &mut writing).await?;
            let rows = copy(&mut reading, &mut writing).await?;
            Home::of(folder)?.settle(&mut writing).await?;
            journal::check(&mut writing, anchor)
                .await?
                .map_err(|broken| Error::Damaged(format!("the copy of the journal is broken: {broken}")))?;
            let newest = journal::newest(&mut writing).await?;
            writing.commit().await?;
            let (head, hash) = newest.map_or((0, String::new()), |newest| (newest.seq, newest.hash));
            Moved { rows, head, hash, before: false }
        }
        false => {
            let report = found(&mut reading, &mut writing, to).await?;
            drop(writing);
            report
        }
    };
    moved::note(&mut reading, &to.to_string()).await?;
    reading.commit().await?;
    target.close().await;
    source.close().await;
    Ok(report)
}

/// What an earlier move that was cut off before its last step has left: the whole store. Anything else is refused.
async fn found(reading: &mut Writing, writing: &mut Writing, to: &Address) -> Result<Moved, Error> {
    let other = || {
        Error::Unfit(format!("{to} is not empty: nothing was written to it; make another with createdb and name that"))
    };
    let cluster = "SELECT value FROM identity WHERE name = 'cluster'";
    let ours: String = query(cluster).fetch_one(&mut *reading).await?.try_get(0)?;
    let there = query(cluster).fetch_optional(&mut *writing).await.map_err(|_| other())?;
    let there: Option<String> = there.map(|row| row.try_get(0)).transpose()?;
    let newest = journal::newest(&mut *reading).await?;
    let head = newest.as_ref().map_or(0, |newest| newest.seq);
    let hash = query("SELECT hash FROM journal WHERE seq = $1").bind(head as i64);
    let hash = hash.fetch_optional(&mut *writing).await?.map(|row| row.lossy(0)).transpose()?;
    if there.as_ref() != Some(&ours) || hash != newest.map(|newest| newest.hash) {
        return Err(other());
    }
    Ok(Moved { rows: Vec::new(), head, hash: hash.unwrap_or_default(), before: true })
}

/// Copies every table, and compares what came to stand there.
async fn copy(reading: &mut Writing, writing: &mut Writing) -> Result<Vec<(String, u64)>, Error> {
    let mut rows = Vec::new();
    for table in tables(&mut *writing).await? {
        let (mut after, mut count) = (None, 0);
        loop {
            let page = table.page(&mut *reading, after.as_deref()).await?;
            let Some(last) = page.last() else { break };
            // The migrations have written their own names, and those alone.
            if table.name != "migrations" {
                table.insert(&mut *writing, &page).await?;
            }
            if table.page(&mut *writing, after.as_deref()).await? != page {
                return Err(Error::Damaged(format!("what was written of {} is not what was read", table.name)));
            }
            count += page.len() as u64;
            after = Some(table.key_of(last));
        }
        let all = || query(format!("SELECT COUNT(*) FROM {}", table.name));
        let (here, there): (i64, i64) =
            (all().fetch_one(&mut *reading).await?.try_get(0)?, all().fetch_one(&mut *writing).await?.try_get(0)?);
        if (here as u64, there as u64) != (count, count) {
            return Err(Error::Damaged(format!(
                "{} has {here} rows, of which {count} were read and {there} are in the copy",
                table.name
            )));
        }
        rows.push((table.name, count));
    }
    Ok(rows)
}

/// The tables of the server's database, by name.
async fn tables(writing: &mut Writing) -> Result<Vec<Table>, Error> {
    let columns = query(
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT) \
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position",
    );
    let mut tables: Vec<Table> = Vec::new();
    for row in columns.fetch_all(&mut *writing).await? {
        let (name, column, kind): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if tables.last().is_none_or(|table| table.name != name) {
            tables.push(Table { name, columns: Vec::new(), key: Vec::new() });
        }
        if let Some(table) = tables.last_mut() {
            table.columns.push((column, kind == "bigint"));
        }
    }
    let keys = query(
        "SELECT CAST(k.table_name AS TEXT), CAST(k.column_name AS TEXT) FROM information_schema.key_column_usage k \
         JOIN information_schema.table_constraints t ON t.constraint_schema = k.constraint_schema \
         AND t.constraint_name = k.constraint_name AND t.table_name = k.table_name \
         WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_schema = 'public' ORDER BY 1, k.ordinal_position",
    );
    for row in keys.fetch_all(writing).await? {
        let (name, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            table.key.push(column);
        }
    }
    Ok(tables)
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The rows after a key, in the order of keys.
    async fn page<'a>(&self, on: impl Into<On<'a>>, after: Option<&[Value]>) -> Result<Vec<Vec<Value>>, Error> {
        let (names, key) = (self.names(), self.key.join(", "));
        let place = |from: usize| (from..from + self.key.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let later = after.map_or(String::new(), |_| format!("WHERE ({key}) > ({})", place(1)));
        let mut page = query(format!("SELECT {names} FROM {} {later} ORDER BY {key} LIMIT {PAGE}", self.name));
        for value in after.unwrap_or_default() {
            page = page.bind(value.clone());
        }
        page.fetch_all(on).await?.iter().map(|row| self.values(row)).collect()
    }

    fn values(&self, row: &Row) -> Result<Vec<Value>, Error> {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(place, (_, number))| match number {
                true => Ok(Value::Number(row.try_get(place)?)),
                false => Ok(Value::Text(row.try_get(place)?)),
            })
            .collect()
    }

    fn key_of(&self, row: &[Value]) -> Vec<Value> {
        let place = |name: &String| self.columns.iter().position(|(column, _)| column == name);
        self.key.iter().filter_map(|name| row.get(place(name)?).cloned()).collect()
    }

    async fn insert(&self, writing: &mut Writing, page: &[Vec<Value>]) -> Result<(), Error> {
        let width = self.columns.len();
        let row = |n: usize| {
            let places: Vec<_> = (1..=width).map(|place| format!("${}", n * width + place)).collect();
            format!("({})", places.join(", "))
        };
        let rows: Vec<_> = (0..page.len()).map(row).collect();
        let mut insert = query(format!("INSERT INTO {} ({}) VALUES {}", self.name, self.names(), rows.join(", ")));
        for value in page.iter().flatten() {
            insert = insert.bind(value.clone());
        }
        insert.execute(writing).await.map(|_| ())
    }
}
