//! How a rollout begins: its plan is made from what is at that moment, and its way back is checked before any act.

use serde_json::json;

use super::advance::done;
use super::drilling;
use super::estimate::Today;
use super::gates;
use super::lane::Asked;
use super::model::{Outcome, Progress, Rollout, RolloutKind, State, StepRecord, StepState, Timing};
use super::observed::Observed;
use super::plan::{Plan, plan};
use super::rolling;
use super::schema;
use super::turn::{ENGINE, Turn};
use super::workers;
use crate::journal::Fact;
use crate::units::{Millis, Timestamp};

/// How long a rollout may wait for the one before it.
const QUEUE_LIMIT: Millis = Millis::from_secs(24 * 3600);

/// Opens the next rollout of the queue, if there is one.
pub(super) fn next(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let lane = &turn.lane;
    // What begins is recorded before anything is done of it, but for a way back.
    let may_begin = |asked: &Asked| !seen.unrecorded || asked.kind == RolloutKind::Rollback;
    let ready = |asked: &Asked| {
        may_begin(asked)
            && !gates::waits(lane, asked, now)
            && !schema::busy(lane, asked)
            && !gates::holds_contract(lane, asked, now)
    };
    let Some(place) = lane.queue.iter().position(ready) else { return };
    let mut asked = turn.lane.queue.remove(place);
    let (overriding, standing) = (asked.overriding.clone(), gates::of(&turn.lane, &asked, seen, now));
    let today = Today::of(&turn.lane, &seen.evidence);
    let plan = plan(&turn.lane, asked.kind, &asked.release, &asked.strategy, &today);
    asked.release = turn.lane.as_scaled(asked.release);
    let rollout = open(&turn.lane, asked, plan, now);
    turn.lane.unstarted.remove(&rollout.release.version);
    turn.lane.open = Some(rollout);
    let Some(open) = &turn.lane.open else { return };
    let from = open.from.as_ref().map_or_else(|| "nothing".to_string(), |v| v.to_string());
    let sentence = match open.kind {
        RolloutKind::Contract => format!("the contract of {}; way back: {}", open.release.version, open.plan.way_back),
        _ => format!(
            "{} replaces {from} by {}; way back: {}",
            open.release.version, open.plan.strategy, open.plan.way_back
        ),
    };
    let (actor, evidence) = (open.actor.clone(), json!(open.plan));
    turn.record("rollout.planned", &actor, sentence, evidence);
    if !standing.is_empty() {
        let sentence = gates::sentence(&standing);
        turn.record("gates.looked_at", ENGINE, sentence, json!({ "gates": standing }));
    }
    let mut by_gate = gates::blocked(&standing);
    if let (Some(reason), Some(blocked)) = (&overriding, &by_gate) {
        let cause = format!("{reason} (passed all the same: {blocked})");
        turn.record("gates.overridden", &actor, cause, json!({ "reason": reason, "blocked": blocked }));
        by_gate = None;
    }
    if let Some(open) = &mut turn.lane.open {
        open.gates = standing;
    }
    if let Some(blocked) = blocked(turn, seen).or(by_gate) {
        turn.record("rollout.blocked", ENGINE, blocked.clone(), json!(null));
        if let Some(open) = &mut turn.lane.open {
            open.state = State::Ended { outcome: Outcome::Blocked, cause: blocked };
        }
    }
}

pub(super) fn open(lane: &super::lane::Lane, asked: Asked, plan: Plan, now: Timestamp) -> Rollout {
    let record = |s: &super::plan::Step| StepRecord {
        name: s.name.clone(),
        state: StepState::Pending,
        report: String::new(),
        began_at: None,
        ended_at: None,
    };
    let strategy = workers::in_effect(lane, &asked.release, &asked.strategy);
    Rollout {
        id: asked.id,
        kind: asked.kind,
        release: asked.release,
        from: lane.stable_version().cloned(),
        strategy,
        steps: plan.steps.iter().map(record).collect(),
        plan,
        actor: asked.actor,
        asked_at: asked.at,
        began_at: now,
        ended_at: None,
        state: State::Running,
        step: 0,
        progress: Progress::entered(now),
        decisions: Vec::new(),
        timing: Timing::default(),
        first_epoch: None,
        exposure: Default::default(),
        before: Default::default(),
        crashes: 0,
        keys: asked.key.into_iter().collect(),
        drill: None,
        probed: None,
        probes: Default::default(),
        probed_before: Default::default(),
        gates: Vec::new(),
        approvals: asked.approvals,
        asked: Vec::new(),
        rounds: 0,
    }
}

