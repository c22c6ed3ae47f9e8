//! Hooks: how far each of them was told of the journal. The journal is what is to be told, so an event and the state that
//! it tells of are kept in one transaction; a hook has only a place in it.

use std::fmt;

use slipway_core::journal::{Entry, Fact};
use slipway_core::names::{EnvironmentName, LaneId, RolloutId};
use slipway_core::units::Timestamp;

use crate::dialect::{Row, Writing, query};
use crate::error::Error;
use crate::lanes::lane;
use crate::open::Store;

/// Who has a hook, and so which entries it is told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    /// A lane: its entries.
    Lane(LaneId),
    /// An environment, by its file: the entries that belong to no service.
    Environment(EnvironmentName),
}

impl Whose {
    /// The columns `service` and `environment` of the hook's row; an environment's has no service.
    fn columns(&self) -> (&str, &str) {
        match self {
            Whose::Lane(lane) => (lane.service.as_str(), lane.environment.as_str()),
            Whose::Environment(environment) => ("", environment.as_str()),
        }
    }

    /// The same columns of the entries that it is told of.
    fn entries(&self) -> (&str, &str) {
        match self {
            Whose::Lane(_) => self.columns(),
            Whose::Environment(_) => ("", ""),
        }
    }

    /// The lane, where it is one.
    pub fn lane(&self) -> Option<&LaneId> {
        match self {
            Whose::Lane(lane) => Some(lane),
            Whose::Environment(_) => None,
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose::Lane(lane) => lane.fmt(f),
            Whose::Environment(environment) => environment.fmt(f),
        }
    }
}

/// Whose hook, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HookId {
    /// Whose.
    pub whose: Whose,
    /// Its name.
    pub name: String,
}

/// A hook and how far it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct HookRow {
    /// Which.
    pub id: HookId,
    /// The hook as it is declared.
    pub doc: serde_json::Value,
    /// The last entry that it was told of, or did not want.
    pub told: u64,
    /// The newest entry when it was withdrawn, up to which it is told; absent while it is declared.
    pub withdrawn_at: Option<u64>,
    /// Attempts at the entry at hand, all of them failed.
    pub attempts: u64,
    /// When the next attempt may be made.
    pub next_at: Timestamp,
    /// Since when it could not be told; absent where the last attempt worked.
    pub failing_since: Option<Timestamp>,
    /// Why the last attempt failed.
    pub why: String,
    /// When it took the last event in; absent where it never has.
    pub last_at: Option<Timestamp>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It has taken the entry in.
    Taken {
        /// Which.
        seq: u64,
    },
    /// It does not want the entries up to this one.
    Unwanted {
        /// Which.
        seq: u64,
    },
    /// It could not be told, and will be tried again.
    Failed {
        /// So many attempts so far.
        attempts: u64,
        /// When the next one may be made.
        next_at: Timestamp,
        /// Why.
        why: String,
    },
    /// It could not be told, and is not tried again.
    LeftOut {
        /// Which.
        seq: u64,
    },
}

/// Hooks by their names, each as it is declared.
pub type Hooks = Vec<(String, serde_json::Value)>;

/// Nothing, in a column that has no place for it.
const NONE: i64 = 0;

impl Store {
    /// Makes `hooks` those of a lane, and withdraws the others. A new one is told from the beginning of `rollout`, which
    /// brought it, or from now on.
    pub async fn declare_hooks(&self, lane: &LaneId, hooks: Hooks, rollout: Option<&RolloutId>) -> Result<(), Error> {
        let mut writing = self.write().await?;
        let (head, begin) = places(&mut writing, rollout).await?;
        declare(&mut writing, &Whose::Lane(lane.clone()), hooks, begin, head).await?;
        self.finish(writing, None).await
    }

    /// Makes `hooks` known as withdrawn already: a rollout that is over brought them, and they are told of it. Those that
    /// are known stay as they are.
    pub async fn pass_hooks(&self, lane: &LaneId, hooks: Hooks, rollout: &RolloutId) -> Result<(), Error> {
        let mut writing = self.write().await?;
        let (head, begin) = places(&mut writing, Some(rollout)).await?;
        for hook in hooks {
            insert(&mut writing, &Whose::Lane(lane.clone()), hook, begin, head, "DO NOTHING").await?;
        }
        self.finish(writing, None).await
    }

