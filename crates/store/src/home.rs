//! The data folder that a database belongs to. Instances, artifacts and the gateway are in a folder, so that the control
//! planes that share a database must share the folder as well: one of another folder would find nothing of what runs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::dialect::{self, Pool, Writing, query};
use crate::environments::chance;
use crate::error::Error;

/// Where the id is kept: only in folders that belong to a database on a server.
const FILE: &str = "home";

/// The id of a data folder.
#[derive(Debug)]
pub(crate) struct Home {
    id: String,
    shown: String,
}

impl Home {
    /// The id of this folder, made where it has none.
    pub fn of(folder: &Path) -> Result<Home, Error> {
        let path = folder.join(FILE);
        let broken = |e: std::io::Error| Error::Unavailable(format!("{}: {e}", path.display()));
        let fresh = folder.join(format!("home.{}", std::process::id()));
        if !path.exists() {
            let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh);
            let made = file.as_mut().map_err(|e| std::io::Error::new(e.kind(), e.to_string()));
            made.and_then(|file| write!(file, "{:016x}", chance()).and_then(|()| file.sync_all())).map_err(broken)?;
            // The first of two that start at the same time has made it.
            let linked = std::fs::hard_link(&fresh, &path);
            let _ = std::fs::remove_file(&fresh);
            match linked {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(broken(e)),
                _ => {}
            }
        }
        let id = std::fs::read_to_string(&path).map_err(broken)?.trim().to_string();
        Ok(Home { id, shown: folder.display().to_string() })
    }

    /// Refuses a database of another folder.
    pub async fn check(&self, pool: &Pool) -> Result<(), Error> {
        let row = query("SELECT value FROM identity WHERE name = 'home'").fetch_optional(pool).await?;
        let Some(row) = row else { return Ok(()) };
        self.compare(row.try_get(0)?)
    }

    /// Makes the database this folder's, if it is nobody's.
    pub async fn settle(&self, writing: &mut Writing) -> Result<(), Error> {
        query("INSERT INTO identity (name, value) VALUES ('home', $1) ON CONFLICT (name) DO NOTHING")
            .bind(format!("{} {}", self.id, self.shown))
            .execute(&mut *writing)
            .await?;
        let row = query("SELECT value FROM identity WHERE name = 'home'").fetch_one(writing).await?;
        self.compare(row.try_get(0)?)
    }

    fn compare(&self, home: String) -> Result<(), Error> {
        let (id, shown) = home.split_once(' ').unwrap_or((&home, ""));
        match id == self.id {
            true => Ok(()),
            false => Err(Error::Unfit(format!(
                "it belongs to the data folder {shown}: name that folder with --data, or another database with --database"
            ))),
        }
    }
}

/// Refuses a second store in a folder that belongs to a database on a server.
pub(crate) fn refuse_shared(folder: &Path) -> Result<(), Error> {
    match folder.join(FILE).exists() {
        true => Err(Error::OnServer { folder: folder.display().to_string() }),
        false => Ok(()),
    }
}

/// Refuses to leave a database in the folder behind, unless it was moved.
pub(crate) async fn refuse_embedded(folder: &Path) -> Result<(), Error> {
    let (writer, readers) = dialect::open_file(&folder.join("slipway.db")).await?;
    let mut writing = writer.write().await?;
    let row = query("SELECT name FROM identity WHERE name = 'moved'").fetch_optional(&mut writing).await;
    drop(writing);
    writer.close().await;
    readers.close().await;
    match row {
        Ok(Some(_)) => Ok(()),
        _ => Err(Error::Unfit(format!(
            "the data folder {} has a database of its own: bring it over with slipway store move --to, or choose another folder with --data",
            folder.display()
        ))),
    }
}
