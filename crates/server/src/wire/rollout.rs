//! A rollout, for the wire: the shape that `release --json` ends with.

use serde::{Deserialize, Serialize};
use slipway_control::views::{LaneNow, RolloutNow};
use slipway_core::names::{LaneId, RolloutId};
use slipway_core::rollout::{Gate, Rollout, RolloutKind, Standing, State, StepRecord, all_probes};
use slipway_core::units::Timestamp;
use utoipa::ToSchema;

use super::explanation::{Explanation, WireDecision, WireJudgement};
use super::plan::WirePlan;

/// A rollout.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireRollout {
    /// Its id.
    pub rollout: String,
    /// `release`; `rollback` where an earlier version comes back after another one had succeeded; `drill`.
    pub kind: String,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// What is coming.
    pub version: String,
    /// What served when it began.
    pub from: Option<String>,
    /// How it goes in.
    pub strategy: String,
    /// `queued`, `running`, `paused`, `held`, `undoing` or `ended`.
    pub state: String,
    /// `succeeded`, `rolled_back`, `superseded`, `held`, `blocked` or `failed`; null while it is on its way.
    pub outcome: Option<String>,
    /// Why it ended so, or why it is held or on its way back.
    pub cause: Option<String>,
    /// Time spent acting on the way forward.
    pub deploy_ms: u64,
    /// From the decision to go back to confirmed traffic; null where it did not go back.
    pub rollback_ms: Option<u64>,
    /// Requests that the candidate got.
    pub exposed_requests: u64,
    /// Users among them that were told apart by what they are assigned by, in the step that met the most: a gateway tells the
    /// first 4,096 of a step apart, on whichever version. A client that keeps no cookie is another user at each request. 0
    /// where nobody was told apart.
    #[serde(default)]
    pub exposed_users: u64,
    /// Those of the requests that failed.
    pub failed_requests: u64,
    /// Requests of the service that failed by Slipway's own doing meanwhile.
    pub failed_by_slipway: u64,
    /// In order.
    pub steps: Vec<WireStepRecord>,
    /// What is waited for now.
    pub waiting: Option<WireWaiting>,
    /// The split, wanted and measured.
    pub split: Vec<WireShare>,
    /// What became of probes: synthetic, and no part of the requests above. Null where none were sent.
    #[serde(default)]
    pub probes: Option<WireProbes>,
    /// What the judge says at this moment.
    pub judgements: Vec<WireJudgement>,
    /// It is held until somebody says what a migration has done: `slipway migration … --settle`.
    #[serde(default)]
    pub unsettled: bool,
    /// It is a worker's: shares are of its instances, and reported outcomes stand where requests do.
    #[serde(default)]
    pub worker: bool,
}

/// Probes that Slipway sent itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireProbes {
    /// Always true.
    pub synthetic: bool,
    /// Probes that the candidate got.
    pub candidate: u64,
    /// Those that failed.
    pub candidate_failed: u64,
    /// Probes that stable got.
    pub stable: u64,
    /// Those that failed.
    pub stable_failed: u64,
}

pub(super) fn probes(rollout: &Rollout) -> Option<WireProbes> {
    all_probes(rollout).map(|all| WireProbes {
        synthetic: true,
        candidate: all.candidate,
        candidate_failed: all.candidate_failed,
        stable: all.stable,
        stable_failed: all.stable_failed,
    })
}

/// A step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireStepRecord {
    /// Its name.
    pub name: String,
    /// `pending`, `acting`, `waiting`, `done`, `failed` or `skipped`.
    pub state: String,
    /// What is said of it.
    pub report: String,
}

/// Something that is waited for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireWaiting {
    /// For what.
    pub on: String,
    /// How long yet at the most, where there is a limit.
    pub remaining_ms: Option<u64>,
}

/// A share of the traffic.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireShare {
    /// The version.
    pub version: String,
    /// As wanted, in basis points.
    pub weight_bp: u16,
    /// As counted; null where nothing was.
    pub measured_bp: Option<u16>,
}

