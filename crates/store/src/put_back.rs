//! An older database that was put back, and numbers that must not be given again.
//!
//! What an older database does not know has happened all the same: instances run under numbers that it would give anew, and
//! gateways have tables of later starts. It is found out by the newest entry of the journal, which is written down outside
//! the database: from then on numbers go on far beyond any that may have been given.

use std::sync::atomic::Ordering;

use serde_json::json;
use slipway_core::journal::{Anchor, Broken, Fact};
use slipway_core::rollout::Counters;

use crate::anchor::AnchorFile;
use crate::dialect::{Writing, query};
use crate::error::Error;
use crate::journal;
use crate::open::{Store, reach, stands};
use crate::rollouts::ROLLOUTS;

/// The last time that an older database was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutBack {
    /// The start that found it out: what earlier ones gave out may be unknown.
    pub start: u64,
    /// The entry of the journal that tells of it.
    pub entry: u64,
}

/// Why a journal cannot be accepted as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// There is nothing to accept.
    #[error("the journal is whole: there is nothing to accept")]
    Whole,
    /// Entries that are there do not fit together.
    #[error("the journal itself is broken: {0}. That cannot be accepted, and stays visible")]
    Broken(Broken),
}

/// Looks whether the database holds the newest entry that is known; where it does not, records that and leaves numbers out.
/// Returns the last time that this happened, and the newest entry from now on.
pub(crate) async fn look(
    writing: &mut Writing,
    file: &AnchorFile,
    newest: Option<Anchor>,
    start: u64,
) -> Result<(Option<PutBack>, Option<Anchor>), Error> {
    let missing = match file.newest_known() {
        Some(known) if journal::hash_of(&mut *writing, known.seq).await?.as_ref() != Some(&known.hash) => known,
        _ => return Ok((last(writing).await?, newest)),
    };
    let given = stands(writing, ROLLOUTS).await?;
    reach(writing, ROLLOUTS, Counters::left_out(given, start)).await?;
    let entry = newest.as_ref().map_or(0, |newest| newest.seq) + 1;
    query(
        "INSERT INTO identity (name, value) VALUES ('put_back', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(format!("{start} {entry}"))
    .execute(&mut *writing)
    .await?;
    let told = journal::append(writing, newest, vec![fact(&missing, entry)], journal::wall()).await?;
    Ok((Some(PutBack { start, entry }), Some(told)))
}

async fn last(writing: &mut Writing) -> Result<Option<PutBack>, Error> {
    let row = query("SELECT value FROM identity WHERE name = 'put_back'").fetch_optional(writing).await?;
    let text: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(text.and_then(|text| {
        let (start, entry) = text.split_once(' ')?;
        Some(PutBack { start: start.parse().ok()?, entry: entry.parse().ok()? })
    }))
}

fn fact(missing: &Anchor, entry: u64) -> Fact {
    let seq = missing.seq;
    Fact {
        kind: "journal.put_back".to_string(),
        lane: None,
        rollout: None,
        actor: "slipway".to_string(),
        cause: format!(
            "entry {seq} was recorded once and is not in the database as it was: an older one was put back, or entries were cut off \
             or changed. What happened since is unknown, and numbers that may have been given are left out; once somebody has \
             looked: slipway journal accept"
        ),
        evidence: json!({ "missing": { "seq": seq, "hash": missing.hash }, "goes_on_with": entry }),
    }
}

impl Store {
    /// The last time that an older database was put back.
    pub fn put_back(&self) -> Option<PutBack> {
        self.inner.put_back
    }

    /// Takes the journal as it is for the whole one from now on, and records who did and why: for whoever has put an older
    /// database back, or has looked at what was cut off.
    pub async fn accept_journal(&self, actor: &str, reason: &str) -> Result<Result<(), Unacceptable>, Error> {
        // What makes no sense is replaced, too.
        let anchor = self.inner.anchor.read();
        if anchor.is_ok() && self.verify_journal().await?.is_ok() {
            return Ok(Err(Unacceptable::Whole));
        }
        if let Err(broken) = journal::check(self.readers(), None).await? {
            return Ok(Err(Unacceptable::Broken(broken)));
        }
        let fact = Fact {
            kind: "journal.accepted".to_string(),
            lane: None,
            rollout: None,
            actor: actor.to_string(),
            cause: reason.to_string(),
            evidence: json!({ "anchor": anchor.ok().flatten().map(|Anchor { seq, hash }| json!({ "seq": seq, "hash": hash })) }),
        };
        self.append(vec![fact], journal::wall()).await?;
        let newest = journal::newest(self.readers()).await?;
        let file = self.inner.anchor.clone();
        let replaced = tokio::task::spawn_blocking(move || newest.map_or(Ok(()), |newest| file.replace(&newest)));
        replaced
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| Error::Unavailable(format!("the journal's anchor could not be written: {error}")))?;
        self.inner.anchored.store(true, Ordering::Relaxed);
        Ok(Ok(()))
    }
}
