//! How a rollout ends: the candidate becomes stable and its predecessor stands by, or the books are closed.

use serde_json::json;

use super::advance::{carries, hold};
use super::drilling;
use super::lane::{Standby, WentBack};
use super::lately::Return;
use super::model::{Exposure, Outcome, Rollout, RolloutKind, State, StepState};
use super::observed::Observed;
use super::probing;
use super::rolling;
use super::schema;
use super::shifting::{CONFIRM_LIMIT, route};
use super::turn::{ENGINE, Turn};
use super::watching;
use super::workers;
use crate::spec::ServiceSpec;
use crate::traffic::Split;
use crate::units::{Millis, Timestamp};

/// How long after a stretch of evidence gateways may still tell of requests that began in it.
const LATE: Millis = Millis::from_secs(2);

/// Every step is done: what is held back goes over as well, and once that is confirmed the candidate is stable.
pub(super) fn succeed(turn: &mut Turn, seen: &Observed, now: Timestamp) -> bool {
    let Some(open) = &turn.lane.open else { return false };
    if matches!(open.kind, RolloutKind::Drill { .. }) {
        return drilling::succeed(turn, now);
    }
    if open.kind == RolloutKind::Contract {
        return schema::contracted(turn);
    }
    // Until every gateway has confirmed it, stable is warm and takes what instances that die leave behind.
    let stable_could = open.kind == RolloutKind::Release && !rolling::applies(open) && !workers::replaces(open);
    let declared = open.release.instances(&turn.lane.id);
    if stable_could && turn.lane.stable.is_some() && !carries(turn, declared, Millis(0), now) {
        return false;
    }
    let Some(open) = &turn.lane.open else { return false };
    let version = open.release.version.clone();
    let (all, worker) = (Split::all(version.clone()), turn.lane.is_worker());
    if turn.lane.routing.as_ref().is_none_or(|r| r.split != all) {
        route(turn, all, true);
        if worker {
            let sentence = format!("all of the jobs to {version}; what is stopped finishes those that it has");
            turn.record("work.shared", ENGINE, sentence, json!({ "weight_bp": 10_000 }));
            return true;
        }
        turn.record(
            "traffic.shifting",
            ENGINE,
            format!("all of the traffic to {version}"),
            json!({ "weight_bp": 10_000 }),
        );
        if let Some(open) = &mut turn.lane.open {
            open.progress.shifted = Some(now);
        }
        turn.wake(now.plus(CONFIRM_LIMIT));
        return false;
    }
    let epoch = turn.lane.routing.as_ref().map(|r| r.epoch).unwrap_or_default();
    if !worker && !seen.confirmed.as_ref().is_some_and(|c| c.serves(epoch)) {
        let asked = turn.lane.open.as_ref().and_then(|open| open.progress.shifted).unwrap_or(now);
        if now >= asked.plus(CONFIRM_LIMIT) {
            let reason = format!("no confirmation of all of the traffic from every gateway within {CONFIRM_LIMIT}");
            hold(turn, reason, Vec::new(), now);
        }
        return false;
    }
    if let Some(open) = &mut turn.lane.open {
        let cause = match open.kind {
            RolloutKind::Release => passed(open),
            RolloutKind::Rollback | RolloutKind::Drill { .. } | RolloutKind::Contract => {
                format!("{version} serves again")
            }
        };
        open.timing.note(false, now);
        if open.kind == RolloutKind::Rollback {
            // Out of a drill it was asked for later than the drill.
            let asked = open.decisions.iter().find(|d| d.what == "stay").map_or(open.began_at, |d| d.at);
            let took = now.since(asked);
            open.timing.rollback = Some(took);
            let how = Return::of(open);
            turn.lane.lately.came_back(took, how);
        } else {
            turn.lane.lately.deploy = Some(open.timing.deploy(now));
        }
        open.state = State::Ended { outcome: Outcome::Succeeded, cause };
    }
    promote(turn, now);
    true
}

/// How a release got there: by what the judge has seen, or by whose word.
fn passed(open: &Rollout) -> String {
    let promoted = || open.decisions.iter().filter(|decision| decision.what == "promote");
    let version = &open.release.version;
    if promoted().next().is_none() {
        return format!("{version} passed every step and was verified");
    }
    let mut people: Vec<&str> = promoted().map(|decision| decision.actor.as_str()).collect();
    people.dedup();
    let mut steps: Vec<&str> = promoted().map(|decision| decision.step.as_str()).collect();
    steps.dedup();
    format!("{version} serves; {} answered for {} in the judge's place", people.join(" and "), steps.join(", "))
}

/// The candidate becomes stable.
fn promote(turn: &mut Turn, now: Timestamp) {
    let Some(open) = turn.lane.open.clone() else { return };
    let old = turn.lane.stable.replace(open.release.clone());
    if let Some(routing) = &mut turn.lane.routing {
        routing.fallback = None;
    }
    turn.lane.predecessor = None;
    turn.lane.standby = None;
    turn.lane.went_back = None;
    turn.lane.deployed_at = Some(now);
    if open.kind == RolloutKind::Release {
        turn.lane.undone = None;
        watching::succeeded(turn, &open.release.version, now);
    }
    let serves = open.release.instances(&turn.lane.id);
    turn.lane.scaled = turn.lane.scaled.filter(|scaled| *scaled == serves);
    if open.kind == RolloutKind::Release {
        turn.lane.bounds = open.plan.bounds.clone();
        schema::owe(turn);
    }
    let Some(old) = old else { return };
    match open.kind {
        RolloutKind::Rollback => {
            let (from, to) = (old.version, open.release.version.clone());
            let cause = format!("{} asked for it", open.actor);
            turn.lane.went_back = Some(WentBack::of(&open, from, to, cause, now));
        }
        RolloutKind::Release | RolloutKind::Drill { .. } | RolloutKind::Contract => {
            turn.lane.predecessor = Some(old.clone());
            let keeps = !rolling::applies(&open) && !open.release.spec.is_worker();
            if keeps && open.strategy.standby.0 > 0 {
                let until = now.plus(open.strategy.standby);
                turn.wake(until);
                let sentence = format!("{} stands by for {}", old.version, open.strategy.standby);
                turn.record(
                    "standby.began",
                    ENGINE,
                    sentence,
                    json!({ "version": old.version, "until": until.to_string() }),
                );
                turn.lane.standby = Some(Standby { release: old, until });
            }
        }
    }
}

