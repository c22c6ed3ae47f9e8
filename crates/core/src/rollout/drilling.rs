//! Drills: the real way back, taken on purpose and timed, and the way forth again.
//!
//! A drill is a rollout of stable's predecessor that ends where it began. Until the switch back nothing differs from a
//! rollback; stable keeps its full capacity all the while, so going forth again is one routing change, and the lease of
//! the split brings the traffic home if the control plane dies. (What a worker's stable does meanwhile is in `workers`.)
//! Called by the planner, by the command and by gates.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::advance::{decide, done};
use super::commands::{Refusal, refuse};
use super::estimate::start_limit;
use super::lane::{Lane, Release, Standby};
use super::lately::Return;
use super::model::{Outcome, Progress, Rollout, RolloutKind, State, StepRecord, StepState};
use super::observed::Observed;
use super::outage::restart_step;
use super::plan::{Step, StepKind};
use super::schema;
use super::turn::{ENGINE, Turn};
use super::undo;
use super::workers;
use crate::judge::{self, Stability};
use crate::names::{RolloutId, VersionName};
use crate::units::{Millis, Timestamp};

/// The times of a drill while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillTimes {
    /// From the decision to go back to confirmed traffic, starts included.
    pub back: Option<Millis>,
    /// From the decision to return to confirmed traffic.
    pub forth: Option<Millis>,
    /// Until when the predecessor would have stood by, had a cold drill not stopped it.
    pub standby_until: Option<Timestamp>,
}

/// A lane's last drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drilled {
    /// The rollout.
    pub rollout: RolloutId,
    /// When it ended.
    pub at: Timestamp,
    /// What it went back to.
    pub to: VersionName,
    /// Whether the instances had to be started for it.
    pub cold: bool,
    /// Both switches were confirmed, and the predecessor served well in between.
    pub passed: bool,
    /// How it ended, in a sentence.
    pub cause: String,
    /// From the decision to go back to confirmed traffic.
    pub back: Option<Millis>,
    /// From the decision to return to confirmed traffic.
    pub forth: Option<Millis>,
    /// How long the last deployment before it had acted.
    pub deployment: Option<Millis>,
}

impl Drilled {
    /// Whether going back took longer than the deployment by more than a tenth and a second.
    pub fn slower(&self) -> bool {
        match (self.back, self.deployment) {
            (Some(back), Some(deployment)) => back.0 > deployment.0 + deployment.0 / 10 + 1_000,
            _ => false,
        }
    }
}

/// What stands against a drill of `lane` now; otherwise the release that it would go back to.
pub fn drillable(lane: &Lane, seen: &Observed) -> Result<Release, Refusal> {
    if let Some(open) = &lane.open {
        return refuse("rollout_open", format!("{} is open: a drill waits for nobody; ask when it is over", open.id));
    }
    // A contract waits for somebody's word, perhaps for days, and harms no drill meanwhile.
    if let Some(asked) = lane.queue.iter().find(|asked| asked.kind != RolloutKind::Contract) {
        return refuse("rollout_open", format!("{} is waiting: ask for a drill when it is over", asked.id));
    }
    if let Some(incident) = &lane.watching.incident {
        return refuse("outage", format!("incident {} is open: no drill meanwhile", incident.number));
    }
    way_back(lane, seen)?;
    match &lane.predecessor {
        Some(predecessor) => Ok(predecessor.clone()),
        None => refuse("nothing_to_drill", format!("{} has no predecessor to go back to", lane.id)),
    }
}

/// Whether the way back could be taken without harming anybody.
pub(super) fn way_back(lane: &Lane, seen: &Observed) -> Result<(), Refusal> {
    let (Some(stable), Some(predecessor)) = (&lane.stable, &lane.predecessor) else {
        return refuse(
            "nothing_to_drill",
            format!("{} has nothing to go back to yet: the way back can be practised after the next release", lane.id),
        );
    };
    if let Err(why) = schema::fits_back(lane, predecessor) {
        return refuse("nothing_to_drill", why);
    }
    if let Some(why) = workers::undrillable(lane, predecessor) {
        return refuse("nothing_to_drill", why);
    }
    if !seen.artifacts.contains(&predecessor.artifact) {
        return refuse(
            "nothing_to_drill",
            format!("the artifact of {} ({}) is not here any more", predecessor.version, predecessor.artifact),
        );
    }
    let (ready, declared) = (lane.ready(&stable.version), stable.instances(&lane.id));
    if ready < declared {
        return refuse(
            "outage",
            format!("only {ready} of {declared} instances of {} are ready: no drill in an outage", stable.version),
        );
    }
    let above = stable.spec.objectives.iter().find(|objective| {
        let lately = |counts: &std::collections::BTreeMap<String, judge::Counts>| {
            judge::stability(objective, counts.get(&objective.name).copied().unwrap_or_default())
        };
        lately(&seen.evidence.stable_ten_seconds) == Stability::Above
            || lately(&seen.evidence.stable_ten_minutes) == Stability::Above
    });
    match above {
        Some(objective) => refuse(
            "outage",
            format!("{} is above its objective {}: no drill in an outage", stable.version, objective.name),
        ),
        None => Ok(()),
    }
}

