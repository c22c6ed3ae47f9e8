//! A rollout as a document: what was planned, where it stands, how it went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::asking::Question;
use super::drilling::DrillTimes;
use super::gates::{Approval, Gate};
use super::lane::Release;
use super::plan::Plan;
use super::probing::Probes;
use crate::judge::{Judgement, Pause};
use crate::names::{RolloutId, VersionName};
use crate::spec::Strategy;
use crate::traffic::Epoch;
use crate::units::{Millis, Timestamp, Weight};

/// One release going into one environment by one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// Whether it brings something or takes something back.
    pub kind: RolloutKind,
    /// What is coming.
    pub release: Release,
    /// What served when it began.
    pub from: Option<VersionName>,
    /// How it goes in.
    pub strategy: Strategy,
    /// The steps with the undo of each, made before the first act.
    pub plan: Plan,
    /// Who asked for it.
    pub actor: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When its first step began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
    /// The step at hand, an index into the plan.
    pub step: usize,
    /// How far the step at hand is.
    pub progress: Progress,
    /// What became of each step.
    pub steps: Vec<StepRecord>,
    /// What was decided and on which numbers, oldest first.
    pub decisions: Vec<Decision>,
    /// Acting and waiting, kept apart.
    pub timing: Timing,
    /// The first stretch of evidence in which the candidate had traffic.
    pub first_epoch: Option<Epoch>,
    /// What the candidate's users met, for each stretch of evidence.
    pub exposure: BTreeMap<Epoch, Exposure>,
    /// Evidence about stable from before the switch or the first batch, where nothing can be compared at the same time.
    pub before: BTreeMap<String, crate::judge::Counts>,
    /// Times that the candidate's instances ended unasked.
    pub crashes: u32,
    /// Keys of the requests that had to do with it, oldest first, so that none of them is carried out twice.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The times of a drill.
    #[serde(default)]
    pub drill: Option<DrillTimes>,
    /// The first stretch of evidence in which probes were sent for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probed: Option<Epoch>,
    /// What became of probes, for each stretch of evidence. Synthetic, and no part of `exposure`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub probes: Probes,
    /// The same of control planes before this one: each counts from nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub probed_before: Probes,
    /// How the gates stood when it began.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Whose word it began with.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What hooks were asked before its steps.
    #[serde(default)]
    pub asked: Vec<Question>,
    /// Times that a hook was asked: no question is asked twice under one key.
    #[serde(default)]
    pub rounds: u32,
}

/// Whether a rollout brings something or takes something back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutKind {
    /// A version goes in.
    Release,
    /// An earlier version comes back after another one had succeeded.
    Rollback,
    /// The way back is taken on purpose, and the way forth again.
    Drill {
        /// The standby is stopped first, so that its instances have to be started again.
        cold: bool,
    },
    /// What only earlier versions need of the database is removed. No traffic moves.
    Contract,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// On its way.
    Running,
    /// Stopped by a person, until resumed.
    Paused {
        /// Who.
        by: String,
        /// Since when.
        since: Timestamp,
    },
    /// Needs a person.
    Held {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// On its way back.
    Undoing(Undo),
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why.
        cause: String,
    },
}

/// A way back that is being taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// Why, as a sentence.
    pub cause: String,
    /// Who: `slipway` or a person.
    pub actor: String,
    /// When it was decided.
    pub since: Timestamp,
    /// What it will be called when it is over.
    pub outcome: Outcome,
    /// A person was asked, since it takes longer than it should.
    pub asked_person: bool,
    /// A person has said that it waits for nothing that stable lacks.
    #[serde(default)]
    pub forced: bool,
}

/// How a rollout ended, or that it needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The candidate serves everybody.
    Succeeded,
    /// Stable serves everybody again.
    RolledBack,
    /// It gave way to a newer one.
    Superseded,
    /// It needs a person.
    Held,
    /// It did not begin.
    Blocked,
    /// It went wrong and there was nothing to go back to.
    Failed,
}

impl Outcome {
    /// As it is written in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::RolledBack => "rolled_back",
            Outcome::Superseded => "superseded",
            Outcome::Held => "held",
            Outcome::Blocked => "blocked",
            Outcome::Failed => "failed",
        }
    }
}

