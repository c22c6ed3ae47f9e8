//! A plan, for the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_core::judge::LatencyBound;
use slipway_core::rollout::{Gate, Plan, Step};
use utoipa::ToSchema;

use super::gates::WireGate;

/// A plan.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WirePlan {
    /// The strategy.
    pub strategy: String,
    /// What is coming.
    pub version: String,
    /// What serves now.
    pub from: Option<String>,
    /// The way back.
    pub way_back: String,
    /// In order.
    pub steps: Vec<WireStep>,
    /// Instances beyond the declared number, at the most.
    pub extra_instances: u32,
    /// Names of the steps that cannot be undone.
    pub points_of_no_return: Vec<String>,
    /// How long it takes at best.
    pub best_ms: u64,
    /// How long before every limit has run out.
    pub worst_ms: u64,
    /// How long at today's traffic; absent where there is none to go by.
    pub today_ms: Option<u64>,
    /// How long going back takes.
    pub rollback: String,
    /// What a person should know.
    pub remarks: Vec<String>,
    /// Latency bounds that were taken from stable, a sentence each. They stand among the remarks as well.
    #[serde(default)]
    pub bounds: Vec<String>,
    /// How the gates before it stand.
    #[serde(default)]
    pub gates: Vec<WireGate>,
    /// It is a worker's: shares are of its instances.
    #[serde(default)]
    pub worker: bool,
}

impl WirePlan {
    /// The same with the gates before it.
    pub fn behind(self, gates: &[Gate]) -> WirePlan {
        WirePlan { gates: gates.iter().map(WireGate::from).collect(), ..self }
    }
}

/// A step of a plan.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireStep {
    /// Its name.
    pub name: String,
    /// What it does.
    pub what: String,
    /// How it is undone.
    pub undo: String,
    /// The largest share of users that meets the candidate.
    pub exposed_bp: u16,
    /// It ends by a verdict, which a person may give instead.
    #[serde(default)]
    pub judged: bool,
    /// Candidate requests that each objective's verdict needs.
    pub requests: BTreeMap<String, u64>,
    /// At best.
    pub best_ms: u64,
    /// At worst.
    pub worst_ms: u64,
    /// At today's traffic.
    pub today_ms: Option<u64>,
}

impl From<Plan> for WirePlan {
    fn from(plan: Plan) -> WirePlan {
        WirePlan {
            strategy: plan.strategy,
            version: plan.version.to_string(),
            from: plan.from.map(|v| v.to_string()),
            way_back: plan.way_back,
            steps: plan.steps.into_iter().map(WireStep::from).collect(),
            extra_instances: plan.extra_instances,
            points_of_no_return: plan.points_of_no_return,
            best_ms: plan.best.0,
            worst_ms: plan.worst.0,
            today_ms: plan.today.map(|t| t.0),
            rollback: plan.rollback,
            remarks: plan.remarks,
            bounds: plan.bounds.iter().map(LatencyBound::sentence).collect(),
            gates: Vec::new(),
            worker: plan.worker,
        }
    }
}

impl From<Step> for WireStep {
    fn from(step: Step) -> WireStep {
        WireStep {
            name: step.name,
            what: step.what,
            undo: step.undo,
            exposed_bp: step.exposed.bp(),
            judged: step.kind.is_judged(),
            requests: step.requests.into_iter().collect(),
            best_ms: step.best.0,
            worst_ms: step.worst.0,
            today_ms: step.today.map(|t| t.0),
        }
    }
}
