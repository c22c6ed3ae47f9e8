//! Gates, for the wire.

use serde::{Deserialize, Serialize};
use slipway_control::views::GatesNow;
use slipway_core::rollout::{Approval, Gate, Standing};
use utoipa::ToSchema;

use super::diff::WireVersions;
use super::plan::WirePlan;

/// How the gates of a service in an environment stand, and what an approver must see.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireGates {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The release that waits; null where none does, and then the gates are those of a next one that declares the same.
    pub rollout: Option<String>,
    /// `release`, or `contract`: what only earlier versions need of the database is removed.
    #[serde(default)]
    pub kind: String,
    /// What is coming.
    pub version: String,
    /// Digest of its artifact.
    pub artifact: String,
    /// Digest of its configuration.
    pub config: String,
    /// Who asked for it; null where nobody has.
    pub asked_by: Option<String>,
    /// Why gates that block are to be passed all the same.
    #[serde(rename = "override")]
    pub overriding: Option<String>,
    /// Each gate.
    pub gates: Vec<WireGate>,
    /// Whose word it has.
    pub approvals: Vec<WireApproval>,
    /// Names of those who alone may give it; anybody with the right to approve where empty.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// Whoever asked may give it too: nobody else's is asked for.
    #[serde(default)]
    pub own_word: bool,
    /// What it would do.
    pub plan: WirePlan,
    /// What it would change of what serves; null where nothing does.
    #[serde(default)]
    pub changes: Option<WireVersions>,
    /// Who would notice that it is bad, a sentence each.
    #[serde(default)]
    pub watchers: Vec<String>,
    /// What an approval is bound to: send it back with the approval.
    pub shown: String,
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WireGate {
    /// Which.
    pub name: String,
    /// `met`, `waived`, `waiting` or `blocking`.
    pub standing: String,
    /// What was found.
    pub sentence: String,
    /// How to get it to hold.
    pub remedy: Option<String>,
}

/// One person's word.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireApproval {
    /// Whose.
    pub by: String,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// Whether it is for what is shown now, and has not expired.
    pub counts: bool,
}

/// A person's word that is given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApproval {
    /// `shown` of the gates that the person has seen.
    #[schema(value_type = String)]
    pub shown: slipway_core::names::Digest,
}

impl From<&Gate> for WireGate {
    fn from(gate: &Gate) -> WireGate {
        let standing = match gate.standing {
            Standing::Met => "met",
            Standing::Waived => "waived",
            Standing::Waiting => "waiting",
            Standing::Blocking => "blocking",
        };
        WireGate {
            name: gate.name.clone(),
            standing: standing.to_string(),
            sentence: gate.sentence.clone(),
            remedy: gate.remedy.clone(),
        }
    }
}

impl WireApproval {
    fn of(approval: &Approval, counting: &[String]) -> WireApproval {
        WireApproval { by: approval.by.clone(), at: approval.at.0, counts: counting.contains(&approval.by) }
    }
}

impl From<GatesNow> for WireGates {
    fn from(now: GatesNow) -> WireGates {
        let (asked, waiting) = (&now.asked, now.waiting);
        WireGates {
            service: now.lane.service.to_string(),
            environment: now.lane.environment.to_string(),
            rollout: waiting.then(|| asked.id.to_string()),
            kind: super::rollout::kind(asked.kind).to_string(),
            version: asked.release.version.to_string(),
            artifact: asked.release.artifact.to_string(),
            config: asked.release.config.to_string(),
            asked_by: waiting.then(|| asked.actor.clone()),
            overriding: asked.overriding.clone(),
            gates: now.gates.iter().map(WireGate::from).collect(),
            approvals: asked.approvals.iter().map(|a| WireApproval::of(a, &now.counting)).collect(),
            approvers: now.word.as_ref().map_or_else(Vec::new, |word| word.policy.from.clone()),
            own_word: now.word.as_ref().is_some_and(|word| word.own),
            shown: now.seal.to_string(),
            plan: now.plan.into(),
            changes: now.changes.map(WireVersions::from),
            watchers: now.watchers,
        }
    }
}
