//! What a rollout is doing and what it waits for, in the words that the command line, the console and `explain` show.

use serde::{Deserialize, Serialize};

use super::asking;
use super::estimate::step_limit;
use super::judging;
use super::lane::Lane;
use super::model::{Rollout, State, StepRecord, StepState};
use super::observed::Observed;
use super::plan::StepKind;
use super::workers;
use crate::judge::Judgement;
use crate::units::{Millis, Timestamp, Weight};

/// A rollout at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Each step with what is said of it now.
    pub steps: Vec<StepRecord>,
    /// What is being waited for; absent once it is over.
    pub waiting: Option<Waiting>,
    /// What the judge says at this moment.
    pub judgements: Vec<Judgement>,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// For what, as a sentence.
    pub on: String,
    /// Until when at the latest, where there is a limit.
    pub until: Option<Timestamp>,
}

/// What the open rollout is doing at `now`.
pub fn report(lane: &Lane, seen: &Observed, now: Timestamp) -> Option<Report> {
    let open = lane.open.as_ref()?;
    let judgements = judging::judge_all(lane, seen, now);
    let waiting = waiting(lane, open, seen, &judgements);
    let mut steps = open.steps.clone();
    if let (Some(record), Some(waiting)) = (steps.get_mut(open.step), &waiting)
        && matches!(record.state, StepState::Acting | StepState::Waiting)
    {
        record.report = waiting.on.clone();
    }
    Some(Report { steps, waiting, judgements })
}

fn waiting(lane: &Lane, open: &Rollout, seen: &Observed, judgements: &[Judgement]) -> Option<Waiting> {
    let forever = |on: String| Some(Waiting { on, until: None });
    if let Some(on) = workers::waiting(lane, open) {
        return forever(on);
    }
    match &open.state {
        State::Ended { .. } => None,
        State::Held { reason, .. } => forever(format!("a person: {reason}")),
        State::Paused { by, .. } => forever(format!("a person to resume it; paused by {by}")),
        State::Undoing(undo) => forever(match lane.candidate_weight() {
            Weight::ZERO => format!("every gateway to confirm the way back: {}", undo.cause),
            weight => format!("stable instances to take over the last {weight}: {}", undo.cause),
        }),
        State::Running => running(lane, open, seen, judgements),
    }
}

fn running(lane: &Lane, open: &Rollout, seen: &Observed, judgements: &[Judgement]) -> Option<Waiting> {
    let version = &open.release.version;
    let ready = lane.ready(version);
    let Some(step) = open.plan.steps.get(open.step) else {
        let on = match open.progress.short_since {
            Some(_) => instances(lane, open, seen, ready, open.release.instances(&lane.id)),
            None => format!("every gateway to confirm 100% on {version}"),
        };
        return Some(Waiting { on, until: None });
    };
    let needed = step.kind.instances();
    if ready < needed {
        return Some(Waiting { on: instances(lane, open, seen, ready, needed), until: None });
    }
    if let Some((on, until)) = asking::waiting(open) {
        return Some(Waiting { on, until: Some(until) });
    }
    let Some(confirmed) = open.progress.confirmed else {
        let share = match step.kind {
            StepKind::Cohort { .. } => step.name.clone(),
            kind => kind.weight().unwrap_or(Weight::ZERO).to_string(),
        };
        return Some(Waiting { on: format!("every gateway to confirm {share} on {version}"), until: None });
    };
    if let Some(outage) = &open.progress.outage {
        let on = match outage.back_since {
            None => "stable to be back within its own objectives; the candidate is not blamed meanwhile",
            Some(_) => "ten quiet seconds on stable; then the step starts afresh",
        };
        return Some(Waiting { on: on.to_string(), until: None });
    }
    match step.kind {
        StepKind::Shift { .. } | StepKind::Cohort { .. } | StepKind::Probe { .. } => Some(Waiting {
            on: judging::sentence(judgements),
            until: Some(confirmed.plus(Millis(step_limit(&open.strategy).0 + open.progress.forgiven.0))),
        }),
        StepKind::Verify { length, .. } if open.progress.closing.is_none() => Some(Waiting {
            on: format!("verification: {}", judging::sentence(judgements)),
            until: Some(confirmed.plus(length)),
        }),
        StepKind::Verify { .. } => Some(Waiting { on: "health and smoke tests once more".to_string(), until: None }),
        _ => None,
    }
}

/// What keeps the instances: the first one that is not ready says why.
fn instances(lane: &Lane, open: &Rollout, seen: &Observed, ready: u32, needed: u32) -> String {
    let version = &open.release.version;
    let why = lane.wanted(version).find(|s| s.ready.is_none()).map(|slot| match seen.instances.get(&slot.id) {
        None => format!("{} is being started", slot.id),
        Some(status) => match &status.health {
            crate::instance::Health::Healthy => format!("{} is being smoke-tested", slot.id),
            crate::instance::Health::Unknown { why: Some(why) } | crate::instance::Health::Unhealthy { why } => {
                format!("{}: {why}", slot.id)
            }
            crate::instance::Health::Unknown { why: None } => format!("{} has not answered yet", slot.id),
        },
    });
    match why {
        Some(why) => format!("{needed} instances of {version}, {ready} ready; {why}"),
        None => format!("{needed} instances of {version}, {ready} ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{fixture, turn};

    #[test]
    fn after_the_last_step_an_instance_that_dies_is_what_is_waited_for() {
        let mut lane = fixture::at_step(fixture::SHOP, "verification");
        lane.open.as_mut().unwrap().step += 1;
        lane.counters.instance = 4;
        let says = |lane: &Lane| {
            let (seen, now) = (Observed::default(), Timestamp(1));
            report(&turn(lane, &seen, now).lane, &seen, now).unwrap().waiting.unwrap().on
        };
        lane.slots = [(1, "1"), (2, "1"), (3, "2"), (4, "2")].map(|(n, v)| fixture::slot(&lane, n, v, true)).into();
        assert_eq!(says(&lane), "every gateway to confirm 100% on 2");
        lane.slots[3].ready = None;
        assert_eq!(says(&lane), "2 instances of 2, 1 ready; shop-production-4 is being started");
    }
}
