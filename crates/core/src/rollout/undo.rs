//! The way back: traffic first, confirmed, and only then the rest.

use serde_json::json;

use super::advance::decide;
use super::lane::Lane;
use super::lately::Return;
use super::model::{Outcome, RolloutKind, State, StepState, Undo};
use super::observed::Observed;
use super::rolling;
use super::shifting::route;
use super::turn::{ENGINE, Turn};
use super::workers;
use crate::judge::Judgement;
use crate::traffic::Split;
use crate::units::{Millis, Timestamp, Weight};

/// How long a way back may take before a person is asked. It is not given up.
const UNDO_LIMIT: Millis = Millis::from_secs(300);
/// The candidate's share up to which all of it goes to stable at once, even if stable lacks an instance.
const SMALL: u16 = 1_000;

/// Turns the open rollout round. `outcome` is what it will be called; by default rolled back, or failed where there
/// is nothing to go back to.
pub(super) fn begin(
    turn: &mut Turn,
    cause: &str,
    actor: &str,
    outcome: Option<Outcome>,
    judgements: Vec<Judgement>,
    now: Timestamp,
) {
    let Some(open) = turn.lane.open.as_ref().filter(|open| open.kind != RolloutKind::Contract) else { return };
    let natural = match (open.kind, &turn.lane.stable) {
        (RolloutKind::Release | RolloutKind::Drill { .. }, Some(_)) => Outcome::RolledBack,
        _ => Outcome::Failed,
    };
    decide(turn, "undo", actor, cause.to_string(), judgements, now);
    let Some(open) = &mut turn.lane.open else { return };
    if let Some(record) = open.steps.get_mut(open.step) {
        record.state = StepState::Failed;
        record.report = cause.to_string();
        record.ended_at = Some(now);
    }
    open.timing.note(false, now);
    open.state = State::Undoing(Undo {
        cause: cause.to_string(),
        actor: actor.to_string(),
        since: now,
        outcome: outcome.unwrap_or(natural),
        asked_person: false,
        forced: false,
    });
    turn.traffic_first = true;
}

/// From now on the way back waits for nothing that stable lacks: whoever says so answers for what users meet there.
pub(super) fn force(turn: &mut Turn, reason: &str, actor: &str, now: Timestamp) {
    let Some(stable) = &turn.lane.stable else { return };
    let (ready, declared) = (turn.lane.ready(&stable.version), stable.instances(&turn.lane.id));
    let sentence = format!(
        "{actor} does not wait for {}, of which {ready} of {declared} instances are ready: {reason}",
        stable.version
    );
    decide(turn, "force", actor, sentence, Vec::new(), now);
    if let Some(open) = &mut turn.lane.open
        && let State::Undoing(undo) = &mut open.state
    {
        undo.forced = true;
    }
}

/// One look at the way back. Returns whether the rollout ended.
pub(super) fn proceed(turn: &mut Turn, seen: &Observed, undo: &Undo, now: Timestamp) -> bool {
    if turn.lane.is_worker() {
        return workers::proceed(turn, undo, now);
    }
    let weight = weight_back(&turn.lane, undo, now);
    let candidate = turn.lane.candidate_version().cloned();
    let stable = turn.lane.stable_version().cloned();
    let wanted = match (&stable, &candidate) {
        (Some(stable), Some(candidate)) => Some(Split::between(candidate.clone(), weight, stable.clone())),
        _ => None,
    };
    let cohorts = turn.lane.routing.as_ref().is_some_and(|r| !r.cohorts.is_empty());
    let moved = turn.lane.routing.as_ref().map(|r| &r.split) != wanted.as_ref();
    if turn.lane.is_exposed() && (moved || cohorts) {
        match wanted {
            Some(split) => route(turn, split, weight > Weight::ZERO),
            None => turn.lane.routing = None,
        }
        turn.traffic_first = true;
        let to = stable.as_ref().map_or_else(|| "nobody".to_string(), |s| s.to_string());
        turn.record(
            "traffic.returning",
            &undo.actor,
            format!("{} of the traffic back to {to}", weight.rest()),
            json!({ "weight_bp": weight.bp() }),
        );
    }
    if weight > Weight::ZERO || !confirmed(&turn.lane, seen) {
        overdue(turn, undo, Millis(0), now);
        return false;
    }
    end(turn, undo, "traffic.returned", now);
    true
}

