//! The journal's table.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use slipway_core::journal::{Anchor, Broken, Checker, Entry, Fact, GENESIS, Row as ChainRow, Verified, link};
use slipway_core::names::{EnvironmentName, RolloutId, ServiceName};
use slipway_core::units::Timestamp;
use tokio::sync::watch;

use crate::dialect::{On, Row, Writing, query};
use crate::error::{Error, text};
use crate::open::Store;

/// Rows that are read at a time while the chain is checked.
const PAGE: i64 = 200;
/// The year 3000: a time beyond it was written by somebody else, and must not carry the clock away.
const FAR_FUTURE: i64 = 32_503_680_000_000;
/// Entries that one question may return.
const MOST: u32 = 10_000;

/// Which entries are asked for. Everything that is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Of this service.
    pub service: Option<ServiceName>,
    /// In this environment.
    pub environment: Option<EnvironmentName>,
    /// Of this rollout.
    pub rollout: Option<RolloutId>,
    /// Of this kind, or of every kind that begins with it and a dot.
    pub kind: Option<String>,
    /// By this person, hook or machine.
    pub actor: Option<String>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// After this entry, oldest first.
    pub after: Option<u64>,
    /// Before this entry, newest first.
    pub before: Option<u64>,
    /// At most so many; 100 if absent.
    pub limit: Option<u32>,
}

impl Filter {
    /// What is asked of the database. Only what is given is a condition on a column, since no index serves one that may be none.
    fn statement(&self) -> String {
        let is = |given: bool, place: u32, condition: &str| match given {
            true => format!("({condition})"),
            false => format!("${place} = ''"),
        };
        let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
        let conditions = [
            is(self.service.is_some(), 1, "service = $1"),
            is(self.environment.is_some(), 2, "environment = $2"),
            is(self.rollout.is_some(), 3, "rollout = $3"),
            is(named(&self.kind), 4, "kind = $4 OR substr(kind, 1, length($4) + 1) = $4 || '.'"),
            is(named(&self.actor), 5, "actor = $5"),
            "seq > $6 AND seq < $7 AND at >= $8 AND at < $9".to_string(),
        ];
        let order = if self.after.is_some() { "ASC" } else { "DESC" };
        format!("SELECT seq, body FROM journal WHERE {} ORDER BY seq {order} LIMIT $10", conditions.join(" AND "))
    }
}

impl Store {
    /// Records facts that belong to no turn.
    pub async fn append(&self, facts: Vec<Fact>, at: Timestamp) -> Result<(), Error> {
        let mut writing = self.write().await?;
        let head = self.append_in(&mut writing, facts, at).await?;
        self.finish(writing, head).await
    }

    /// The entries that fit, oldest first if `after` is given, otherwise newest first.
    pub async fn entries(&self, filter: &Filter) -> Result<Vec<Entry>, Error> {
        let rows = query(filter.statement())
            .bind(filter.service.as_ref().map_or("", |s| s.as_str()))
            .bind(filter.environment.as_ref().map_or("", |e| e.as_str()))
            .bind(filter.rollout.as_ref().map_or("", |r| r.as_str()))
            .bind(filter.kind.as_deref().unwrap_or(""))
            .bind(filter.actor.as_deref().unwrap_or(""))
            .bind(filter.after.unwrap_or(0) as i64)
            .bind(filter.before.map_or(i64::MAX, |b| b as i64))
            .bind(filter.since.map_or(0, |at| at.0 as i64))
            .bind(filter.until.map_or(i64::MAX, |at| at.0 as i64))
            .bind(i64::from(filter.limit.unwrap_or(100).min(MOST)))
            .fetch_all(self.readers())
            .await?;
        rows.iter()
            .map(|row| {
                let seq: i64 = row.try_get(0)?;
                Ok(Entry::read(seq.max(0) as u64, &row.lossy(1)?))
            })
            .collect()
    }

    /// The number of the newest entry.
    pub fn journal_head(&self) -> u64 {
        *self.inner.head.borrow()
    }