/// Gives up on those that have waited too long for the one before them.
pub(super) fn expire(turn: &mut Turn, now: Timestamp) {
    let lane = turn.lane.clone();
    let limit = |asked: &Asked| match gates::patience(&lane, asked) {
        Some(patience) if gates::waits(&lane, asked, now) => patience,
        Some(patience) => patience.max(QUEUE_LIMIT),
        None => QUEUE_LIMIT,
    };
    let overdue = |asked: &Asked| now.since(asked.at) > limit(asked);
    for asked in turn.lane.queue.extract_if(.., |asked| overdue(asked)).collect::<Vec<_>>() {
        let plan = plan(&turn.lane, asked.kind, &asked.release, &asked.strategy, &Today::default());
        let limit = limit(&asked);
        let cause = match gates::waits(&lane, &asked, now) {
            true => format!("it was not approved within {limit}; ask again"),
            false => format!("it waited for more than {limit} behind another rollout; ask again"),
        };
        let mut rollout = open(&turn.lane, asked, plan, now);
        turn.facts.push(Fact {
            kind: "rollout.blocked".to_string(),
            lane: Some(turn.lane.id.clone()),
            rollout: Some(rollout.id.clone()),
            actor: ENGINE.to_string(),
            cause: cause.clone(),
            evidence: json!(null),
        });
        rollout.state = State::Ended { outcome: Outcome::Blocked, cause };
        rollout.ended_at = Some(now);
        turn.ended.push(rollout);
    }
    if let Some(first) = turn.lane.queue.iter().map(|asked| asked.at.plus(limit(asked))).min() {
        turn.wake(first.plus(Millis(1)));
    }
}

/// What stands against the first act.
fn blocked(turn: &Turn, seen: &Observed) -> Option<String> {
    let open = turn.lane.open.as_ref()?;
    let release = &open.release;
    if open.kind != RolloutKind::Contract && turn.lane.stable_version() == Some(&release.version) {
        return Some(format!("{} already serves {}", release.version, turn.lane.id));
    }
    // What stands by whole is gone back to without anything being started.
    let stands_by =
        open.kind == RolloutKind::Rollback && turn.lane.ready(&release.version) >= release.instances(&turn.lane.id);
    if !stands_by && !seen.artifacts.contains(&release.artifact) {
        return Some(format!(
            "the artifact of {} ({}) is not here; release it with --path",
            release.version, release.artifact
        ));
    }
    if let Some(reason) = schema::blocked(&turn.lane, open.kind, release) {
        return Some(reason);
    }
    let stable = turn.lane.stable.as_ref()?;
    if matches!(open.kind, RolloutKind::Drill { .. })
        && let Err(refusal) = drilling::way_back(&turn.lane, seen)
    {
        return Some(refusal.reason);
    }
    // A way back leaves a version for good: it is not kept from users because what fails them cannot be started again. One
    // that stops it before the other starts has nothing that serves meanwhile, and is careful all the same.
    let leaves = open.kind == RolloutKind::Rollback && !workers::replaces(open);
    // Rolling, replacing and a worker's drill give stable's instances up, and going back starts them again.
    let kept = turn.lane.ready(&stable.version) >= stable.instances(&turn.lane.id)
        && !rolling::applies(open)
        && !workers::replaces(open)
        && !workers::drills(&turn.lane, open);
    if !kept && !leaves && !seen.artifacts.contains(&stable.artifact) {
        return Some(format!(
            "no way back: the artifact of {} ({}) is not here, and its instances would have to be started",
            stable.version, stable.artifact
        ));
    }
    None
}

/// The first step: there is a way back; an older standby is given up.
pub(super) fn prepare(turn: &mut Turn, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    let (candidate, way_back) = (open.release.version.clone(), open.plan.way_back.clone());
    if matches!(open.kind, RolloutKind::Drill { .. }) {
        return drilling::stopped(turn, now) && done(turn, &way_back, now);
    }
    if let Some(standby) = turn.lane.standby.take() {
        let version = standby.release.version.clone();
        let sentence = match version == candidate {
            true => format!("{version} leaves standby to serve again"),
            false => format!("{version} is given up as standby: {candidate} comes"),
        };
        turn.record("standby.ended", ENGINE, sentence, json!({ "version": version }));
    }
    done(turn, &way_back, now)
}
