//! Stable's own trouble: nobody is judged in the middle of it, and afterwards the step's evidence starts afresh.

use serde_json::json;

use super::advance::{decide, hold};
use super::estimate;
use super::judging;
use super::model::State;
use super::observed::Observed;
use super::shifting::route;
use super::turn::{ENGINE, Turn};
use crate::judge::{self, MAX_RESTARTS, Watch};
use crate::units::{Millis, Timestamp};

/// Whether stable is, or was a moment ago, above its own objective. Ten seconds after it is back the evidence and the
/// clock start afresh.
pub(super) fn outage(turn: &mut Turn, seen: &Observed, now: Timestamp) -> bool {
    let stability = judging::stability(&turn.lane, seen, now);
    let Some(open) = &mut turn.lane.open else { return false };
    let known = open.progress.outage;
    match judge::watch(known, stability, now) {
        Watch::Steady => false,
        Watch::Paused(pause) => {
            open.progress.outage = Some(pause);
            let limit = estimate::step_limit(&open.strategy);
            if now.since(pause.since) >= limit {
                let reason = format!("stable has been above its own objective for {limit}: nothing can be judged");
                hold(turn, reason, Vec::new(), now);
                return true;
            }
            if known.is_none() {
                let sentence = "the step waits: stable itself is above its objective";
                turn.record("step.outage", ENGINE, sentence, json!(null));
            }
            turn.wake(now.plus(Millis::from_secs(1)));
            true
        }
        Watch::Restart => {
            start_afresh(turn, known.map_or(now, |p| p.since), now);
            true
        }
    }
}

fn start_afresh(turn: &mut Turn, since: Timestamp, now: Timestamp) {
    let Some(open) = &turn.lane.open else { return };
    let outages = open.progress.attempt + 1;
    if outages > MAX_RESTARTS {
        let reason = format!("stable had {outages} outages in this step: no comparison can be trusted");
        return hold(turn, reason, Vec::new(), now);
    }
    let sentence = format!("stable is back within its objective after {}: the step starts afresh", now.since(since));
    decide(turn, "restart", ENGINE, sentence, Vec::new(), now);
    restart_step(turn, now);
    if let Some(open) = &mut turn.lane.open {
        open.progress.attempt += 1;
    }
}

/// A gateway was cut off for longer than the lease, and went back to stable by itself: only a newer epoch brings the split
/// back to it, so the step starts afresh. Why it does not, where that has happened too often.
pub(super) fn cut_off(turn: &mut Turn, now: Timestamp) -> Option<String> {
    let open = turn.lane.open.as_ref()?;
    let times = open.progress.cut_offs + 1;
    if times > MAX_RESTARTS {
        return Some(format!(
            "gateways were cut off for longer than the lease of the split, {times} times in this step"
        ));
    }
    if open.state != State::Running {
        return None;
    }
    let sentence = "a gateway was cut off for longer than the lease of the split, and is back: the step starts afresh";
    let shifted = open.progress.shifted.is_some();
    decide(turn, "restart", ENGINE, sentence.to_string(), Vec::new(), now);
    restart_step(turn, now);
    if !shifted {
        // The split of the step before is still in force.
        route_again(turn);
    }
    if let Some(open) = &mut turn.lane.open {
        open.progress.cut_offs += 1;
    }
    None
}

/// Begins the step's evidence and clock anew, at the same split.
pub(super) fn restart_step(turn: &mut Turn, now: Timestamp) {
    let Some(open) = &mut turn.lane.open else { return };
    let progress = &mut open.progress;
    let shifted = progress.shifted.is_some();
    progress.outage = None;
    progress.forgiven = Millis(0);
    progress.confirmed = None;
    progress.closing = None;
    progress.waiting_for_stable.clear();
    if shifted {
        progress.shifted = Some(now);
        route_again(turn);
    }
}

/// Brings the split at hand in a new epoch.
fn route_again(turn: &mut Turn) {
    if let Some(split) = turn.lane.routing.as_ref().map(|r| r.split.clone()) {
        route(turn, split, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
environments:
  production: { instances: 2, strategy: { canary: { steps: [10%, 100%] } } }
";

    #[test]
    fn outages_of_stable_and_gateways_that_were_cut_off_are_counted_apart() {
        let mut lane = fixture::at_step(FILE, "10%");
        lane.open.as_mut().unwrap().progress.attempt = MAX_RESTARTS;
        let mut turn = Turn::new(&lane);
        for times in 1..=MAX_RESTARTS {
            assert_eq!(cut_off(&mut turn, Timestamp(1_000)), None);
            assert_eq!(turn.lane.open.as_ref().unwrap().progress.cut_offs, times);
        }
        let cause = cut_off(&mut turn, Timestamp(1_000));
        assert!(cause.is_some_and(|cause| cause.contains("3 times in this step")));
        assert_eq!(turn.lane.open.as_ref().unwrap().progress.attempt, MAX_RESTARTS);
    }
}
