//! What a turn asks others to do. Every effect carries a key that says which act it is, so that carrying it out
//! twice is carrying it out once.

use serde::{Deserialize, Serialize};

use crate::hook::{Answer, Message};
use crate::instance::{InstanceSpec, TargetError};
use crate::job::{Job, JobEnd};
use crate::names::InstanceId;
use crate::smoke::SmokeReport;
use crate::spec::{Hook, SmokeTest};
use crate::units::Timestamp;

/// An act on the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Start an instance.
    Start {
        /// What.
        spec: Box<InstanceSpec>,
    },
    /// Stop an instance and all that it started.
    Stop {
        /// Which.
        instance: InstanceId,
    },
    /// Run the smoke tests against one incarnation of an instance.
    Smoke {
        /// Which.
        instance: InstanceId,
        /// Which start of it.
        incarnation: u32,
        /// 1 for the first run against it.
        round: u32,
        /// The tests.
        tests: Vec<SmokeTest>,
    },
    /// Run a command once.
    Run {
        /// Which.
        job: Box<Job>,
    },
    /// Ask a hook.
    Ask {
        /// The act.
        key: String,
        /// Whom.
        hook: Box<Hook>,
        /// What.
        message: Box<Message>,
        /// When its time is over.
        until: Timestamp,
    },
}

impl Effect {
    /// What makes this act the same act when it is asked for again. Instance ids are never used twice, so they stand
    /// for rollout, generation and step.
    pub fn key(&self) -> String {
        match self {
            Effect::Start { spec } => format!("start/{}", spec.id),
            Effect::Stop { instance } => format!("stop/{instance}"),
            Effect::Smoke { instance, incarnation, round, .. } => format!("smoke/{instance}/{incarnation}/{round}"),
            Effect::Run { job } => format!("run/{}", job.id),
            Effect::Ask { key, .. } => key.clone(),
        }
    }
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "came_of", rename_all = "snake_case")]
pub enum EffectResult {
    /// The instance is supervised.
    Started {
        /// Which.
        instance: InstanceId,
    },
    /// It can never be started.
    NotStarted {
        /// Which.
        instance: InstanceId,
        /// Why.
        error: TargetError,
    },
    /// Nothing of it runs any more.
    Stopped {
        /// Which.
        instance: InstanceId,
        /// It did not end by itself within its grace.
        #[serde(default)]
        killed: bool,
    },
    /// The tests were run.
    Smoked {
        /// What they showed.
        report: SmokeReport,
        /// Which run it was.
        round: u32,
    },
    /// The command has ended, or it is not known whether it has.
    Ran {
        /// Which job.
        job: String,
        /// What became of it.
        end: JobEnd,
    },
    /// The hook has answered, or its time is over.
    Answered {
        /// Which asking of it.
        key: String,
        /// Its answer, or why there is none.
        answer: Result<Answer, String>,
    },
}

impl EffectResult {
    /// The instance that it says something of.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            EffectResult::Started { instance }
            | EffectResult::NotStarted { instance, .. }
            | EffectResult::Stopped { instance, .. } => Some(instance),
            EffectResult::Smoked { report, .. } => Some(&report.instance),
            EffectResult::Ran { .. } | EffectResult::Answered { .. } => None,
        }
    }
}