/// The share that the candidate must keep for the moment, since stable could not carry it: normally nothing. Once the way
/// back is overdue whatever is left of stable carries everything; whatever there is of it, where a person has said so.
fn weight_back(lane: &Lane, undo: &Undo, now: Timestamp) -> Weight {
    let (Some(open), Some(stable)) = (&lane.open, &lane.stable) else { return Weight::ZERO };
    let current = lane.candidate_weight();
    if current == Weight::ZERO || undo.forced {
        return Weight::ZERO;
    }
    if rolling::applies(open) {
        return rolling::weight_back(lane, open);
    }
    let candidates = lane.ready(&open.release.version);
    let declared = stable.instances(&lane.id);
    let ready = lane.ready(&stable.version);
    let overdue = ready > 0 && now >= undo.since.plus(UNDO_LIMIT);
    if candidates == 0 || ready >= declared || current.bp() <= SMALL || overdue {
        return Weight::ZERO;
    }
    current.min(Weight::ratio(declared - ready, declared))
}

/// Whether no gateway sends new requests to the candidate any more.
fn confirmed(lane: &Lane, seen: &Observed) -> bool {
    match (&lane.routing, &seen.confirmed) {
        (Some(routing), Some(confirmed)) => confirmed.serves(routing.epoch),
        (None, Some(confirmed)) => confirmed.newest && confirmed.routes.is_empty(),
        // A first release: nobody can be on it as long as no route to it was ever handed out.
        (None, None) => lane.open.as_ref().is_none_or(|open| open.first_epoch.is_none()),
        (Some(_), None) => false,
    }
}

/// Asks a person once the way back takes longer than it should, `more` than usual.
pub(super) fn overdue(turn: &mut Turn, undo: &Undo, more: Millis, now: Timestamp) {
    let limit = undo.since.plus(UNDO_LIMIT).plus(more);
    if now < limit {
        return turn.wake(limit);
    }
    if undo.asked_person {
        return turn.wake(now.plus(Millis::from_secs(5)));
    }
    let sentence =
        format!("the way back is not confirmed after {}; it goes on, but somebody should look", now.since(undo.since));
    turn.record("undo.overdue", ENGINE, sentence, json!(null));
    if let Some(open) = &mut turn.lane.open
        && let State::Undoing(undo) = &mut open.state
    {
        undo.asked_person = true;
    }
}

