//! Groups: several services released in dependency order with one plan, and one way back in reverse order.
//!
//! A group release drives ordinary rollouts, one after another, and decides nothing about how each goes: strategies,
//! gates and the judge are the members' own. [`GroupRun::advance`] looks at how the members are and says what to do
//! next, level-triggered as everything here: a restart in between is nothing special. Pure; driven by the control plane.

mod order;
mod run;

use serde::{Deserialize, Serialize};

use crate::names::{EnvironmentName, GroupName, RolloutId, ServiceName, VersionName};
use crate::rollout::Outcome;
use crate::units::Timestamp;

pub use order::{InACircle, in_order};
pub use run::{Act, MemberSeen, Standing};

/// One release of a group into one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRun {
    /// Its id: `gr-3`.
    pub id: String,
    /// The group.
    pub group: GroupName,
    /// Where to.
    pub environment: EnvironmentName,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// In the order in which they are released.
    pub members: Vec<Member>,
    /// Where it stands.
    pub state: GroupState,
}

/// One service of a group release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The service.
    pub service: ServiceName,
    /// What it is to serve.
    pub version: VersionName,
    /// What it served when the group release was planned.
    pub from: Option<VersionName>,
    /// Members that come before it.
    pub after: Vec<ServiceName>,
    /// By which strategy.
    pub strategy: String,
    /// How it is.
    pub progress: MemberProgress,
    /// Since when it is taken back: its way back has a limit.
    #[serde(default)]
    pub back_since: Option<Timestamp>,
}

/// How a member of a group release is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum MemberProgress {
    /// Its turn has not come.
    Pending,
    /// It serves the version already, and is left alone.
    Unchanged,
    /// Its rollout is asked for, or open.
    Releasing {
        /// Which, once it is known.
        rollout: Option<RolloutId>,
    },
    /// It serves the version.
    Released {
        /// By which rollout.
        rollout: RolloutId,
    },
    /// Its rollout did not succeed, or was never let in.
    Failed {
        /// Which, where there is one.
        rollout: Option<RolloutId>,
        /// Why.
        cause: String,
    },
    /// It is taken back.
    Returning {
        /// By which rollout, once it is known.
        rollout: Option<RolloutId>,
    },
    /// It serves what it served before.
    Returned {
        /// By which rollout, where one was needed.
        rollout: Option<RolloutId>,
    },
    /// It could not be taken back, and a person has to look.
    Stuck {
        /// Why.
        cause: String,
    },
}

impl MemberProgress {
    /// As it is written in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            MemberProgress::Pending => "pending",
            MemberProgress::Unchanged => "unchanged",
            MemberProgress::Releasing { .. } => "releasing",
            MemberProgress::Released { .. } => "released",
            MemberProgress::Failed { .. } => "failed",
            MemberProgress::Returning { .. } => "returning",
            MemberProgress::Returned { .. } => "returned",
            MemberProgress::Stuck { .. } => "stuck",
        }
    }

    /// The rollout that it is about.
    pub fn rollout(&self) -> Option<&RolloutId> {
        match self {
            MemberProgress::Released { rollout } => Some(rollout),
            MemberProgress::Releasing { rollout }
            | MemberProgress::Failed { rollout, .. }
            | MemberProgress::Returning { rollout }
            | MemberProgress::Returned { rollout } => rollout.as_ref(),
            MemberProgress::Pending | MemberProgress::Unchanged | MemberProgress::Stuck { .. } => None,
        }
    }
}

/// Where a group release stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum GroupState {
    /// Member after member.
    Going,
    /// Back, in reverse order.
    Returning {
        /// Why.
        cause: String,
        /// Who: `slipway` or a person.
        actor: String,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why.
        cause: String,
    },
}

impl GroupRun {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, GroupState::Ended { .. })
    }
}