/// A rollout in a service's history.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The rollout.
    #[serde(flatten)]
    pub rollout: WireRollout,
    /// Who asked for it.
    pub actor: String,
    /// When it began, milliseconds since 1970.
    pub began_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// From its beginning to its end on the wall.
    pub deploy_wall_ms: Option<u64>,
    /// From the decision to go back to the end on the wall.
    pub rollback_wall_ms: Option<u64>,
}

/// A rollout wherever it stands.
pub fn rollout(now: &RolloutNow) -> Option<WireRollout> {
    match now {
        RolloutNow::Queued { lane, asked, behind, gates } => Some(WireRollout {
            rollout: asked.id.to_string(),
            kind: kind(asked.kind).to_string(),
            service: lane.service.to_string(),
            environment: lane.environment.to_string(),
            version: asked.release.version.to_string(),
            from: None,
            strategy: asked.strategy.kind.name().to_string(),
            state: "queued".to_string(),
            outcome: None,
            cause: None,
            deploy_ms: 0,
            rollback_ms: None,
            exposed_requests: 0,
            exposed_users: 0,
            failed_requests: 0,
            failed_by_slipway: 0,
            steps: Vec::new(),
            waiting: waiting(gates, behind.as_ref()),
            probes: None,
            split: Vec::new(),
            judgements: Vec::new(),
            unsettled: false,
            worker: asked.release.spec.is_worker(),
        }),
        RolloutNow::Open(lane) => open_rollout(lane),
        RolloutNow::Ended(lane, rollout) => Some(bare(lane, rollout, rollout.ended_at.unwrap_or_default())),
    }
}

/// What a release that has not begun waits for: somebody's word, or another rollout.
fn waiting(gates: &[Gate], behind: Option<&RolloutId>) -> Option<WireWaiting> {
    let gate = gates.iter().find(|gate| gate.standing == Standing::Waiting);
    let word = gate.map(|gate| match &gate.remedy {
        Some(remedy) => format!("{}; {remedy}", gate.sentence),
        None => gate.sentence.clone(),
    });
    let on = word.or_else(|| behind.map(|b| format!("{b} to end")))?;
    Some(WireWaiting { on, remaining_ms: None })
}

/// Why a rollout went as it did; `None` while it is queued.
pub(crate) fn explanation(now: &RolloutNow) -> Option<Explanation> {
    let mut wire = rollout(now)?;
    let doc = match now {
        RolloutNow::Queued { .. } => return None,
        RolloutNow::Open(lane) => lane.lane.open.as_ref()?,
        RolloutNow::Ended(_, rollout) => rollout,
    };
    // Once it is over, the judgements are those that its decisions rested on.
    if wire.judgements.is_empty() {
        wire.judgements = doc.decisions.iter().flat_map(|d| &d.judgements).map(WireJudgement::from).collect();
    }
    Some(Explanation {
        rollout: wire,
        actor: doc.actor.clone(),
        began_at: doc.began_at.0,
        ended_at: doc.ended_at.map(|t| t.0),
        plan: WirePlan::from(doc.plan.clone()).behind(&doc.gates),
        decisions: doc.decisions.iter().map(WireDecision::from).collect(),
        beside: Vec::new(),
    })
}

/// The open rollout of a lane.
pub(crate) fn open_rollout(lane: &LaneNow) -> Option<WireRollout> {
    lane.lane.open.as_ref().map(|open| live(lane, open))
}

fn live(lane: &LaneNow, open: &Rollout) -> WireRollout {
    let mut wire = bare(&lane.lane.id, open, lane.at);
    if let Some(report) = &lane.report {
        wire.steps = report.steps.iter().map(WireStepRecord::from).collect();
        let waiting = report
            .waiting
            .iter()
            .map(|w| WireWaiting { on: w.on.clone(), remaining_ms: w.until.map(|until| until.since(lane.at).0) });
        // Nothing else can come before it: a step is recorded before it is taken.
        let unrecorded = lane.unrecorded.iter().map(|u| {
            let on = format!("a store that can record it ({}); a way back is still taken", u.why);
            WireWaiting { on, remaining_ms: None }
        });
        wire.waiting = unrecorded.chain(waiting).next();
        wire.judgements = report.judgements.iter().map(WireJudgement::from).collect();
    }
    wire.split = shares(lane);
    let migration = lane.lane.schema.running.as_ref();
    wire.unsettled = migration.is_some_and(|m| m.unclear.is_some() && m.rollout == open.id);
    wire
}

