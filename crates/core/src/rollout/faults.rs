//! Faults that are injected on purpose: which of them gateways are told of, and when they end. Gateways end them by
//! themselves as well; nothing here is needed for that.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::lane::Lane;
use super::model::State;
use super::observed::Observed;
use super::turn::{ENGINE, Turn};
use crate::names::VersionName;
use crate::traffic::InjectedFault;
use crate::units::Timestamp;

/// A fault that somebody began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// What is done, and until when.
    pub fault: InjectedFault,
    /// It was injected into a version that was coming and judged: it ends where that one comes to serve everybody.
    #[serde(default)]
    pub of_candidate: bool,
    /// Who began it.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// The version that is coming, unless it goes back.
pub(super) fn candidate(lane: &Lane) -> Option<&VersionName> {
    let open = lane.open.as_ref()?;
    let returning = matches!(open.state, State::Undoing(_) | State::Ended { .. });
    (!returning).then_some(&open.release.version)
}

/// Those that gateways are told of: of versions that stand in the route.
pub(super) fn in_force(lane: &Lane, versions: &[&VersionName]) -> Vec<InjectedFault> {
    let faults = lane.faults.iter().filter(|begun| is_met(lane, begun));
    faults.map(|begun| begun.fault.clone()).filter(|fault| versions.contains(&&fault.version)).collect()
}

/// Whether a fault's version serves or is coming, as it was when the fault began.
fn is_met(lane: &Lane, begun: &Begun) -> bool {
    let version = &begun.fault.version;
    let serves = lane.stable_version() == Some(version);
    (serves && !begun.of_candidate) || (candidate(lane) == Some(version) && !serves)
}

/// Ends what is over, and what has lost its version.
pub(super) fn tend(turn: &mut Turn, now: Timestamp) {
    let lane = &turn.lane;
    let (over, rest): (Vec<Begun>, Vec<Begun>) =
        lane.faults.iter().cloned().partition(|begun| begun.fault.until <= now || !is_met(lane, begun));
    turn.lane.faults = rest;
    for begun in &over {
        let why = match begun.fault.until <= now {
            true => format!("its {} are over", begun.fault.length),
            false if turn.lane.stable_version() == Some(&begun.fault.version) => {
                format!("{} was coming, and serves everybody now", begun.fault.version)
            }
            false => format!("{} neither serves nor is coming any more", begun.fault.version),
        };
        ended(turn, begun, ENGINE, &why);
    }
    let wakes: Vec<Timestamp> = turn.lane.faults.iter().map(|begun| begun.fault.until).collect();
    wakes.into_iter().for_each(|at| turn.wake(at));
}

/// Records the end of one.
pub(super) fn ended(turn: &mut Turn, begun: &Begun, actor: &str, why: &str) {
    let fault = &begun.fault;
    turn.record("fault.ended", actor, format!("no more {fault}: {why}"), json!({ "number": fault.number, "why": why }));
}