/// Whether a drill is due by the policy of the version that serves, and could begin now.
pub fn drill_due(lane: &Lane, seen: &Observed, now: Timestamp) -> Option<bool> {
    let policy = lane.drill_policy()?;
    let last = lane.drilled.as_ref().map(|d| d.at).max(lane.deployed_at)?;
    let within = policy.window.as_ref().is_none_or(|window| window.contains(now));
    let due = within && now >= last.plus(policy.every);
    (due && drillable(lane, seen).is_ok()).then_some(policy.cold)
}

/// The first step of a cold drill: the standby is stopped, and nothing of it may be left.
pub(super) fn stopped(turn: &mut Turn, now: Timestamp) -> bool {
    let Some(open) = &mut turn.lane.open else { return false };
    if open.kind != (RolloutKind::Drill { cold: true }) {
        return true;
    }
    let (version, limit) = (open.release.version.clone(), start_limit(&open.release));
    let over = open.progress.entered.plus(limit);
    if let Some(standby) = turn.lane.standby.take() {
        open.drill.get_or_insert_default().standby_until = Some(standby.until);
        let sentence = format!("{version} is stopped, so that the drill has to start it again");
        turn.record("standby.ended", ENGINE, sentence, json!({ "version": version }));
    }
    if turn.lane.slots.iter().all(|slot| slot.version != version) {
        return true;
    }
    if now >= over {
        let cause = format!("the instances of {version} that stood by were not stopped within {limit}");
        undo::begin(turn, &cause, ENGINE, None, Vec::new(), now);
    } else {
        turn.wake(over);
    }
    false
}

/// Notes how long a switch of a drill took. The way back includes what had to be started for it.
pub(super) fn time(turn: &mut Turn, step: &Step, now: Timestamp) {
    let Some(open) = turn.lane.open.as_mut().filter(|open| matches!(open.kind, RolloutKind::Drill { .. })) else {
        return;
    };
    let began = |record: Option<&StepRecord>| record.and_then(|r| r.began_at).unwrap_or(now);
    match step.kind {
        StepKind::Switch { .. } => {
            let first = open.plan.steps.iter().position(|s| s.kind != StepKind::Prepare).unwrap_or(open.step);
            let took = now.since(began(open.steps.get(first)));
            open.drill.get_or_insert_default().back = Some(took);
            open.timing.rollback = Some(took);
            let how = Return::of(open);
            turn.lane.lately.came_back(took, how);
        }
        StepKind::Return => {
            let took = now.since(began(open.steps.get(open.step)));
            open.drill.get_or_insert_default().forth = Some(took);
        }
        _ => {}
    }
}

/// Both ways were taken: stable serves as before, and its predecessor stands by for as long as it would have.
pub(super) fn succeed(turn: &mut Turn, now: Timestamp) -> bool {
    let Some(open) = &mut turn.lane.open else { return false };
    let times = open.drill.clone().unwrap_or_default();
    let took = |time: Option<Millis>| time.map_or_else(|| "-".to_string(), |t| t.to_string());
    let cause = format!(
        "{} served and {} serves again: back in {}, forth in {}",
        open.release.version,
        open.from.as_ref().map_or_else(|| "nothing".to_string(), |v| v.to_string()),
        took(times.back),
        took(times.forth),
    );
    open.timing.note(false, now);
    open.state = State::Ended { outcome: Outcome::Succeeded, cause };
    if let Some(until) = times.standby_until.filter(|until| *until > now) {
        turn.lane.standby = Some(Standby { release: open.release.clone(), until });
    }
    if let Some(routing) = &mut turn.lane.routing {
        routing.fallback = None;
    }
    true
}