/// Closes the books of a rollout that has ended.
pub(super) fn close(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let Some(open) = &mut turn.lane.open else { return };
    note_exposure(open, seen);
    open.ended_at = Some(now);
    open.timing.note(false, now);
    for record in open.steps.iter_mut().filter(|s| s.state == StepState::Pending) {
        record.state = StepState::Skipped;
    }
    let Some((outcome, cause)) = open.ended().map(|(o, c)| (o, c.to_string())) else { return };
    probing::close(turn);
    let Some(open) = &turn.lane.open else { return };
    let exposed = open.exposed();
    let evidence = json!({
        "outcome": outcome.as_str(),
        "deploy_ms": open.timing.deploy(now).0,
        "rollback_ms": open.timing.rollback.map(|m| m.0),
        "exposed_requests": exposed.requests,
        "failed_requests": exposed.failed,
        "failed_by_slipway": exposed.failed_by_slipway,
    });
    drilling::note(&mut turn.lane, now);
    if let (Outcome::RolledBack, Some(stable)) = (outcome, turn.lane.stable_version().cloned())
        && let Some(open) = &turn.lane.open
        && open.kind == RolloutKind::Release
    {
        let from = open.release.version.clone();
        turn.lane.undone = Some(WentBack::of(open, from, stable, cause.clone(), now));
    }
    let went_wrong = matches!(outcome, Outcome::Failed | Outcome::Blocked);
    if turn.lane.open.as_ref().is_some_and(|open| open.kind == RolloutKind::Rollback) && went_wrong {
        watching::still_here(turn, &cause, now);
    }
    turn.record("rollout.ended", ENGINE, format!("{}: {cause}", outcome.as_str().replace('_', " ")), evidence);
    if let Some(open) = turn.lane.open.take() {
        count_afresh(turn, &open, now);
        turn.ended.push(open);
    }
}

/// What stable did beside a version that did not stay says nothing of stable alone: its last minutes begin anew. Where that
/// version counted by other objectives than stable's, so does the stretch of evidence.
fn count_afresh(turn: &mut Turn, ended: &Rollout, now: Timestamp) {
    let Some(stable) = turn.lane.stable.as_ref().filter(|_| ended.kind != RolloutKind::Contract) else { return };
    let list = |spec: &ServiceSpec| spec.objectives.iter().map(|o| (o.name.clone(), o.bad.clone())).collect::<Vec<_>>();
    let own = ended.release.version == stable.version;
    let same = list(&stable.spec) == list(&ended.release.spec) && ended.plan.bounds.is_empty();
    let counted = ended.first_epoch.is_some() || ended.probed.is_some();
    let left = matches!(ended.ended(), Some((Outcome::RolledBack, _)));
    if own || !counted || (same && !left) {
        return;
    }
    let afresh = now.plus(LATE);
    turn.lane.counted_afresh = Some(afresh);
    turn.wake(afresh);
    if same {
        return;
    }
    if let Some(split) = turn.lane.routing.as_ref().map(|routing| routing.split.clone()) {
        route(turn, split, false);
    }
}

/// Notes what the candidate's users met so far. Counts only grow, so the latest look at a stretch is the best one.
pub(super) fn note_exposure(open: &mut Rollout, seen: &Observed) {
    let version = &open.release.version;
    let rows = || seen.cohorts.values().chain([&seen.evidence]).flat_map(|evidence| &evidence.rows);
    let epochs: Vec<_> = rows().filter(|((_, v), _)| v == version).map(|((e, _), _)| *e).collect();
    for epoch in epochs {
        let since_began = open.first_epoch.is_some_and(|first| epoch >= first);
        if !since_began {
            continue;
        }
        let here = || rows().filter(|((e, _), _)| *e == epoch);
        let ours = || here().filter(|((_, v), _)| v == version).map(|(_, tally)| tally);
        let (requests, failed) = ours()
            .map(|tally| match open.release.spec.is_worker() {
                // Reported events are all that is seen of what it did.
                true => {
                    let most =
                        |of: fn(&crate::judge::Counts) -> u64| tally.objectives.values().map(of).max().unwrap_or(0);
                    (most(|counts| counts.n), most(|counts| counts.bad))
                }
                false => (tally.attempts, tally.failed),
            })
            .fold((0, 0), |(n, bad), (more, worse)| (n + more, bad + worse));
        let slipway: u64 = here().map(|(_, tally)| tally.failed_by_slipway).sum();
        let users = ours().map(|tally| tally.users).sum();
        let entry = open.exposure.entry(epoch).or_default();
        *entry = Exposure {
            requests: entry.requests.max(requests),
            failed: entry.failed.max(failed),
            failed_by_slipway: entry.failed_by_slipway.max(slipway),
            users: entry.users.max(users),
        };
    }
}
