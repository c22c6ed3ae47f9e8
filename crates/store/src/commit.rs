//! A turn is kept in one transaction: the lane, what is recorded, what is to be done, and the rollouts' rows.

use std::sync::atomic::Ordering::SeqCst;

use serde::Serialize;
use slipway_core::journal::Fact;
use slipway_core::names::LaneId;
use slipway_core::units::Timestamp;

use crate::dialect::query;
use crate::error::Error;
use crate::open::Store;
use crate::outbox::{self, EffectId, NewEffect};
use crate::rollouts::{self, RolloutRecord};
use crate::samples::{self, SampleRecord};

/// What a turn decided.
#[derive(Debug)]
pub struct Commit<'a, T> {
    /// Whose turn.
    pub lane: &'a LaneId,
    /// The generation that the turn began from; 0 for a new lane.
    pub expected_generation: u64,
    /// The lane as it is from now on.
    pub doc: &'a T,
    /// For the journal, in order.
    pub facts: Vec<Fact>,
    /// To be done.
    pub effects: Vec<NewEffect>,
    /// Effects whose results the turn took in.
    pub consumed: Vec<EffectId>,
    /// Rollouts as they are now.
    pub rollouts: Vec<RolloutRecord>,
    /// What they looked like.
    pub samples: Vec<SampleRecord>,
    /// When.
    pub at: Timestamp,
}

/// A turn that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The lane's generation from now on.
    pub generation: u64,
    /// The newest entry of the journal.
    pub head: u64,
}

impl Store {
    /// Keeps what a turn decided, all of it or nothing. [`Error::Conflict`] where the lane is not what it was.
    pub async fn commit<T: Serialize>(&self, commit: Commit<'_, T>) -> Result<Committed, Error> {
        let doc = serde_json::to_string(commit.doc)?;
        let generation = commit.expected_generation + 1;
        let mut writing = self.write().await?;
        let lane = commit.lane;
        let statement = match commit.expected_generation {
            0 => {
                "INSERT INTO lanes (generation, doc, service, environment) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (service, environment) DO NOTHING"
            }
            _ => {
                "UPDATE lanes SET generation = $1, doc = $2 WHERE service = $3 AND environment = $4 AND generation = $5"
            }
        };
        let mut query = query(statement)
            .bind(generation as i64)
            .bind(doc)
            .bind(lane.service.as_str())
            .bind(lane.environment.as_str());
        if commit.expected_generation > 0 {
            query = query.bind(commit.expected_generation as i64);
        }
        if query.execute(&mut writing).await? != 1 {
            return Err(Error::Conflict { lane: lane.clone() });
        }
        outbox::change(&mut writing, lane, generation, commit.effects, &commit.consumed).await?;
        for record in &commit.rollouts {
            rollouts::keep(&mut writing, record).await?;
        }
        for sample in &commit.samples {
            samples::add(&mut writing, sample).await?;
        }
        if commit.rollouts.iter().any(|record| record.ended_at.is_some()) {
            samples::give_up_old(&mut writing, lane).await?;
        }
        let counted = self.count_rollouts(&mut writing).await?;
        let head = self.append_in(&mut writing, commit.facts, commit.at).await?;
        let seq = head.as_ref().map(|head| head.seq);
        self.finish(writing, head).await?;
        if let Some(counted) = counted {
            self.inner.counted_rollout.fetch_max(counted, SeqCst);
        }
        Ok(Committed { generation, head: seq.unwrap_or_else(|| self.journal_head()) })
    }
}
