//! Groups, for the wire.

use serde::{Deserialize, Serialize};
use slipway_control::{GroupMemberRequest, GroupRequest, PlannedMember};
use slipway_core::group::{GroupRun, GroupState, Member, MemberProgress};
use slipway_core::names::{EnvironmentName, GroupName, ServiceName};
use utoipa::ToSchema;

use super::plan::WirePlan;
use super::release::NewRelease;

/// A release of a group that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroupRelease {
    /// Where to.
    #[schema(value_type = String)]
    pub environment: EnvironmentName,
    /// Its services, 1 to 50, as they are declared.
    pub services: Vec<NewGroupMember>,
}

/// A service of a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroupMember {
    /// What is asked for; its environment is the group's.
    pub release: NewRelease,
    /// Services of the group that are released before it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub after: Vec<ServiceName>,
}

impl NewGroupRelease {
    /// The same for the control plane.
    pub fn request(self, group: GroupName) -> GroupRequest {
        let member = |new: NewGroupMember| GroupMemberRequest { request: new.release.into(), after: new.after };
        GroupRequest { group, environment: self.environment, members: self.services.into_iter().map(member).collect() }
    }
}

/// What a group release would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireGroupPlan {
    /// The group.
    pub group: String,
    /// Where to.
    pub environment: String,
    /// In the order in which they are released; the way back has the reverse order.
    pub services: Vec<WirePlannedMember>,
    /// How long all of it takes at best.
    pub best_ms: u64,
    /// How long before every limit has run out.
    pub worst_ms: u64,
}

/// A service of a group as it would be released.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WirePlannedMember {
    /// The service.
    pub service: String,
    /// Services of the group that come before it.
    pub after: Vec<String>,
    /// It serves the version already, and is left alone.
    pub unchanged: bool,
    /// Its plan, with its gates as they will stand by then.
    pub plan: WirePlan,
}

impl WireGroupPlan {
    /// What was planned.
    pub fn new(group: String, environment: String, members: Vec<PlannedMember>) -> WireGroupPlan {
        let services: Vec<WirePlannedMember> = members
            .into_iter()
            .map(|member| WirePlannedMember {
                service: member.service.to_string(),
                after: member.after.iter().map(ToString::to_string).collect(),
                unchanged: member.unchanged,
                plan: WirePlan::from(member.plan).behind(&member.gates),
            })
            .collect();
        let changing = || services.iter().filter(|member| !member.unchanged);
        WireGroupPlan {
            group,
            environment,
            best_ms: changing().map(|member| member.plan.best_ms).sum(),
            worst_ms: changing().map(|member| member.plan.worst_ms).sum(),
            services,
        }
    }
}

/// A release of a group as it stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireGroupRun {
    /// Its id: `gr-3`.
    pub id: String,
    /// The group.
    pub group: String,
    /// Where to.
    pub environment: String,
    /// Who asked for it.
    pub actor: String,
    /// When, milliseconds since 1970.
    pub asked_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// `going`, `returning` or `ended`.
    pub state: String,
    /// `succeeded`, `rolled_back` or `held` (it needs a person); null while it goes on.
    pub outcome: Option<String>,
    /// Why it ended as it did, or returns.
    pub cause: Option<String>,
    /// In the order in which they are released.
    pub services: Vec<WireGroupMember>,
}

/// A service of a group release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireGroupMember {
    /// The service.
    pub service: String,
    /// What it is to serve.
    pub version: String,
    /// What it served when the release was planned.
    pub from: Option<String>,
    /// Services of the group that come before it.
    pub after: Vec<String>,
    /// By which strategy.
    pub strategy: String,
    /// `pending`, `unchanged`, `releasing`, `released`, `failed`, `returning`, `returned` or `stuck`.
    pub progress: String,
    /// The rollout that this is about.
    pub rollout: Option<String>,
    /// Why, where it failed or is stuck.
    pub cause: Option<String>,
}

impl From<&GroupRun> for WireGroupRun {
    fn from(run: &GroupRun) -> WireGroupRun {
        let (state, outcome, cause) = match &run.state {
            GroupState::Going => ("going", None, None),
            GroupState::Returning { cause, .. } => ("returning", None, Some(cause.clone())),
            GroupState::Ended { outcome, cause } => ("ended", Some(outcome.as_str().to_string()), Some(cause.clone())),
        };
        WireGroupRun {
            id: run.id.clone(),
            group: run.group.to_string(),
            environment: run.environment.to_string(),
            actor: run.actor.clone(),
            asked_at: run.asked_at.0,
            ended_at: run.ended_at.map(|t| t.0),
            state: state.to_string(),
            outcome,
            cause,
            services: run.members.iter().map(WireGroupMember::from).collect(),
        }
    }
}

impl From<&Member> for WireGroupMember {
    fn from(member: &Member) -> WireGroupMember {
        WireGroupMember {
            service: member.service.to_string(),
            version: member.version.to_string(),
            from: member.from.as_ref().map(|v| v.to_string()),
            after: member.after.iter().map(ToString::to_string).collect(),
            strategy: member.strategy.clone(),
            progress: member.progress.as_str().to_string(),
            rollout: member.progress.rollout().map(|r| r.to_string()),
            cause: match &member.progress {
                MemberProgress::Failed { cause, .. } | MemberProgress::Stuck { cause } => Some(cause.clone()),
                _ => None,
            },
        }
    }
}
