//! The outbox: effects that were decided and whose results no turn has taken in yet.

use slipway_core::names::LaneId;

use crate::dialect::{Writing, query};
use crate::error::Error;
use crate::lanes::lane;
use crate::open::{Store, bump_in};

/// An effect's place in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub i64);

/// An effect that is decided in a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEffect {
    /// Says which act it is: one that is there already is not added again.
    pub key: String,
    /// What kind of act, for people.
    pub kind: String,
    /// The act.
    pub body: serde_json::Value,
}

/// An effect in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRow {
    /// Its place.
    pub id: EffectId,
    /// Its key.
    pub key: String,
    /// Whose.
    pub lane: LaneId,
    /// The lane's generation that decided it.
    pub generation: u64,
    /// What kind of act.
    pub kind: String,
    /// The act.
    pub body: serde_json::Value,
}

impl Store {
    /// Every effect in the outbox, oldest first.
    pub async fn pending_effects(&self) -> Result<Vec<EffectRow>, Error> {
        let rows = query("SELECT id, key, service, environment, generation, kind, body FROM outbox ORDER BY id")
            .fetch_all(self.readers())
            .await?;
        rows.iter()
            .map(|row| {
                let (generation, body): (i64, String) = (row.try_get(4)?, row.try_get(6)?);
                Ok(EffectRow {
                    id: EffectId(row.try_get(0)?),
                    key: row.try_get(1)?,
                    lane: lane(row, 2)?,
                    generation: generation as u64,
                    kind: row.try_get(5)?,
                    body: serde_json::from_str(&body)?,
                })
            })
            .collect()
    }
}

/// Adds effects and takes out those whose results were taken in.
pub(crate) async fn change(
    writing: &mut Writing,
    lane: &LaneId,
    generation: u64,
    effects: Vec<NewEffect>,
    consumed: &[EffectId],
) -> Result<(), Error> {
    for id in consumed {
        query("DELETE FROM outbox WHERE id = $1").bind(id.0).execute(&mut *writing).await?;
    }
    for effect in effects {
        // Never used twice, even after everything was taken out: workers remember what they are busy with.
        let id = bump_in(writing, "effects").await?;
        query(
            "INSERT INTO outbox (id, key, service, environment, generation, kind, body) \
             VALUES ($7, $1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING",
        )
        .bind(effect.key)
        .bind(lane.service.as_str())
        .bind(lane.environment.as_str())
        .bind(generation as i64)
        .bind(effect.kind)
        .bind(effect.body.to_string())
        .bind(id as i64)
        .execute(&mut *writing)
        .await?;
    }
    Ok(())
}