/// Keeps what a drill that has ended showed. One that gave way or never began showed nothing.
pub(super) fn note(lane: &mut Lane, now: Timestamp) {
    let Some(open) = lane.open.as_ref() else { return };
    let (RolloutKind::Drill { cold }, Some((outcome, cause))) = (open.kind, open.ended()) else { return };
    if matches!(outcome, Outcome::Blocked | Outcome::Superseded) {
        return;
    }
    let times = open.drill.clone().unwrap_or_default();
    let started = open.plan.steps.iter().any(|s| matches!(s.kind, StepKind::Scale { .. }));
    lane.drilled = Some(Drilled {
        rollout: open.id.clone(),
        at: now,
        to: open.release.version.clone(),
        cold: cold || started,
        passed: outcome == Outcome::Succeeded,
        cause: cause.to_string(),
        back: times.back,
        forth: times.forth,
        deployment: lane.lately.deploy,
    });
}

/// Somebody rolls back while a drill is open: the drill stays where it went, as a rollback.
pub(super) fn stay(turn: &mut Turn, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let Some(open) = &turn.lane.open else { return Ok(()) };
    if let State::Undoing(undo) = &open.state {
        let (id, cause) = (&open.id, &undo.cause);
        return refuse(
            "on_its_way_back",
            format!("the drill {id} found the way back unfit ({cause}) and is returning"),
        );
    }
    let version = open.release.version.clone();
    let sentence = format!("rollback asked for by {actor}: the drill stays on {version}");
    decide(turn, "stay", actor, sentence, Vec::new(), now);
    let Some(open) = &mut turn.lane.open else { return Ok(()) };
    open.kind = RolloutKind::Rollback;
    open.plan.strategy = "rollback".to_string();
    open.state = State::Running;
    if !cut_after_switch(open, now) {
        // What waits for its gateways waits anew, in an epoch that no lease sends back to what is being left.
        restart_step(turn, now);
        turn.traffic_first = true;
    }
    Ok(())
}

/// Leaves out what a rollback has not: staying for a while and returning. Returns whether another step is at hand then.
fn cut_after_switch(open: &mut Rollout, now: Timestamp) -> bool {
    let Some(switch) = open.plan.steps.iter().position(|s| matches!(s.kind, StepKind::Switch { .. })) else {
        return false;
    };
    let returning = matches!(open.plan.steps.get(open.step).map(|s| s.kind), None | Some(StepKind::Return));
    open.plan.steps.truncate(switch + 1);
    open.steps.truncate(switch + 1);
    if returning {
        open.step = switch;
        if let Some(record) = open.steps.last_mut() {
            record.state = StepState::Pending;
            record.began_at = None;
            record.ended_at = None;
        }
    } else if open.step > switch {
        open.step = switch + 1;
    } else {
        return false;
    }
    open.progress = Progress::entered(now);
    true
}

/// The last step: stable serves everybody again.
pub(super) fn returned(turn: &mut Turn, step: &Step, now: Timestamp) -> bool {
    time(turn, step, now);
    let back = match turn.lane.is_worker() {
        true => "all of the jobs are stable's again",
        false => "everybody is back, confirmed by every gateway",
    };
    done(turn, back, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;
    use crate::rollout::lane::Routing;
    use crate::traffic::{Epoch, Split};
    use crate::units::Weight;

    #[test]
    fn a_rollback_of_a_drill_that_waits_for_its_gateways_begins_its_limit_and_its_split_anew() {
        let mut lane = fixture::at_step(fixture::SHOP, "switch");
        let everybody = Split::between("2".parse().unwrap(), Weight::ALL, "1".parse().unwrap());
        let home = Some(Split::all("1".parse().unwrap()));
        lane.counters.epoch = 1;
        let (salt, cohorts) = (String::new(), Vec::new());
        lane.routing = Some(Routing { epoch: Epoch(1), split: everybody.clone(), fallback: home, salt, cohorts });
        let open = lane.open.as_mut().unwrap();
        open.kind = RolloutKind::Drill { cold: false };
        open.progress.shifted = Some(Timestamp(0));
        open.state = State::Held { reason: "no confirmation".to_string(), since: Timestamp(30_000) };
        let mut turn = Turn::new(&lane);
        stay(&mut turn, "user:test", Timestamp(40_000)).unwrap();
        let (open, routing) = (turn.lane.open.unwrap(), turn.lane.routing.unwrap());
        assert_eq!((open.kind, open.state), (RolloutKind::Rollback, State::Running));
        assert_eq!((open.progress.shifted, turn.traffic_first), (Some(Timestamp(40_000)), true));
        // A gateway whose lease ran out takes only another epoch, and is not to go back to what is being left.
        assert_eq!((routing.epoch, routing.split, routing.fallback), (Epoch(2), everybody, None));
    }
}