    /// Every hook, withdrawn ones that are still told included.
    pub async fn hooks(&self) -> Result<Vec<HookRow>, Error> {
        let rows = query(
            "SELECT service, environment, name, doc, told, withdrawn_at, attempts, next_at, failing_since, why, last_at \
             FROM hooks ORDER BY service, environment, name",
        )
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// One hook.
    pub async fn hook(&self, id: &HookId) -> Result<Option<HookRow>, Error> {
        let row = query(
            "SELECT service, environment, name, doc, told, withdrawn_at, attempts, next_at, failing_since, why, last_at \
             FROM hooks WHERE service = $1 AND environment = $2 AND name = $3",
        )
        .bind(id.whose.columns().0)
        .bind(id.whose.columns().1)
        .bind(&id.name)
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Entries that somebody's hooks are told of, after `after`, up to `until` where that is given, oldest first, each with
    /// its hash.
    pub async fn chained(
        &self,
        whose: &Whose,
        after: u64,
        until: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(Entry, String)>, Error> {
        let rows = query(
            "SELECT seq, body, hash FROM journal WHERE service = $1 AND environment = $2 AND seq > $3 AND seq <= $4 \
             ORDER BY seq LIMIT $5",
        )
        .bind(whose.entries().0)
        .bind(whose.entries().1)
        .bind(after as i64)
        .bind(until.map_or(i64::MAX, |until| until as i64))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let (seq, body): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                Ok((Entry::read(seq.max(0) as u64, &body), row.try_get(2)?))
            })
            .collect()
    }

    /// Keeps what came of an attempt, and what is to be recorded of it.
    pub async fn note_told(&self, id: &HookId, told: &Told, facts: Vec<Fact>, now: Timestamp) -> Result<(), Error> {
        let mut writing = self.write().await?;
        let of = "WHERE service = $1 AND environment = $2 AND name = $3";
        let statement = match told {
            Told::Taken { .. } => "told = $4, attempts = 0, next_at = 0, failing_since = 0, why = '', last_at = $5",
            Told::Unwanted { .. } => "told = $4",
            Told::LeftOut { .. } => "told = $4, attempts = 0",
            Told::Failed { .. } => {
                "attempts = $4, next_at = $6, why = $7, \
                 failing_since = CASE failing_since WHEN 0 THEN $5 ELSE failing_since END"
            }
        };
        let number = match told {
            Told::Taken { seq } | Told::Unwanted { seq } | Told::LeftOut { seq } => *seq,
            Told::Failed { attempts, .. } => *attempts,
        };
        let sql = format!("UPDATE hooks SET {statement} {of}");
        let mut update =
            query(sql).bind(id.whose.columns().0).bind(id.whose.columns().1).bind(&id.name).bind(number as i64);
        if matches!(told, Told::Taken { .. } | Told::Failed { .. }) {
            update = update.bind(now.0 as i64);
        }
        if let Told::Failed { next_at, why, .. } = told {
            update = update.bind(next_at.0 as i64).bind(why.clone());
        }
        update.execute(&mut writing).await?;
        let head = self.append_in(&mut writing, facts, now).await?;
        self.finish(writing, head).await
    }

    /// Forgets a hook that was withdrawn and has been told everything.
    pub async fn forget_hook(&self, id: &HookId) -> Result<(), Error> {
        let mut writing = self.write().await?;
        query("DELETE FROM hooks WHERE service = $1 AND environment = $2 AND name = $3 AND withdrawn_at <> 0")
            .bind(id.whose.columns().0)
            .bind(id.whose.columns().1)
            .bind(&id.name)
            .execute(&mut writing)
            .await?;
        self.finish(writing, None).await
    }
}

/// The newest entry, and the one before the first of `rollout`; the newest as well where it has none.
pub(crate) async fn places(writing: &mut Writing, rollout: Option<&RolloutId>) -> Result<(i64, i64), Error> {
    let row = query(
        "SELECT COALESCE(MAX(seq), 0), COALESCE((SELECT MIN(seq) - 1 FROM journal WHERE rollout = $1), MAX(seq), 0) \
         FROM journal",
    )
    .bind(rollout.map_or("-", |rollout| rollout.as_str()))
    .fetch_one(&mut *writing)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Makes `hooks` somebody's, and withdraws the others at `head`. A new one is told from `begin` on.
pub(crate) async fn declare(
    writing: &mut Writing,
    whose: &Whose,
    hooks: Hooks,
    begin: i64,
    head: i64,
) -> Result<(), Error> {
    query("UPDATE hooks SET withdrawn_at = $3 WHERE service = $1 AND environment = $2 AND withdrawn_at = 0")
        .bind(whose.columns().0)
        .bind(whose.columns().1)
        .bind(head)
        .execute(&mut *writing)
        .await?;
    let again = "DO UPDATE SET doc = excluded.doc, withdrawn_at = 0, next_at = 0";
    for hook in hooks {
        insert(writing, whose, hook, begin, NONE, again).await?;
    }
    Ok(())
}

async fn insert(
    writing: &mut Writing,
    whose: &Whose,
    (name, doc): (String, serde_json::Value),
    begin: i64,
    withdrawn_at: i64,
    known: &str,
) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO hooks (service, environment, name, doc, told, withdrawn_at, attempts, next_at, failing_since, \
         why, last_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, '', 0) ON CONFLICT (service, environment, name) {known}"
    );
    query(sql)
        .bind(whose.columns().0)
        .bind(whose.columns().1)
        .bind(name)
        .bind(doc.to_string())
        .bind(begin)
        .bind(withdrawn_at)
        .execute(&mut *writing)
        .await?;
    Ok(())
}

fn whose(row: &Row) -> Result<Whose, Error> {
    match row.try_get::<String>(0)?.as_str() {
        "" => Ok(Whose::Environment(row.try_get::<String>(1)?.parse()?)),
        _ => Ok(Whose::Lane(lane(row, 0)?)),
    }
}

fn read(row: &Row) -> Result<HookRow, Error> {
    let doc: String = row.try_get(3)?;
    let number = |at: usize| row.try_get::<i64>(at);
    let optional = |at: usize| number(at).map(|value| (value != NONE).then_some(value as u64));
    Ok(HookRow {
        id: HookId { whose: whose(row)?, name: row.try_get(2)? },
        doc: serde_json::from_str(&doc)?,
        told: number(4)? as u64,
        withdrawn_at: optional(5)?,
        attempts: number(6)? as u64,
        next_at: Timestamp(number(7)? as u64),
        failing_since: optional(8)?.map(Timestamp),
        why: row.try_get(9)?,
        last_at: optional(10)?.map(Timestamp),
    })
}
