//! Why something could not be kept or read.

use slipway_core::names::{LaneId, ServiceName, VersionName};

use crate::dialect;

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data folder.
    #[error("the data folder {folder} is in use by process {pid}; stop it first or choose another folder with --data")]
    InUse {
        /// The folder.
        folder: String,
        /// Who has it.
        pid: String,
    },
    /// The data was written by a newer Slipway.
    #[error("the data was written by a newer Slipway (schema {found}; this one knows {known}): install that one")]
    Newer {
        /// What was found.
        found: String,
        /// The newest that is known.
        known: &'static str,
    },
    /// Somebody else wrote in between.
    #[error("{lane} was changed in between")]
    Conflict {
        /// The lane.
        lane: LaneId,
    },
    /// The version stands for something else.
    #[error("version {version} of {service} stands for another {what}; a version never changes: choose a new one")]
    VersionTaken {
        /// Whose.
        service: ServiceName,
        /// Which.
        version: VersionName,
        /// Artifact or configuration.
        what: &'static str,
    },
    /// The same idempotency key came with another request.
    #[error("idempotency key {0:?} was used for another request")]
    KeyReused(String),
    /// It cannot be written or read at present: the disk is full, the database is locked or gone.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// The database is not one that everything can be kept in.
    #[error("the database cannot be used: {0}")]
    Unfit(String),
    /// The store was moved to another database.
    #[error("this store was moved to {to}: start with --database and that address")]
    Moved {
        /// Where to.
        to: String,
    },
    /// The data folder has its store in a database on a server.
    #[error(
        "the store of the data folder {folder} is in a database on a server: start with --database and its address, or choose another folder with --data"
    )]
    OnServer {
        /// Which.
        folder: String,
    },
    /// Another control plane drives this store by now: nothing more can be written by this one.
    #[error("another control plane has taken over (start {by}; this one is {own}): nothing was written")]
    Fenced {
        /// The number of its start.
        by: u64,
        /// The number of this one's.
        own: u64,
    },
    /// Something was kept that cannot be understood.
    #[error("what the store holds cannot be understood: {0}")]
    Damaged(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        match error {
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                Error::Damaged(error.to_string())
            }
            sqlx::Error::Configuration(error) => Error::Unfit(error.to_string()),
            sqlx::Error::PoolTimedOut => {
                Error::Unavailable("the database does not answer: no connection to it could be had in time".to_string())
            }
            sqlx::Error::Database(error) => dialect::meaning(error.as_ref()),
            other => Error::Unavailable(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Damaged(error.to_string())
    }
}

impl From<slipway_core::names::InvalidName> for Error {
    fn from(error: slipway_core::names::InvalidName) -> Error {
        Error::Damaged(error.to_string())
    }
}

/// What a text column must not hold: PostgreSQL has no NUL in text.
pub(crate) fn text(value: String) -> String {
    match value.contains('\0') {
        false => value,
        true => value.replace('\0', "\u{fffd}"),
    }
}