/// The split of a lane.
pub(super) fn shares(lane: &LaneNow) -> Vec<WireShare> {
    lane.split
        .iter()
        .map(|s| WireShare {
            version: s.version.to_string(),
            weight_bp: s.weight.bp(),
            measured_bp: s.measured.map(|m| m.bp()),
        })
        .collect()
}

/// The kind of a rollout, as it is written in the API.
pub(super) fn kind(kind: RolloutKind) -> &'static str {
    match kind {
        RolloutKind::Release => "release",
        RolloutKind::Rollback => "rollback",
        RolloutKind::Drill { .. } => "drill",
        RolloutKind::Contract => "contract",
    }
}

fn bare(lane: &LaneId, rollout: &Rollout, now: Timestamp) -> WireRollout {
    let (state, outcome, cause) = standing(&rollout.state);
    let exposed = rollout.exposed();
    WireRollout {
        rollout: rollout.id.to_string(),
        kind: kind(rollout.kind).to_string(),
        service: lane.service.to_string(),
        environment: lane.environment.to_string(),
        version: rollout.release.version.to_string(),
        from: rollout.from.as_ref().map(|v| v.to_string()),
        strategy: rollout.plan.strategy.clone(),
        state: state.to_string(),
        outcome,
        cause,
        deploy_ms: rollout.timing.deploy(now).0,
        rollback_ms: rollout.timing.rollback.map(|m| m.0),
        exposed_requests: exposed.requests,
        exposed_users: exposed.users,
        failed_requests: exposed.failed,
        failed_by_slipway: exposed.failed_by_slipway,
        steps: rollout.steps.iter().map(WireStepRecord::from).collect(),
        waiting: None,
        probes: probes(rollout),
        split: Vec::new(),
        judgements: Vec::new(),
        unsettled: false,
        worker: rollout.release.spec.is_worker(),
    }
}

fn standing(state: &State) -> (&'static str, Option<String>, Option<String>) {
    let held = || Some("held".to_string());
    let (outcome, cause) = match state {
        State::Running => (None, None),
        State::Paused { by, .. } => (None, Some(format!("paused by {by}"))),
        State::Held { reason, .. } => (held(), Some(reason.clone())),
        State::Undoing(undo) if undo.asked_person => (held(), Some(undo.cause.clone())),
        State::Undoing(undo) => (None, Some(undo.cause.clone())),
        State::Ended { outcome, cause } => (Some(outcome.as_str().to_string()), Some(cause.clone())),
    };
    (state.name(), outcome, cause)
}

impl From<&StepRecord> for WireStepRecord {
    fn from(step: &StepRecord) -> WireStepRecord {
        let state = serde_json::to_value(step.state).ok();
        let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or_default().to_string();
        WireStepRecord { name: step.name.clone(), state, report: step.report.clone() }
    }
}

/// A rollout in the history.
pub fn history_entry(lane: &LaneId, rollout: &Rollout, now: Timestamp) -> HistoryEntry {
    let undone = rollout.decisions.iter().find(|d| d.what == "undo").map(|d| d.at);
    let end = rollout.ended_at;
    HistoryEntry {
        rollout: bare(lane, rollout, end.unwrap_or(now)),
        actor: rollout.actor.clone(),
        began_at: rollout.began_at.0,
        ended_at: end.map(|t| t.0),
        deploy_wall_ms: undone.or(end).map(|t| t.since(rollout.began_at).0),
        rollback_wall_ms: undone.and_then(|u| end.map(|e| e.since(u).0)),
    }
}
