//! Connections to a server that may be away.
//!
//! Whoever asks one that is away would wait for seconds, each time: a lane is held meanwhile, and a page that shows the way
//! back asks several times. What renews the lease asks every 0.6 seconds anyway and says what came of it, after
//! two seconds or so where nobody answers; until it gets an answer again, everybody else is told at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sqlx::postgres::PgPool;

/// A pool of connections.
#[derive(Clone)]
pub(crate) struct Server {
    pool: PgPool,
    away: Arc<AtomicBool>,
    /// Whether it is asked though the server is away.
    insists: bool,
}

impl Server {
    /// The pools of one server: the one that writes, the one that reads, and the one that keeps a lease.
    pub fn of([writer, readers, lease]: [PgPool; 3]) -> [Server; 3] {
        let away = Arc::new(AtomicBool::new(false));
        let server = |pool, insists| Server { pool, away: away.clone(), insists };
        [server(writer, false), server(readers, false), server(lease, true)]
    }

    /// Whether the server has just answered.
    pub fn note(&self, answers: bool) {
        self.away.store(!answers, Relaxed);
    }

    /// The pool, to ask it something.
    pub fn asked(&self) -> Result<&PgPool, sqlx::Error> {
        if self.away.load(Relaxed) && !self.insists {
            let why = "the database does not answer at present";
            return Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, why)));
        }
        Ok(&self.pool)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