    /// Tells whenever there are newer entries.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.head.subscribe()
    }

    /// The time of the newest entry; 0 where there is none.
    pub async fn newest_at(&self) -> Result<Timestamp, Error> {
        let row = query("SELECT COALESCE(MAX(at), 0) FROM journal WHERE at < $1")
            .bind(FAR_FUTURE)
            .fetch_one(self.readers())
            .await?;
        let at: i64 = row.try_get(0)?;
        Ok(Timestamp(at.max(0) as u64))
    }

    /// Checks the whole chain against the anchor outside the database.
    pub async fn verify_journal(&self) -> Result<Result<Verified, Broken>, Error> {
        let anchor = self.inner.anchor.read().map_err(Error::Damaged)?;
        if anchor.is_none() && self.inner.anchor.is_gone() {
            return Ok(check(self.readers(), None).await?.and(Err(Broken::Unanchored)));
        }
        check(self.readers(), anchor).await
    }

    /// Appends facts within a transaction. Returns the new head; `None` where nothing was appended.
    pub(crate) async fn append_in(
        &self,
        writing: &mut Writing,
        facts: Vec<Fact>,
        at: Timestamp,
    ) -> Result<Option<Anchor>, Error> {
        #[cfg(feature = "failpoints")]
        crate::failpoints::recording(&facts)?;
        if facts.is_empty() {
            return Ok(None);
        }
        let newest = newest(&mut *writing).await?;
        self.compare(newest.as_ref());
        append(writing, newest, facts, at).await.map(Some)
    }

    /// Whoever writes sees everything that was committed. If the newest entry is not there any more, or is another, its
    /// tail was cut off behind this process's back: the anchor is evidence from now on.
    fn compare(&self, newest: Option<&Anchor>) {
        let known = self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.as_ref() else { return };
        let intact = match newest {
            Some(newest) if newest.seq == known.seq => newest.hash == known.hash,
            Some(newest) => newest.seq > known.seq,
            None => false,
        };
        if !intact && self.inner.anchored.swap(false, Ordering::Relaxed) {
            tracing::error!(entry = known.seq, "the journal was changed around Slipway; its anchor is left as it is");
        }
    }

    /// Commits, and tells of the newest entry; both even if whoever asked is gone meanwhile.
    pub(crate) async fn finish(&self, writing: Writing, head: Option<Anchor>) -> Result<(), Error> {
        let store = self.clone();
        #[cfg(feature = "failpoints")]
        let recorded = crate::failpoints::recorded();
        let finishing = tokio::spawn(async move {
            writing.commit().await?;
            #[cfg(feature = "failpoints")]
            let told = crate::failpoints::go_by(crate::failpoints::Moment::After, &recorded);
            if let Some(head) = head {
                store.note_head(&head).await;
            }
            #[cfg(feature = "failpoints")]
            told?;
            Ok(())
        });
        finishing.await.unwrap_or_else(|error| Err(Error::Unavailable(error.to_string())))
    }

    /// Tells of the newest entry, inside and outside the database.
    async fn note_head(&self, head: &Anchor) {
        self.know(head);
        self.inner.head.send_if_modified(|known| {
            let newer = *known < head.seq;
            *known = (*known).max(head.seq);
            newer
        });
        self.write_anchor(head.clone()).await;
    }

    /// Another commit may have come in between, and told of itself first.
    fn know(&self, head: &Anchor) {
        let mut newest = self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|known| known.seq < head.seq) {
            *newest = Some(head.clone());
        }
    }

    async fn write_anchor(&self, anchor: Anchor) {
        let (file, anchored) = (self.inner.anchor.clone(), self.inner.anchored.load(Ordering::Relaxed));
        let written = tokio::task::spawn_blocking(move || match anchored {
            true => file.write(&anchor),
            false => file.write_since(&anchor),
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "the journal's anchor could not be written; it lags behind");
        }
    }

    /// Brings an anchor that lags behind up to date, if the chain goes through it; leaves it alone otherwise, now and
    /// whatever is recorded later, so that what is wrong stays visible. An anchor that is gone is recorded.
    pub(crate) async fn renew_anchor(&self) -> Result<(), Error> {
        let Ok(anchor) = self.inner.anchor.read() else { return Ok(()) };
        let newest = self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let through = match &anchor {
            None => true,
            Some(anchor) => {
                let found = hash_of(self.readers(), anchor.seq).await;
                found.is_ok_and(|hash| hash.as_ref() == Some(&anchor.hash))
            }
        };
        self.inner.anchored.store(through, Ordering::Relaxed);
        if through {
            self.inner.anchor.forget_since();
        }
        match (anchor, newest) {
            (None, Some(newest)) => self.append(vec![unanchored(&newest)], wall()).await,
            (Some(_), Some(newest)) => {
                self.write_anchor(newest).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The hash of an entry, where it is there.
pub(crate) async fn hash_of<'a>(on: impl Into<On<'a>>, seq: u64) -> Result<Option<String>, Error> {
    let row = query("SELECT hash FROM journal WHERE seq = $1").bind(seq as i64).fetch_optional(on).await?;
    row.map(|row| row.lossy(0)).transpose()
}

/// Checks a whole chain against an anchor.
pub(crate) async fn check<'a>(
    on: impl Into<On<'a>>,
    anchor: Option<Anchor>,
) -> Result<Result<Verified, Broken>, Error> {
    let mut on = on.into();
    let mut checker = Checker::new(anchor);
    let mut after = i64::MIN;
    loop {
        let rows = query(
            "SELECT seq, at, kind, service, environment, rollout, actor, body, hash FROM journal \
             WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(on.again())
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        for row in &rows {
            if let Err(broken) = checker.row(&chain_row(row)?) {
                return Ok(Err(broken));
            }
        }
    }
    Ok(checker.end())
}

fn chain_row(row: &Row) -> Result<ChainRow, Error> {
    const NAMES: [&str; 7] = ["seq", "at", "kind", "service", "environment", "rollout", "actor"];
    let mut columns = Vec::with_capacity(NAMES.len());
    for (place, name) in NAMES.into_iter().enumerate() {
        let value = match place {
            0 | 1 => row.try_get::<i64>(place)?.to_string(),
            _ => row.lossy(place)?,
        };
        columns.push((name, value));
    }
    let seq: i64 = row.try_get(0)?;
    Ok(ChainRow { seq: seq.max(0) as u64, columns, body: row.lossy(7)?, hash: row.lossy(8)? })
}

/// The newest entry, as the table has it.
pub(crate) async fn newest<'a>(on: impl Into<On<'a>>) -> Result<Option<Anchor>, Error> {
    let row = query("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetch_optional(on).await?;
    row.map(|row| Ok(Anchor { seq: row.try_get::<i64>(0)?.max(0) as u64, hash: row.lossy(1)? })).transpose()
}

/// What is recorded where there is no anchor at the start: a crash right after the very first entry, or somebody's hand.
fn unanchored(newest: &Anchor) -> Fact {
    let seq = newest.seq;
    Fact {
        kind: "journal.unanchored".to_string(),
        lane: None,
        rollout: None,
        actor: "slipway".to_string(),
        cause: format!(
            "the anchor outside the database was gone at the start: whether anything was cut off after entry {seq} cannot be told"
        ),
        evidence: serde_json::json!({ "newest": { "seq": seq, "hash": newest.hash } }),
    }
}

/// The machine's own time.
pub(crate) fn wall() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

pub(crate) async fn append(
    writing: &mut Writing,
    newest: Option<Anchor>,
    facts: Vec<Fact>,
    at: Timestamp,
) -> Result<Anchor, Error> {
    let Anchor { mut seq, mut hash } = newest.unwrap_or(Anchor { seq: 0, hash: GENESIS.to_string() });
    for mut fact in facts {
        seq += 1;
        // A column of its own must say what the body says.
        fact.actor = text(fact.actor);
        let entry = Entry { seq, at, fact };
        let body = text(entry.bytes()?);
        hash = link(&hash, &body);
        let fact = &entry.fact;
        query(
            "INSERT INTO journal (seq, at, kind, service, environment, rollout, actor, body, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(seq as i64)
        .bind(at.0 as i64)
        .bind(&fact.kind)
        .bind(fact.lane.as_ref().map_or("", |l| l.service.as_str()))
        .bind(fact.lane.as_ref().map_or("", |l| l.environment.as_str()))
        .bind(fact.rollout.as_ref().map_or("", |r| r.as_str()))
        .bind(&fact.actor)
        .bind(body)
        .bind(&hash)
        .execute(&mut *writing)
        .await?;
    }
    Ok(Anchor { seq, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_of_one_service_or_rollout_are_found_by_an_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let shop = Filter { service: Some("shop".parse().expect("a service")), ..Filter::default() };
        let before = Filter { before: Some(7), kind: Some("rollout".into()), ..shop.clone() };
        let one = Filter { rollout: Some(RolloutId::numbered(1)), after: Some(0), ..Filter::default() };
        for (filter, index) in [(shop, "journal_service"), (before, "journal_service"), (one, "journal_rollout")] {
            let sql = filter.statement();
            let explained = query(format!("EXPLAIN QUERY PLAN {sql}"));
            let explained = (0..10).fold(explained, |explained, _| explained.bind(""));
            let plan = explained.fetch_all(store.readers()).await.expect("a plan");
            let steps: Vec<String> = plan.iter().map(|row| row.try_get(3).expect("a step")).collect();
            assert!(steps.len() == 1 && steps[0].contains(index), "{sql}: {steps:?}");
        }
    }
}