/// The way back is done, which the journal calls `kind`.
pub(super) fn end(turn: &mut Turn, undo: &Undo, kind: &str, now: Timestamp) {
    let took = now.since(undo.since);
    let sentence = format!("back after {took}: {}", undo.cause);
    turn.record(kind, &undo.actor, sentence, json!({ "ms": took.0 }));
    let Some(open) = &mut turn.lane.open else { return };
    open.timing.rollback = Some(took);
    // One that nobody had met says nothing of how long it takes to bring users back.
    if open.first_epoch.is_some() || open.release.spec.is_worker() {
        let how = Return::of(open);
        turn.lane.lately.came_back(took, how);
    }
    open.state = State::Ended { outcome: undo.outcome, cause: undo.cause.clone() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::TargetError;
    use crate::rollout::commands;
    use crate::rollout::effect::EffectResult;
    use crate::rollout::fixture;
    use crate::rollout::lane::Routing;
    use crate::rollout::turn::turn;
    use crate::traffic::Epoch;

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: /, start_limit: 30s }
environments:
  production: { instances: 2, strategy: { canary: { steps: [60%, 100%] } } }
";

    /// 2 has half of the traffic, one of its two instances died, and the next does not become ready.
    fn short() -> Lane {
        let mut lane = fixture::at_step(FILE, "60%");
        lane.open.as_mut().unwrap().progress.short_since = Some(Timestamp(0));
        lane.slots = [(1, "1", true), (2, "1", true), (3, "2", true), (4, "2", false)]
            .map(|(number, version, ready)| fixture::slot(&lane, number, version, ready))
            .into();
        let half = Weight::from_bp(5_000).unwrap();
        lane.routing = Some(Routing {
            epoch: Epoch(1),
            split: Split::between("2".parse().unwrap(), half, "1".parse().unwrap()),
            fallback: None,
            salt: String::new(),
            cohorts: Vec::new(),
        });
        lane
    }

    #[test]
    fn a_rollback_that_has_the_traffic_is_not_turned_round() {
        let mut lane = short();
        lane.open.as_mut().unwrap().kind = RolloutKind::Rollback;
        let error = TargetError::Hopeless("no room".to_string());
        let results = vec![EffectResult::NotStarted { instance: lane.slots[3].id.clone(), error }];
        let refused = turn(&lane, &Observed { results, ..Observed::default() }, Timestamp(1_000));
        assert_eq!(refused.lane.open.as_ref().unwrap().state, State::Running);
        let waited = turn(&lane, &Observed::default(), Timestamp(3_600_000));
        let state = &waited.lane.open.as_ref().unwrap().state;
        assert!(matches!(state, State::Held { .. }), "a person is asked: {state:?}");
    }

    #[test]
    fn a_way_back_that_waits_for_stable_has_an_end() {
        let mut lane = short();
        lane.slots[1].ready = None;
        lane.slots[3].ready = lane.slots[2].ready.clone();
        let undo = Undo {
            cause: "aborted".to_string(),
            actor: "user:test".to_string(),
            since: Timestamp(0),
            outcome: Outcome::RolledBack,
            asked_person: false,
            forced: false,
        };
        lane.open.as_mut().unwrap().state = State::Undoing(undo);
        let waits = turn(&lane, &Observed::default(), Timestamp(299_000));
        assert_eq!(waits.lane.candidate_weight().bp(), 5_000, "stable could not carry it");
        let kept = waits.lane.wanted(&"2".parse().unwrap()).count();
        assert_eq!(kept, 1, "no more of the candidate than that takes");
        let over = turn(&lane, &Observed::default(), Timestamp(300_000));
        assert_eq!(over.lane.candidate_weight(), Weight::ZERO);
    }

    #[test]
    fn a_way_back_to_nobody_waits_until_a_person_forces_it() {
        let mut lane = short();
        lane.slots[0].ready = None;
        lane.slots[1].ready = None;
        let mut aborted = Turn::new(&lane);
        commands::abort(&mut aborted, "user:ann", Timestamp(0)).unwrap();
        let waits = turn(&aborted.lane, &Observed::default(), Timestamp(3_600_000));
        assert_eq!(waits.lane.candidate_weight().bp(), 5_000, "nobody of stable is there");
        for lane in [&lane, &waits.lane] {
            let mut forced = Turn::new(lane);
            commands::force(&mut forced, "2 leaks data", "user:ann", Timestamp(3_600_000)).unwrap();
            let said = forced.facts.iter().find(|fact| fact.kind == "decided.force").unwrap();
            assert_eq!(said.actor, "user:ann");
            assert!(said.cause.ends_with("of which 0 of 2 instances are ready: 2 leaks data"), "{}", said.cause);
            let again = commands::force(&mut forced, "again", "user:ann", Timestamp(3_600_000)).unwrap_err();
            assert_eq!(again.code, "on_its_way_back");
            let back = turn(&forced.lane, &Observed::default(), Timestamp(3_600_001));
            assert_eq!((back.lane.candidate_weight(), back.traffic_first), (Weight::ZERO, true));
            let late = commands::force(&mut Turn::new(&back.lane), "late", "user:ann", Timestamp(3_600_002));
            assert_eq!(late.unwrap_err().code, "on_its_way_back");
        }
    }

    #[test]
    fn a_way_back_that_a_step_begins_moves_the_traffic_in_the_same_turn() {
        let back = turn(&short(), &Observed::default(), Timestamp(3_600_000));
        let open = back.lane.open.as_ref().unwrap();
        let State::Undoing(undo) = &open.state else { panic!("{:?}", open.state) };
        assert!(undo.cause.contains("only 1 of 2 instances of 2 were ready"), "{}", undo.cause);
        assert_eq!((back.lane.candidate_weight(), back.traffic_first), (Weight::ZERO, true));
    }
}