/// How far a step is. Everything that can be seen from outside is looked at afresh instead of being kept here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// When the step began.
    pub entered: Timestamp,
    /// Since when fewer instances are ready than the step needs.
    pub short_since: Option<Timestamp>,
    /// When the split was asked for.
    pub shifted: Option<Timestamp>,
    /// When every gateway had confirmed it: the step's evidence and clock begin here.
    pub confirmed: Option<Timestamp>,
    /// Times that the step began afresh, after an outage of stable.
    pub attempt: u32,
    /// The same, after gateways had been cut off.
    #[serde(default)]
    pub cut_offs: u32,
    /// Stable is, or was a moment ago, above its own objective.
    pub outage: Option<Pause>,
    /// Objectives whose judgement waits for stable's word, and since when.
    pub waiting_for_stable: BTreeMap<String, Timestamp>,
    /// Time by which the step's limit is extended, spent in outages and pauses.
    pub forgiven: Millis,
    /// A person lets the step pass without a verdict.
    pub promoted_by: Option<String>,
    /// Verification is over and the last smoke run was asked for.
    pub closing: Option<Timestamp>,
    /// Since when no gateway, or not every one, could be asked whether it serves the split.
    #[serde(default)]
    pub blind_since: Option<Timestamp>,
}

impl Progress {
    /// A step that begins.
    pub fn entered(now: Timestamp) -> Progress {
        Progress { entered: now, ..Progress::default() }
    }
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name in the plan.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// What happened, in a sentence.
    pub report: String,
    /// When it began.
    pub began_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Something is being done.
    Acting,
    /// It waits for evidence, time or a person.
    Waiting,
    /// Done.
    Done,
    /// It went wrong here.
    Failed,
    /// Never reached.
    Skipped,
}

/// Something that was decided, with the numbers that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// In which step.
    pub step: String,
    /// What: `advance`, `undo`, `hold`, `restart`, `succeed` and so on.
    pub what: String,
    /// Who decided.
    pub actor: String,
    /// Why, as a sentence.
    pub sentence: String,
    /// The judgements that it rests on.
    pub judgements: Vec<Judgement>,
    /// The candidate's share of the split that was in force; absent in what was decided before this was kept.
    #[serde(default)]
    pub weight: Option<Weight>,
}

/// Acting and waiting, kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Time spent acting on the way forward, up to `acting_since`.
    pub acted: Millis,
    /// Acting since then, if so.
    pub acting_since: Option<Timestamp>,
    /// From the decision to go back to confirmed traffic.
    pub rollback: Option<Millis>,
}

impl Timing {
    /// Notes whether the rollout is acting at `now`.
    pub fn note(&mut self, acting: bool, now: Timestamp) {
        match (self.acting_since, acting) {
            (None, true) => self.acting_since = Some(now),
            (Some(since), false) => {
                self.acted.0 += now.since(since).0;
                self.acting_since = None;
            }
            _ => {}
        }
    }

    /// Time spent acting until `now`.
    pub fn deploy(&self, now: Timestamp) -> Millis {
        Millis(self.acted.0 + self.acting_since.map_or(0, |s| now.since(s).0))
    }
}

/// What a candidate's users met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exposure {
    /// Requests that reached the candidate.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Requests of the whole service that failed by Slipway's own doing.
    pub failed_by_slipway: u64,
    /// Users among the requests that were told apart.
    #[serde(default)]
    pub users: u64,
}

impl Rollout {
    /// Whether it is over.
    pub fn ended(&self) -> Option<(Outcome, &str)> {
        match &self.state {
            State::Ended { outcome, cause } => Some((*outcome, cause)),
            _ => None,
        }
    }

    /// Exposure over all of the rollout. Who meets a stretch has mostly met the one before: of users the most in any counts.
    pub fn exposed(&self) -> Exposure {
        self.exposure.values().fold(Exposure::default(), |a, b| Exposure {
            requests: a.requests + b.requests,
            failed: a.failed + b.failed,
            failed_by_slipway: a.failed_by_slipway + b.failed_by_slipway,
            users: a.users.max(b.users),
        })
    }
}