/// How many of the candidate's requests in the stretch of evidence at hand had a fault injected, to be said after what
/// they came to.
pub(super) fn clause(lane: &Lane, seen: &Observed) -> Option<String> {
    let open = lane.open.as_ref()?;
    let epoch = lane.routing.as_ref()?.epoch;
    let tally = seen.evidence.rows.get(&(epoch, open.release.version.clone()))?;
    (tally.injected > 0).then(|| format!("; a fault was injected into {} of them on purpose", tally.injected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Digest, LaneId};
    use crate::rollout::commands::{NewFault, begin_fault, end_faults};
    use crate::rollout::lane::Release;
    use crate::rollout::routing::route_of;
    use crate::rollout::shifting::route;
    use crate::spec;
    use crate::traffic::{FaultKind, Split};
    use crate::units::{Millis, Weight};

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
traffic: { timeout: 10s }
environments:
  production:
    cohorts: [{ name: staff, header: \"X-Staff: 1\" }]
    strategy: { canary: { steps: [5%, 100%] } }
";
    const BEGUN: Timestamp = Timestamp(1_000_000);

    /// Version 1 serves.
    fn serving() -> Turn {
        let spec = spec::parse(FILE).unwrap().spec;
        let mut lane =
            Lane::new(LaneId { service: "shop".parse().unwrap(), environment: "production".parse().unwrap() });
        let config = spec::config_digest(&spec);
        lane.stable = Some(Release { version: "1".parse().unwrap(), artifact: Digest::of(b"shop"), config, spec });
        let mut turn = Turn::new(&lane);
        route(&mut turn, Split::all("1".parse().unwrap()), false);
        turn
    }

    fn abort() -> NewFault {
        NewFault {
            what: FaultKind::Abort(503),
            version: None,
            cohort: None,
            share: Weight::from_bp(500).unwrap(),
            length: Millis::from_secs(120),
            reason: Some("game day".into()),
        }
    }

    #[test]
    fn it_stands_in_the_route_until_its_time_is_over_and_has_a_name() {
        let mut turn = serving();
        begin_fault(&mut turn, abort(), "user:ann", BEGUN).unwrap();
        let fault = route_of(&turn.lane).unwrap().faults.remove(0);
        assert_eq!((fault.number, fault.version.as_str(), fault.length), (1, "1", Millis::from_secs(120)));
        let fact = turn.facts.last().unwrap();
        assert_eq!((fact.kind.as_str(), fact.actor.as_str()), ("fault.begun", "user:ann"));
        assert_eq!(fact.cause, "user:ann injects abort with 503 in 5% of the requests to 1 for 2m: game day");
        tend(&mut turn, Timestamp(BEGUN.0 + 119_999));
        assert!(turn.lane.faults.len() == 1 && turn.wake_at.is_some_and(|at| at <= fault.until));
        tend(&mut turn, fault.until);
        assert_eq!(route_of(&turn.lane).unwrap().faults, []);
        let fact = turn.facts.last().unwrap();
        assert_eq!((fact.kind.as_str(), fact.actor.as_str()), ("fault.ended", ENGINE));
        begin_fault(&mut turn, abort(), "user:ann", BEGUN).unwrap();
        assert_eq!(turn.lane.faults[0].fault.number, 2, "a number is given once");
    }

    #[test]
    fn it_ends_with_its_version_and_by_anybodys_word() {
        let mut turn = serving();
        begin_fault(&mut turn, abort(), "user:ann", BEGUN).unwrap();
        turn.lane.stable.as_mut().unwrap().version = "2".parse().unwrap();
        assert_eq!(in_force(&turn.lane, &[&"1".parse().unwrap()]), [], "at once");
        tend(&mut turn, BEGUN);
        assert!(turn.lane.faults.is_empty() && turn.facts.last().unwrap().cause.contains("neither serves"));
        begin_fault(&mut turn, abort(), "user:ann", BEGUN).unwrap();
        end_faults(&mut turn, Some("enough"), "user:bob").unwrap();
        let fact = turn.facts.last().unwrap();
        assert!(fact.actor == "user:bob" && fact.cause.ends_with("user:bob ended it: enough"), "{}", fact.cause);
        assert_eq!(end_faults(&mut turn, None, "user:bob").unwrap_err().code, "already_so");
    }

    #[test]
    fn all_faults_together_leave_half_of_everybody_alone() {
        let mut turn = serving();
        let share = |bp| NewFault { share: Weight::from_bp(bp).unwrap(), ..abort() };
        begin_fault(&mut turn, share(3_000), "user:ann", BEGUN).unwrap();
        let refused = begin_fault(&mut turn, share(2_001), "user:ann", BEGUN).unwrap_err();
        assert!(refused.code == "too_many" && refused.reason.contains("50.01%"), "{}", refused.reason);
        begin_fault(&mut turn, share(2_000), "user:ann", BEGUN).unwrap();
        let mut turn = serving();
        begin_fault(&mut turn, share(5_000), "user:ann", BEGUN).unwrap();
        assert!(!turn.traffic_first);
        end_faults(&mut turn, None, "user:ann").unwrap();
        assert!(turn.traffic_first, "nothing has to be written first for users to be let alone");
    }

    #[test]
    fn one_of_a_candidate_ends_where_it_comes_to_serve_everybody() {
        let mut turn = serving();
        begin_fault(&mut turn, abort(), "user:ann", BEGUN).unwrap();
        turn.lane.faults[0].of_candidate = true;
        assert_eq!(in_force(&turn.lane, &[&"1".parse().unwrap()]), [], "at once");
        tend(&mut turn, BEGUN);
        assert!(turn.lane.faults.is_empty() && turn.facts.last().unwrap().cause.contains("serves everybody now"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let version = |version: &str| Some(version.parse().unwrap());
        let bp = |bp| Weight::from_bp(bp).unwrap();
        for (new, code) in [
            (NewFault { version: version("7"), ..abort() }, "not_met"),
            (NewFault { cohort: Some("beta".into()), ..abort() }, "no_cohort"),
            (NewFault { share: Weight::ZERO, ..abort() }, "bad_fault"),
            (NewFault { share: bp(5_001), ..abort() }, "too_many"),
            (NewFault { length: Millis(999), ..abort() }, "bad_fault"),
            (NewFault { length: Millis(3_600_001), ..abort() }, "bad_fault"),
            (NewFault { what: FaultKind::Abort(200), ..abort() }, "bad_fault"),
            (NewFault { what: FaultKind::Latency(Millis(0)), ..abort() }, "bad_fault"),
            (NewFault { what: FaultKind::Latency(Millis::from_secs(10)), ..abort() }, "bad_fault"),
            (NewFault { what: FaultKind::SlowBody(0), ..abort() }, "bad_fault"),
        ] {
            assert_eq!(begin_fault(&mut serving(), new.clone(), "user:ann", BEGUN).unwrap_err().code, code, "{new:?}");
        }
        let staff = NewFault { cohort: Some("staff".into()), share: Weight::ALL, ..abort() };
        let mut turn = serving();
        for _ in 0..8 {
            begin_fault(&mut turn, staff.clone(), "user:ann", BEGUN).unwrap();
        }
        assert_eq!(begin_fault(&mut turn, staff, "user:ann", BEGUN).unwrap_err().code, "too_many");
        let mut nothing = serving();
        nothing.lane.routing = None;
        assert_eq!(begin_fault(&mut nothing, abort(), "user:ann", BEGUN).unwrap_err().code, "nothing_serves");
    }
}
