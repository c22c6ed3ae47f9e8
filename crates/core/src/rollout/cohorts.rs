//! Cohorts in a canary: each is a step before the first percentage, and stays with the candidate until everybody is
//! there or nobody. Which of them are in force follows from where the rollout stands; on the way back none is.

use super::lane::{Lane, Release};
use super::model::{Rollout, RolloutKind, State};
use super::plan::StepKind;
use crate::names::LaneId;
use crate::spec::Cohort;
use crate::traffic::{CohortRoute, Split};
use crate::units::Weight;

/// The cohorts that a release declares for a lane.
pub(super) fn declared<'a>(release: &'a Release, lane: &LaneId) -> &'a [Cohort] {
    let environment = release.environment(lane).filter(|_| !release.spec.is_worker());
    environment.map_or(&[], |environment| &environment.cohorts)
}

/// The cohort of the step at hand, if it is one's.
pub(super) fn at_hand<'a>(lane: &LaneId, open: &'a Rollout) -> Option<&'a Cohort> {
    match open.plan.steps.get(open.step)?.kind {
        StepKind::Cohort { place, .. } => declared(&open.release, lane).get(place),
        _ => None,
    }
}

/// The cohorts that go to the candidate together with `split`. None on the way back: 0% overrides them too.
pub(super) fn in_force(lane: &Lane, split: &Split) -> Vec<CohortRoute> {
    let Some(open) = lane.open.as_ref().filter(|open| open.kind == RolloutKind::Release) else { return Vec::new() };
    let candidate = &open.release.version;
    let returning = matches!(open.state, State::Undoing(_) | State::Ended { .. });
    if returning || lane.stable.is_none() || split.weight(candidate) == Weight::ALL {
        return Vec::new();
    }
    let all = declared(&open.release, &lane.id);
    let reached = open.plan.steps.iter().take(open.step + 1).filter_map(|step| match step.kind {
        StepKind::Cohort { place, .. } => all.get(place),
        _ => None,
    });
    reached
        .map(|cohort| CohortRoute { name: cohort.name.clone(), rule: cohort.rule.clone(), to: candidate.clone() })
        .collect()
}

/// Cohorts that gateways send to the candidate and whose own step is not the one at hand.
pub(super) fn beside(lane: &Lane) -> Vec<&str> {
    let Some((open, routing)) = lane.open.as_ref().zip(lane.routing.as_ref()) else { return Vec::new() };
    let own = at_hand(&lane.id, open).map(|cohort| cohort.name.as_str());
    let ours = routing.cohorts.iter().filter(|cohort| cohort.to == open.release.version);
    ours.map(|cohort| cohort.name.as_str()).filter(|name| Some(*name) != own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::VersionName;
    use crate::rollout::fixture;
    use crate::rollout::model::{Outcome, Undo};
    use crate::rollout::observed::{Confirmed, Observed};
    use crate::rollout::routing::route_of;
    use crate::rollout::shifting::route;
    use crate::rollout::turn::{Turn, turn};
    use crate::units::{Millis, Timestamp};

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
objectives: [{ name: errors, bad: failed, at_most: 1% }]
environments:
  production:
    cohorts: [{ name: staff, header: \"X-Staff: 1\" }, { name: beta, cookie: beta=1 }]
    strategy: { canary: { steps: [5%, 100%] } }
";

    /// 1 serves, and 2 is being rolled out: at the step of this name.
    fn at_step(name: &str) -> Lane {
        let mut lane = fixture::at_step(FILE, name);
        lane.slots = [(1, "1"), (2, "2")].map(|(number, version)| fixture::slot(&lane, number, version, true)).into();
        lane
    }

    fn names(lane: &Lane, split: &Split) -> Vec<String> {
        in_force(lane, split).into_iter().map(|cohort| cohort.name).collect()
    }

    #[test]
    fn a_cohort_is_in_force_from_its_step_until_everybody_is_there_or_nobody() {
        let (stable, candidate): (VersionName, VersionName) = ("1".parse().unwrap(), "2".parse().unwrap());
        let some = Split::between(candidate.clone(), Weight::from_bp(500).unwrap(), stable.clone());
        let none = Split::all(stable);
        assert_eq!(names(&at_step("prepare"), &none), [""; 0]);
        assert_eq!(names(&at_step("cohort staff"), &none), ["staff"]);
        assert_eq!(names(&at_step("cohort beta"), &none), ["staff", "beta"]);
        let mut lane = at_step("5%");
        assert_eq!(names(&lane, &some), ["staff", "beta"]);
        assert_eq!(names(&at_step("verification"), &some), ["staff", "beta"]);
        assert_eq!(names(&lane, &Split::all(candidate)), [""; 0], "everybody is there");
        let held = State::Held { reason: "look".into(), since: Timestamp(0) };
        let undo = Undo {
            cause: "bad".into(),
            actor: "slipway".into(),
            since: Timestamp(0),
            outcome: Outcome::RolledBack,
            asked_person: false,
            forced: false,
        };
        for (state, there) in [
            (held, 2),
            (State::Undoing(undo), 0),
            (State::Ended { outcome: Outcome::RolledBack, cause: "bad".into() }, 0),
        ] {
            lane.open.as_mut().unwrap().state = state;
            assert_eq!(names(&lane, &some).len(), there);
        }
        lane.open.as_mut().unwrap().state = State::Running;
        lane.open.as_mut().unwrap().kind = RolloutKind::Rollback;
        assert_eq!(names(&lane, &some), [""; 0], "only a release has cohorts");
    }

    #[test]
    fn a_lapsed_lease_of_a_cohort_alone_is_an_undo() {
        let lane = at_step("cohort staff");
        let mut begun = Turn::new(&lane);
        route(&mut begun, Split::all("1".parse().unwrap()), true);
        let mut lane = begun.lane;
        let routing = lane.routing.clone().unwrap();
        assert!(routing.fallback.is_some() && !routing.cohorts.is_empty(), "no share, and a lease all the same");
        assert_eq!(lane.candidate_weight(), Weight::ZERO);
        assert!(beside(&lane).is_empty(), "it is its own step");
        let progress = &mut lane.open.as_mut().unwrap().progress;
        (progress.shifted, progress.confirmed) = (Some(Timestamp(0)), Some(Timestamp(0)));
        let served = Confirmed { routes: route_of(&lane).into_iter().collect(), newest: true };
        let mut seen = Observed { confirmed: Some(served), watched_since: Some(Timestamp(0)), ..Observed::default() };
        let waits = turn(&lane, &seen, Timestamp(1_000));
        assert_eq!(waits.lane.open.as_ref().unwrap().state, State::Running);
        seen.lapsed = Some(routing.epoch);
        let back = turn(&lane, &seen, Timestamp(20_000));
        let State::Undoing(undo) = &back.lane.open.as_ref().unwrap().state else { panic!("{:#?}", back.facts) };
        assert!(undo.cause.contains("longer than the lease"), "{}", undo.cause);
        assert!(back.lane.routing.as_ref().is_some_and(|now| now.cohorts.is_empty() && now.epoch > routing.epoch));
        assert_eq!(Millis(0), undo.since.since(Timestamp(20_000)));
    }
}
